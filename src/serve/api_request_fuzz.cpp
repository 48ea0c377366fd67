// Whatever the body of a request, it either is an ApiError of status 400 or 404 with a message that
// can be sent, or gives a request within the limits.
#include "serve/api_request.h"
#include "serve/api_response.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    static const ChatTemplate format = ChatTemplate::plain();
    ApiLimits limits;
    limits.model = "m";
    limits.vocab = 1000;
    limits.slots = 8;
    for (const bool chat : {false, true}) {
        try {
            const Json json = parse_body(body);
            const ApiRequest r =
                chat ? parse_chat(json, limits, format) : parse_completion(json, limits);
            if (r.prompts.empty() || r.n < 1 || r.best_of < r.n || r.best_of > limits.slots)
                std::abort();
            if (r.max_tokens < 0) std::abort();
            for (const ApiPrompt& prompt : r.prompts)
                for (const int32_t id : prompt.ids)
                    if (id < 0 || id >= limits.vocab) std::abort();
            r.sampler.validate();
        } catch (const ApiError& error) {
            if (error.status != 400 && error.status != 404) std::abort();
            if (dump(error_json(error)).empty()) std::abort();
        }
    }
    return 0;
}
