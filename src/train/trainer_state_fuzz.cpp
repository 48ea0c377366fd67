// Whatever trainer.json says, it is refused with an Error, or it and its guard can be gone on from.
#include "base/check.h"
#include "train/checkpoint.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    try {
        const StoredState stored =
            parse_trainer_state({reinterpret_cast<const char*>(data), size}, "fuzz");
        if (stored.state.step < 0 || stored.updates < 0 || stored.state.loader.cursor < 0)
            std::abort();
        Guard guard(GuardConfig{});
        guard.restore(stored.state.guard);
        static_cast<void>(guard.judge(1, 1));
        Guard again(GuardConfig{});
        again.restore(guard.state());
    } catch (const Error&) {
    }
    return 0;
}
