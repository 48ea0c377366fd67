#include "ops/lightning/lightning_loops.h"

namespace tnl {

const LightningLoops& lightning_avx2() {
    static constexpr LightningLoops loops = lightning::table<32>("avx2");
    return loops;
}

} // namespace tnl
