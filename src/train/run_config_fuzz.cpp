// Whatever a config file or an override says, it is refused with an Error, or its JSON reads back
// as the same config. The first byte chooses between TOML, JSON and key=value.
#include "base/check.h"
#include "train/config.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    static TrainConfig config, again; // bound once: that takes longer than all else
    static ConfigBinding binding(config), binding_again(again);
    config = again = TrainConfig();
    try {
        if (data[0] % 3 == 0)
            binding.load_toml(text, "fuzz.toml");
        else if (data[0] % 3 == 1)
            binding.load_json(text, "fuzz.json");
        else
            binding.set(text);
    } catch (const Error&) {
        return 0;
    }
    const std::string written = binding.json();
    binding_again.load_json(written, "again");
    if (binding_again.json() != written) std::abort();
    try {
        config.validate();
        config.resolve_steps(0.1);
    } catch (const UsageError&) {
    }
    return 0;
}
