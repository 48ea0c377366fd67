#include "corpus/dedup/minhash_loops.h"

namespace tnl::corpus {

MinHashLoop minhash_loop_baseline() { return minhash_lanes<16>; }

} // namespace tnl::corpus
