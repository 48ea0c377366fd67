// Whatever a model file holds, it is refused with an Error or encodes and decodes some text.
#include "base/check.h"
#include "text/tokenizer.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    try {
        const Tokenizer tokenizer =
            Tokenizer::from_bytes({reinterpret_cast<const char*>(data), size}, "fuzz");
        const std::vector<int32_t> ids = tokenizer.encode(
            "Text,  \xE4\xB8\xAD\xE6\x96\x87\n\t1234 \xF0\x9F\x98\x80 \xEF\xAC\x81");
        for (const int32_t id : ids)
            if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
        static_cast<void>(tokenizer.decode(ids));
        for (int32_t id = 0; id < tokenizer.vocab_size() && id < 1000; ++id)
            static_cast<void>(tokenizer.token_bytes(id));
    } catch (const Error&) {
    }
    return 0;
}
