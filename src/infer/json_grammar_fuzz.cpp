// Whatever a schema, it is refused with an Error or its grammar's texts are JSON: the second half
// of the input chooses bytes among those allowed.
#include "infer/json_grammar.h"

#include "base/check.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    if (size < 2) return 0;
    const size_t half = std::min<size_t>(size, 1 + data[0] + size_t{256} * (data[1] & 3));
    const std::string_view schema(reinterpret_cast<const char*>(data) + 2, half > 2 ? half - 2 : 0);
    try {
        GrammarWalk walk = json_schema_grammar(parse_json(schema, "fuzz", {.depth = 30}));
        GrammarWalk::Places at = walk.begin(), next;
        if (at.empty()) return 0; // a rule that no text ends
        std::string text;
        for (size_t i = half; i < size && text.size() < 300; ++i) {
            // From the byte that the input names upwards, the first that may come.
            for (int k = 0; k < 256; ++k) {
                const auto byte = static_cast<unsigned char>(data[i] + k);
                walk.advance(at, byte, next);
                if (next.empty()) continue;
                std::swap(at, next);
                text += static_cast<char>(byte);
                break;
            }
            if (walk.complete(at) && !Json::accept(text)) std::abort();
            if (!walk.goes_on(at)) break;
        }
    } catch (const Error&) {
    }
    return 0;
}
