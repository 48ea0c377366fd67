#include "cli/machine_loop.h"

namespace tnl {

float fma_rounds_avx2(long rounds) { return fma_rounds<Vector8>(rounds); }

} // namespace tnl
