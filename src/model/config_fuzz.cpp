// Whatever the text, a config either throws Error or is valid, and survives being written and read.
#include "base/check.h"
#include "model/config.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    ModelConfig config;
    try {
        config = parse_model_config(text, "fuzz");
    } catch (const Error&) {
        return 0;
    }
    if (config.parameter_count() <= 0) std::abort();
    if ((config.state_bytes() > 0) == config.is_llama()) std::abort();
    if (config.decoder_attention_heads <= 4096)
        for (double slope : config.slopes(config.decoder_layers - 1))
            if (!(slope >= 0) || !std::isfinite(slope)) std::abort();
    const std::string written = model_config_json(config);
    if (model_config_json(parse_model_config(written, "again")) != written) std::abort();
    return 0;
}
