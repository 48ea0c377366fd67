#include "corpus/dedup/minhash_loops.h"

namespace tnl::corpus {

MinHashLoop minhash_loop_avx2() { return minhash_lanes<32>; }

} // namespace tnl::corpus
