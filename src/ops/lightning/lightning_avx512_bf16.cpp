#include "ops/lightning/lightning_bf16.h"
#include "ops/lightning/lightning_loops.h"

namespace tnl {

const LightningLoops& lightning_avx512_bf16() {
    static constexpr LightningLoops loops = lightning::table<64, lightning::Bf16>("avx512_bf16");
    return loops;
}

} // namespace tnl
