// Failures as a client sees them: an HTTP status and the error object of OpenAI's API.
#pragma once

#include "base/check.h"
#include "base/json.h"

namespace tnl {

struct ApiError : Error {
    ApiError(int http_status, std::string error_type, const std::string& message,
             std::string at = {}, std::string error_code = {})
        : Error(message), status(http_status), type(std::move(error_type)), param(std::move(at)),
          code(std::move(error_code)) {}
    int status;
    std::string type, param, code; // param: the field at fault; param and code may be empty
};

// 400: `param` is wrong.
[[noreturn]] void bad_request(const std::string& param, const std::string& message,
                              const std::string& code = {});
// 429: to be tried again later.
ApiError too_busy(const std::string& message);
ApiError server_error(const std::string& message);

// {"error": {"message", "type", "param", "code"}}
Json error_json(const ApiError& error);

} // namespace tnl
