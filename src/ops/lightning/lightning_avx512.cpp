#include "ops/lightning/lightning_loops.h"

namespace tnl {

const LightningLoops& lightning_avx512() {
    static constexpr LightningLoops loops = lightning::table<64>("avx512");
    return loops;
}

} // namespace tnl
