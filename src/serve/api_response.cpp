#include "serve/api_response.h"

namespace tnl {

Json Usage::json() const {
    Json out;
    out["prompt_tokens"] = prompt_tokens;
    out["completion_tokens"] = completion_tokens;
    out["total_tokens"] = prompt_tokens + completion_tokens;
    return out;
}

Json AnswerFrame::frame(bool stream) const {
    Json out;
    out["id"] = id;
    out["object"] = !chat    ? "text_completion"
                    : stream ? "chat.completion.chunk"
                             : "chat.completion";
    out["created"] = created;
    out["model"] = model;
    out["choices"] = Json::array();
    return out;
}

Json AnswerFrame::whole(Json choices, const Usage& usage) const {
    Json out = frame(false);
    out["choices"] = std::move(choices);
    out["usage"] = usage.json();
    return out;
}

Json AnswerFrame::choice(int64_t index, const std::string& text, Json logprobs,
                         const std::string& finish_reason) const {
    Json out;
    out["index"] = index;
    if (chat) {
        out["message"]["role"] = "assistant";
        out["message"]["content"] = text;
    } else {
        out["text"] = text;
    }
    out["logprobs"] = std::move(logprobs);
    out["finish_reason"] = finish_reason;
    return out;
}

Json AnswerFrame::part(int64_t index, const std::string& text, Json logprobs,
                       const std::string& finish_reason) const {
    Json choice;
    choice["index"] = index;
    if (!chat) {
        choice["text"] = text;
    } else {
        choice["delta"] = Json::object();
        if (!text.empty() || finish_reason.empty()) choice["delta"]["content"] = text;
    }
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = finish_reason.empty() ? Json() : Json(finish_reason);
    Json out = frame(true);
    out["choices"].push_back(std::move(choice));
    return out;
}

Json AnswerFrame::role_part(int64_t index) const {
    Json choice;
    choice["index"] = index;
    choice["delta"]["role"] = "assistant";
    choice["delta"]["content"] = "";
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = nullptr;
    Json out = frame(true);
    out["choices"].push_back(std::move(choice));
    return out;
}

Json AnswerFrame::usage_part(const Usage& usage) const {
    Json out = frame(true);
    out["usage"] = usage.json();
    return out;
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string sse(const Json& json) { return "data: " + dump(json) + "\n\n"; }
std::string sse_done() { return "data: [DONE]\n\n"; }

} // namespace tnl
