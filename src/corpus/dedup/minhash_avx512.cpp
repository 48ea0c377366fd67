#include "corpus/dedup/minhash_loops.h"

namespace tnl::corpus {

MinHashLoop minhash_loop_avx512() { return minhash_lanes<64>; }

} // namespace tnl::corpus
