#include "serve/api_request.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace tnl {
namespace {

constexpr size_t kMostStops = 16;
constexpr int64_t kMostTop = 20;

void refuse(const RequestFields& fields, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        const Json* value = fields.find(name);
        if (value != nullptr && !value->empty())
            bad_request(name, fmt::format("{} is not supported", name), "unsupported_parameter");
    }
}

std::vector<std::string> parse_stops(const RequestFields& fields) {
    const Json* stop = fields.find("stop");
    if (stop == nullptr) return {};
    std::vector<std::string> out;
    const Json list = stop->is_array() ? *stop : Json::array({*stop});
    for (const Json& each : list) {
        if (!each.is_string()) RequestFields::wrong("stop", *stop, "text or a list of texts");
        // An empty one would end every text at once: as if it were not there.
        if (!each.get_ref<const std::string&>().empty()) out.push_back(each.get<std::string>());
    }
    if (out.size() > kMostStops)
        bad_request("stop", fmt::format("stop has {} texts, at most {}", out.size(), kMostStops));
    return out;
}

void parse_bias(const RequestFields& fields, const ApiLimits& limits, SamplerOptions& sampler) {
    const Json* bias = fields.find("logit_bias");
    if (bias == nullptr) return;
    if (!bias->is_object())
        RequestFields::wrong("logit_bias", *bias, "an object: token id to bias");
    for (const auto& [key, value] : bias->items()) {
        int64_t id = -1;
        const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
        if (end.ec != std::errc() || end.ptr != key.data() + key.size() || id < 0 ||
            id >= limits.vocab)
            bad_request("logit_bias", fmt::format("logit_bias: \"{}\", wanted a token id from 0 "
                                                  "to {}",
                                                  key, limits.vocab - 1));
        if (!value.is_number() || !(std::abs(value.get<double>()) <= 100))
            RequestFields::wrong("logit_bias", value, "numbers from -100 to 100");
        sampler.logit_bias.emplace_back(static_cast<int32_t>(id), value.get<float>());
    }
}

void parse_sampler(const RequestFields& fields, const ApiLimits& limits, ApiRequest& out) {
    SamplerOptions& s = out.sampler;
    s = limits.sampler;
    const auto take = [](auto& to, const auto& given) {
        if (given) to = *given;
    };
    take(s.temperature, fields.number("temperature", 0, 100));
    take(s.top_p, fields.number("top_p", 0, 1));
    if (s.top_p == 0) { // accepted by others as: only the likeliest
        s.top_p = 1;
        s.top_k = 1;
    }
    if (const auto k = fields.whole("top_k", -1, INT32_MAX)) s.top_k = std::max<int64_t>(*k, 0);
    take(s.min_p, fields.number("min_p", 0, 1));
    take(s.repetition_penalty, fields.number("repetition_penalty", 1e-6, 1e6));
    take(s.presence_penalty, fields.number("presence_penalty", -2, 2));
    take(s.frequency_penalty, fields.number("frequency_penalty", -2, 2));
    if (const auto seed = fields.whole("seed", INT64_MIN, INT64_MAX)) {
        s.seed = static_cast<uint64_t>(*seed);
        out.seeded = true;
    }
    parse_bias(fields, limits, s);
}

// {"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema":
// ...}}
std::optional<Json> parse_format(const RequestFields& fields) {
    const Json* format = fields.find("response_format");
    if (format == nullptr) return std::nullopt;
    const RequestFields shape(*format);
    const std::string type = shape.text("type").value_or("text");
    if (type == "text") return std::nullopt;
    if (type == "json_object") return Json{{"type", "object"}};
    if (type != "json_schema")
        bad_request(
            "response_format",
            fmt::format("response_format: type is {}, wanted text, json_object or json_schema",
                        json_excerpt(type)));
    const RequestFields named(shape.need("json_schema", "an object with the field schema"));
    return named.need("schema", "a JSON Schema");
}

// What completions and chats have in common.
ApiRequest parse_common(const RequestFields& fields, const ApiLimits& limits) {
    ApiRequest out;
    check_model(fields, limits.model);
    out.n = fields.whole("n", 1, limits.slots).value_or(1);
    out.best_of = out.n;
    out.stream = fields.flag("stream", false);
    if (const Json* options = fields.find("stream_options"))
        out.include_usage = RequestFields(*options).flag("include_usage", false);
    out.ignore_eos = fields.flag("ignore_eos", false);
    out.stops = parse_stops(fields);
    parse_sampler(fields, limits, out);
    out.schema = parse_format(fields);
    return out;
}

