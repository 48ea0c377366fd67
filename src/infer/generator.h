// Continues prompts: admits requests into a session as slots come free, prefills them together, and
// decodes all that are under way as one batch. A request's tokens do not depend on the others.
#pragma once

#include "infer/sampler.h"
#include "infer/session.h"

#include <functional>
#include <string_view>

namespace tnl {

struct GenerateRequest {
    // Gives a slot, empty until then, the state that the prompt goes on from, which has seen
    // `before`. Absent: the prompt begins the sequence.
    std::function<void(int64_t slot)> restore{};
    std::vector<int32_t> before{};
    std::vector<int32_t> prompt; // at least one token
    int64_t max_new_tokens = 128;
    std::vector<int32_t> end_tokens; // end the text; not part of it
    SamplerOptions sampler;
    uint64_t id = 0; // names the request's random numbers
};

enum class Finish {
    length,    // max_new_tokens were made
    end_token, // the model ended the text
    stopped    // on_token said so (a stop string)
};
std::string_view name_of(Finish finish); // "length", "end_token", "stop"

struct Generated {
    std::vector<int32_t> tokens;
    Finish finish = Finish::length;
};

struct GenerateTimes {
    int64_t prompt_tokens = 0, new_tokens = 0; // new_tokens: end tokens included
    double prefill_seconds = 0, decode_seconds = 0;
    int64_t decode_tokens = 0; // made by decode_steps calls of decode; the rest followed a prefill
    int64_t decode_steps = 0;
};

// Called for every new token (not for end tokens) with the request's index; false ends the request
// after it.
using OnToken = std::function<bool(size_t request, int32_t token)>;

std::vector<Generated> generate(Session& session, std::span<const GenerateRequest> requests,
                                const OnToken& on_token = {}, GenerateTimes* times = nullptr);

} // namespace tnl
