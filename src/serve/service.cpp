#include "serve/service.h"

#include "serve/chat_page.h"
#include "text/utf8.h"

#include <algorithm>

namespace tnl {
namespace {

struct Route {
    const char *method, *path;
    bool open; // without the API key
    std::shared_ptr<Job> (*run)(Served&, const Call&, const std::shared_ptr<Channel>&);
};

using Ch = std::shared_ptr<Channel>;

std::shared_ptr<Job> answer(const Ch& channel, const Json& json) {
    channel->send({200, dump(json)});
    return nullptr;
}

std::shared_ptr<Job> start(Served& served, ApiRequest request, const Ch& channel) {
    if (!request.seeded) request.sampler.seed = fresh_seed();
    auto job = std::make_shared<Job>(served, std::move(request), channel);
    job->start();
    return job;
}

Json model_json(const Served& served) {
    const ModelConfig& config = served.loaded.model.config();
    Json out;
    out["id"] = served.limits.model;
    out["object"] = "model";
    out["created"] = served.created;
    out["owned_by"] = "transnormer";
    out["parameters"] = config.parameter_count();
    out["state_bytes"] = served.state_bytes; // of a sequence, whatever its length
    return out;
}

std::shared_ptr<Job> models(Served& served, const Call&, const Ch& channel) {
    Json out;
    out["object"] = "list";
    out["data"] = Json::array({model_json(served)});
    return answer(channel, out);
}

std::shared_ptr<Job> health(Served& served, const Call&, const Ch& channel) {
    const bool draining = served.draining;
    channel->send(
        {draining ? 503 : 200, draining ? R"({"status":"draining"})" : R"({"status":"ok"})"});
    return nullptr;
}

std::shared_ptr<Job> metrics(Served& served, const Call&, const Ch& channel) {
    channel->send({200, served.metrics.text(served.engine.stats(), served.state_bytes),
                   "text/plain; version=0.0.4; charset=utf-8"});
    return nullptr;
}

std::shared_ptr<Job> page(Served&, const Call&, const Ch& channel) {
    channel->send({200,
                   std::string(chat_page()),
                   "text/html; charset=utf-8",
                   {{"Content-Security-Policy",
                     "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                     "connect-src 'self'; img-src data:"}}});
    return nullptr;
}

std::shared_ptr<Job> completions(Served& served, const Call& call, const Ch& channel) {
    return start(served, parse_completion(parse_body(call.body), served.limits), channel);
}

std::shared_ptr<Job> chats(Served& served, const Call& call, const Ch& channel) {
    return start(served, parse_chat(parse_body(call.body), served.limits, served.chat), channel);
}

std::shared_ptr<Job> tokenize(Served& served, const Call& call, const Ch& channel) {
    const Json body = parse_body(call.body);
    const RequestFields fields(body);
    check_model(fields, served.limits.model);
    fields.need("prompt", "text");
    const std::string text = *fields.text("prompt");
    const auto ids = fields.flag("add_special_tokens", true) ? served.loaded.encode(text)
                                                             : served.loaded.tokenizer.encode(text);
    Json out;
    out["count"] = ids.size();
    out["tokens"] = ids;
    return answer(channel, out);
}

std::shared_ptr<Job> detokenize(Served& served, const Call& call, const Ch& channel) {
    const Json body = parse_body(call.body);
    const RequestFields fields(body);
    check_model(fields, served.limits.model);
    const auto ids =
        fields.ids("tokens", fields.need("tokens", "a list of token ids"), served.limits.vocab);
    Json out;
    out["prompt"] = replace_invalid_utf8(served.loaded.tokenizer.decode(ids));
    return answer(channel, out);
}

std::shared_ptr<Job> tokenizer_info(Served& served, const Call&, const Ch& channel) {
    const Tokenizer& tokenizer = served.loaded.tokenizer;
    const auto name = [&](int64_t id) {
        return id < 0 || id >= tokenizer.vocab_size()
                   ? Json()
                   : Json(tokenizer.piece(static_cast<int32_t>(id)));
    };
    const ModelConfig& config = served.loaded.model.config();
    Json out;
    out["tokenizer_class"] = tokenizer.kind();
    out["vocab_size"] = tokenizer.vocab_size();
    out["bos_token"] = name(config.bos_token_id);
    out["eos_token"] = name(config.eos_token_id);
    out["pad_token"] = name(config.pad_token_id);
    out["unk_token"] = name(tokenizer.unk());
    out["add_bos_token"] = config.add_bos_token;
    out["chat_template"] = nullptr; // a chat's messages become text on the server
    return answer(channel, out);
}

constexpr Route kRoutes[] = {
    {"GET", "/", true, page},
    {"GET", "/health", true, health},
    {"GET", "/metrics", false, metrics},
    {"GET", "/v1/models", false, models},
    {"POST", "/v1/completions", false, completions},
    {"POST", "/v1/chat/completions", false, chats},
    {"POST", "/tokenize", false, tokenize},
    {"POST", "/detokenize", false, detokenize},
    {"GET", "/tokenizer_info", false, tokenizer_info},
};

const Route* find_route(const std::string& method, const std::string& path) {
    for (const Route& route : kRoutes)
        if (path == route.path && method == route.method) return &route;
    return nullptr;
}

// In a time that does not tell how much of it was right.
bool same_secret(std::string_view a, std::string_view b) {
    unsigned difference = a.size() != b.size();
    for (size_t i = 0; i < a.size(); ++i)
        difference |= static_cast<unsigned>(a[i] ^ b[b.empty() ? 0 : i % b.size()]);
    return difference == 0;
}

ApiError no_such_path(const std::string& method, const std::string& path) {
    for (const Route& route : kRoutes)
        if (path == route.path)
            return {405, "invalid_request_error",
                    fmt::format("{} {}: wanted {}", method, path, route.method)};
    return {404, "not_found_error", fmt::format("{} {}: no such path", method, path)};
}

} // namespace

std::optional<Reply> refuse(const Served& served, const std::string& method,
                            const std::string& path, const std::string& authorization) {
    const Route* route = find_route(method, path);
    if (route == nullptr && !path.starts_with("/v1/models/"))
        return reply_of(no_such_path(method, path));
    if ((route != nullptr && route->open) || served.api_key.empty()) return std::nullopt;
    if (same_secret(authorization, "Bearer " + served.api_key)) return std::nullopt;
    return reply_of(ApiError(401, "authentication_error",
                             authorization.empty()
                                 ? "no API key: wanted the header Authorization: Bearer KEY"
                                 : "the API key is wrong",
                             {}, "invalid_api_key"));
}

Reply reply_of(const ApiError& error) {
    Reply out{error.status, dump(error_json(error))};
    if (error.status == 429 || error.status == 503) out.headers.emplace_back("Retry-After", "1");
    if (error.status == 401) out.headers.emplace_back("WWW-Authenticate", "Bearer");
    return out;
}

std::shared_ptr<Job> serve(Served& served, const Call& call, const Ch& channel) {
    try {
        if (auto refusal = refuse(served, call.method, call.path, call.authorization)) {
            channel->send(std::move(*refusal));
            return nullptr;
        }
        if (const Route* route = find_route(call.method, call.path))
            return route->run(served, call, channel);
        // /v1/models/NAME
        const std::string name = call.path.substr(std::string_view("/v1/models/").size());
        if (call.method != "GET") throw no_such_path(call.method, call.path);
        check_model(RequestFields(Json{{"model", name}}), served.limits.model);
        return answer(channel, model_json(served));
    } catch (const ApiError& error) {
        channel->send(reply_of(error));
    } catch (const std::exception& error) {
        channel->send(reply_of(server_error(error.what())));
    }
    return nullptr;
}

} // namespace tnl
