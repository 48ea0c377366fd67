#include "corpus/dedup/sha1_loops.h"

namespace tnl::corpus {
namespace {

using Words [[gnu::vector_size(16)]] = uint32_t;

} // namespace

Sha1Loop sha1_loop_baseline() { return Sha1Lanes<Words>::hash; }

} // namespace tnl::corpus
