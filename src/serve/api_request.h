// Requests of OpenAI's API, from JSON to plain values. Fields that are not known are ignored, as
// clients send many that change nothing; those that would change the answer and are not supported
// are refused.
#pragma once

#include "infer/sampler.h"
#include "serve/request_fields.h"
#include "text/chat_template.h"

namespace tnl {

// What requests are checked against, and their defaults.
struct ApiLimits {
    std::string model;             // the only one served
    int64_t vocab = 0;             // tokens that stand for text
    int64_t slots = 1;             // sequences at once
    SamplerOptions sampler;        // where a request says nothing
    int64_t chat_max_tokens = 512; // likewise
    size_t most_prompts = 4096;
};

// A text, or its tokens.
struct ApiPrompt {
    std::string text;
    std::vector<int32_t> ids;
    bool is_text = true;
};

struct ApiRequest {
    bool chat = false;
    std::vector<ApiPrompt> prompts; // of a chat: one, rendered
    int64_t max_tokens = 16;
    int64_t n = 1, best_of = 1;
    bool echo = false, stream = false, include_usage = false, ignore_eos = false;
    std::optional<int64_t> logprobs; // how many of the likeliest tokens beside the one chosen
    std::vector<std::string> stops;
    bool seeded = false; // otherwise the caller is to choose sampler.seed
    SamplerOptions sampler;
    // response_format: what the answer's JSON Schema is, {"type": "object"} for any object.
    std::optional<Json> schema;
};

// Each throws ApiError.
Json parse_body(std::string_view body);
ApiRequest parse_completion(const Json& body, const ApiLimits& limits);
ApiRequest parse_chat(const Json& body, const ApiLimits& limits, const ChatTemplate& format);
// 404 where the request names another model than the one served.
void check_model(const RequestFields& fields, const std::string& served);

} // namespace tnl
