// Whatever generation_config.json says, it is refused with an Error or read.
#include "base/check.h"
#include "infer/loaded_model.h"
#include "testing/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    testing::fuzz_file("generation_config.json", data, size);
    try {
        const GenerationConfig config = load_generation_config(testing::fuzz_directory());
        if (config.max_new_tokens && *config.max_new_tokens < 0) std::abort();
        for (const int32_t id : config.end_tokens)
            if (id < -1) std::abort();
    } catch (const Error&) {
    }
    return 0;
}
