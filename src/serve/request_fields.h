// The fields of a request's JSON object. A field that is absent or null has its default; one of the
// wrong kind or out of its range is an ApiError naming it, its value and what is wanted.
#pragma once

#include "serve/api_error.h"

#include <optional>

namespace tnl {

class RequestFields {
  public:
    // Throws where `json` is no object. It must outlive this.
    explicit RequestFields(const Json& json);

    const Json* find(const char* field) const; // null where absent or null
    const Json& need(const char* field, const char* wanted) const;
    std::optional<int64_t> whole(const char* field, int64_t least, int64_t most) const;
    std::optional<double> number(const char* field, double least, double most) const;
    std::optional<std::string> text(const char* field) const;
    bool flag(const char* field, bool otherwise) const;
    // Token ids in [0, vocab).
    std::vector<int32_t> ids(const char* field, const Json& list, int64_t vocab) const;
    [[noreturn]] static void wrong(const std::string& field, const Json& value,
                                   const std::string& wanted);

  private:
    const Json& json_;
};

} // namespace tnl
