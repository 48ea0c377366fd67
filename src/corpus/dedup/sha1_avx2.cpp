#include "corpus/dedup/sha1_loops.h"

namespace tnl::corpus {
namespace {

using Words [[gnu::vector_size(32)]] = uint32_t;

} // namespace

Sha1Loop sha1_loop_avx2() { return Sha1Lanes<Words>::hash; }

} // namespace tnl::corpus