std::vector<ApiPrompt> parse_prompts(const RequestFields& fields, const ApiLimits& limits) {
    constexpr const char* kWanted = "text, a list of texts, token ids, or a list of lists of them";
    const Json& prompt = fields.need("prompt", kWanted);
    if (prompt.is_string()) return {{prompt.get<std::string>(), {}, true}};
    if (!prompt.is_array() || prompt.empty()) RequestFields::wrong("prompt", prompt, kWanted);
    const auto of_ids = [&](const Json& list) {
        ApiPrompt out{{}, fields.ids("prompt", list, limits.vocab), false};
        if (out.ids.empty()) bad_request("prompt", "prompt is [], wanted at least one token");
        return out;
    };
    if (prompt.front().is_number()) return {of_ids(prompt)};
    if (prompt.size() > limits.most_prompts)
        bad_request("prompt", fmt::format("prompt has {} items, at most {}", prompt.size(),
                                          limits.most_prompts));
    std::vector<ApiPrompt> out;
    for (const Json& item : prompt) {
        if (item.type() != prompt.front().type()) RequestFields::wrong("prompt", item, kWanted);
        if (item.is_string())
            out.push_back({item.get<std::string>(), {}, true});
        else
            out.push_back(of_ids(item));
    }
    return out;
}

// A message's content: text, or a list of parts that are text.
std::string parse_content(const Json& content) {
    if (content.is_string()) return content.get<std::string>();
    if (!content.is_array()) RequestFields::wrong("messages.content", content, "text");
    std::string out;
    for (const Json& part : content) {
        const RequestFields fields(part);
        if (fields.text("type") != "text")
            bad_request("messages.content", "messages.content: only parts of type text are read");
        out += fields.text("text").value_or("");
    }
    return out;
}

} // namespace

Json parse_body(std::string_view body) {
    try {
        return parse_json(body, "request body");
    } catch (const Error& error) {
        bad_request("", error.what(), "invalid_json");
    }
}

void check_model(const RequestFields& fields, const std::string& served) {
    const auto model = fields.text("model");
    if (!model || *model == served) return;
    throw ApiError(404, "not_found_error",
                   fmt::format("model {} is not served here; the only one is {}",
                               json_excerpt(*model), served),
                   "model", "model_not_found");
}

ApiRequest parse_completion(const Json& body, const ApiLimits& limits) {
    const RequestFields fields(body);
    ApiRequest out = parse_common(fields, limits);
    refuse(fields, {"suffix"});
    out.prompts = parse_prompts(fields, limits);
    out.max_tokens = fields.whole("max_tokens", 0, INT64_MAX).value_or(16);
    out.best_of = fields.whole("best_of", 1, limits.slots).value_or(out.n);
    out.echo = fields.flag("echo", false);
    out.logprobs = fields.whole("logprobs", 0, kMostTop);
    if (out.best_of < out.n)
        bad_request("best_of",
                    fmt::format("best_of is {}, wanted n = {} or more", out.best_of, out.n));
    if (out.stream && out.best_of > out.n)
        bad_request("best_of", "best_of larger than n cannot be streamed: the best is known last");
    if (out.max_tokens == 0 && !out.echo)
        bad_request("max_tokens", "max_tokens is 0, which is for echo only; wanted 1 or more");
    return out;
}

ApiRequest parse_chat(const Json& body, const ApiLimits& limits, const ChatTemplate& format) {
    const RequestFields fields(body);
    ApiRequest out = parse_common(fields, limits);
    out.chat = true;
    refuse(fields, {"tools", "functions"});
    const Json& list = fields.need("messages", "a list of messages");
    if (!list.is_array() || list.empty())
        RequestFields::wrong("messages", list, "a list of messages, at least one");
    std::vector<ChatMessage> messages;
    for (const Json& item : list) {
        const RequestFields message(item);
        std::string role = message.need("role", "text").is_string() ? *message.text("role") : "";
        if (role == "developer") role = "system";
        messages.push_back({role, parse_content(message.need("content", "text"))});
    }
    try {
        out.prompts = {{format.render(messages), {}, true}};
    } catch (const UsageError& error) {
        bad_request("messages", fmt::format("messages: {}", error.what()));
    }
    out.stops.insert(out.stops.end(), format.stops.begin(), format.stops.end());
    auto most = fields.whole("max_completion_tokens", 1, INT64_MAX);
    if (!most) most = fields.whole("max_tokens", 1, INT64_MAX);
    out.max_tokens = most.value_or(limits.chat_max_tokens);
    const auto top = fields.whole("top_logprobs", 0, kMostTop);
    if (fields.flag("logprobs", false))
        out.logprobs = top.value_or(0);
    else if (top)
        bad_request("top_logprobs", "top_logprobs needs logprobs: true");
    return out;
}

} // namespace tnl
