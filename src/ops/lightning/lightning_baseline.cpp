#include "ops/lightning/lightning_loops.h"

namespace tnl {

const LightningLoops& lightning_baseline() {
    static constexpr LightningLoops loops = lightning::table<16>("baseline");
    return loops;
}

} // namespace tnl
