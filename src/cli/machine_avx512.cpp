#include "cli/machine_loop.h"

namespace tnl {

float fma_rounds_avx512(long rounds) { return fma_rounds<Vector16>(rounds); }

} // namespace tnl
