// The JSON of answers, as OpenAI's API shapes them.
#pragma once

#include "base/json.h"

#include <string>

namespace tnl {

struct Usage {
    int64_t prompt_tokens = 0, completion_tokens = 0;
    Json json() const;
};

// One answer: what all its parts have in common.
struct AnswerFrame {
    bool chat = false;
    std::string id, model; // id: "cmpl-..." or "chatcmpl-..."
    int64_t created = 0;   // seconds since 1970

    // A whole answer; `choices` as choice() makes them.
    Json whole(Json choices, const Usage& usage) const;
    Json choice(int64_t index, const std::string& text, Json logprobs,
                const std::string& finish_reason) const;

    // A part of a stream: `text` is new; finish_reason empty while there is more to come.
    Json part(int64_t index, const std::string& text, Json logprobs,
              const std::string& finish_reason) const;
    Json role_part(int64_t index) const; // begins a chat's choice
    Json usage_part(const Usage& usage) const;

  private:
    Json frame(bool stream) const;
};

// Compact, with invalid UTF-8 replaced.
std::string dump(const Json& json);
// An event of a stream (server-sent events).
std::string sse(const Json& json);
std::string sse_done();

} // namespace tnl
