#include "serve/api_error.h"

namespace tnl {

void bad_request(const std::string& param, const std::string& message, const std::string& code) {
    throw ApiError(400, "invalid_request_error", message, param, code);
}

ApiError too_busy(const std::string& message) {
    return {429, "rate_limit_error", message, {}, "queue_full"};
}

ApiError server_error(const std::string& message) { return {500, "server_error", message}; }

Json error_json(const ApiError& error) {
    const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
    Json body;
    body["message"] = error.what();
    body["type"] = error.type;
    body["param"] = or_null(error.param);
    body["code"] = or_null(error.code);
    Json out;
    out["error"] = body;
    return out;
}

} // namespace tnl
