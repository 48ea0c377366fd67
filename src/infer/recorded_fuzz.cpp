// Whatever a file of recorded outputs holds, it is refused with an Error or fits the model.
#include "base/check.h"
#include "infer/recorded.h"
#include "testing/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    ModelConfig config = model_preset("tiny");
    config.vocab_size = 7;
    config.decoder_embed_dim = config.hidden_dim = 4;
    config.decoder_attention_heads = 2;
    config.decoder_layers = 1;
    config.linear_use_lrpe_list.clear();
    const auto path = testing::fuzz_file("expected.safetensors", data, size);
    try {
        const Recorded recorded(path, config);
        if (static_cast<int64_t>(recorded.ids.size()) != recorded.sequences * recorded.length)
            std::abort();
        for (int64_t row = 0; row < recorded.sequences; ++row)
            static_cast<void>(recorded.left_padding(row));
    } catch (const Error&) {
    }
    return 0;
}
