// fastText models from elsewhere: any bytes are a model or an Error.
#include "base/check.h"
#include "corpus/language/model.h"

#include <sstream>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
    try {
        const tnl::corpus::LanguageModel model(in, size, "fuzz");
        tnl::corpus::LanguageModel::Scratch scratch;
        for (const char* text : {"", "The river is wide.", "\xe6\xb2\xb3 x \t</s> __label__de"})
            for (const auto& guess : model.guess(text, scratch))
                TNL_CHECK(guess.score <= 1.1F || guess.score != guess.score, "{}", guess.score);
    } catch (const tnl::Error&) {
    }
    return 0;
}
