#include "serve/request_fields.h"

#include <cmath>

namespace tnl {
namespace {

bool is_whole(const Json& value, int64_t least, int64_t most) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return false;
    return value.is_number_integer() && value.get<int64_t>() >= least &&
           value.get<int64_t>() <= most;
}

} // namespace

RequestFields::RequestFields(const Json& json) : json_(json) {
    if (!json.is_object())
        bad_request("", fmt::format("the request is {}, wanted a JSON object", json_excerpt(json)));
}

const Json* RequestFields::find(const char* field) const {
    const auto found = json_.find(field);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
}

const Json& RequestFields::need(const char* field, const char* wanted) const {
    const Json* value = find(field);
    if (value == nullptr)
        bad_request(field, fmt::format("{} is missing, wanted {}", field, wanted));
    return *value;
}

std::optional<int64_t> RequestFields::whole(const char* field, int64_t least, int64_t most) const {
    const Json* value = find(field);
    if (value == nullptr) return std::nullopt;
    if (!is_whole(*value, least, most))
        wrong(field, *value,
              most == INT64_MAX ? fmt::format("a whole number from {} on", least)
                                : fmt::format("a whole number from {} to {}", least, most));
    return value->get<int64_t>();
}

std::optional<double> RequestFields::number(const char* field, double least, double most) const {
    const Json* value = find(field);
    if (value == nullptr) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : NAN;
    if (!(number >= least && number <= most)) // NaN too
        wrong(field, *value,
              std::isinf(most) ? fmt::format("a number from {} on", least)
                               : fmt::format("a number from {} to {}", least, most));
    return number;
}

std::optional<std::string> RequestFields::text(const char* field) const {
    const Json* value = find(field);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) wrong(field, *value, "text");
    return value->get<std::string>();
}

bool RequestFields::flag(const char* field, bool otherwise) const {
    const Json* value = find(field);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) wrong(field, *value, "true or false");
    return value->get<bool>();
}

std::vector<int32_t> RequestFields::ids(const char* field, const Json& list, int64_t vocab) const {
    if (!list.is_array()) wrong(field, list, "a list of token ids");
    std::vector<int32_t> out;
    out.reserve(list.size());
    for (const Json& id : list) {
        if (!is_whole(id, 0, vocab - 1))
            bad_request(field, fmt::format("{}: item {} is {}, wanted a token id from 0 to {}",
                                           field, out.size(), json_excerpt(id), vocab - 1));
        out.push_back(id.get<int32_t>());
    }
    return out;
}

void RequestFields::wrong(const std::string& field, const Json& value, const std::string& wanted) {
    bad_request(field, fmt::format("{} is {}, wanted {}", field, json_excerpt(value), wanted));
}

} // namespace tnl
