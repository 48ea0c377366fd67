#include "base/json.h"

#include "base/check.h"
#include "base/file.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

namespace tnl {
namespace {

struct Place {
    size_t line = 1, column = 1;
};

Place place_of(std::string_view text, size_t byte) {
    const std::string_view before = text.substr(0, std::min(byte, text.size()));
    const auto newline = before.rfind('\n');
    const auto lines = std::count(before.begin(), before.end(), '\n');
    return {static_cast<size_t>(lines) + 1,
            newline == std::string_view::npos ? before.size() + 1 : before.size() - newline};
}

// nlohmann's "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..."
// without the parts that we say ourselves.
std::string reason_of(const char* what) {
    std::string reason = what;
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    if (reason.starts_with("parse error at "))
        if (const auto colon = reason.find(": "); colon != std::string::npos)
            reason.erase(0, colon + 2);
    // It repeats what was read last, which may be a document.
    constexpr size_t kMost = 200;
    if (reason.size() <= kMost) return reason;
    size_t end = kMost;
    while ((static_cast<unsigned char>(reason[end]) & 0xc0) == 0x80) --end; // amid a character
    return reason.substr(0, end) + " ...";
}

// The keys of the open objects.
class KeyGuard {
  public:
    KeyGuard(const std::string& name, const JsonLimits& limits) : name_(name), limits_(limits) {}

    bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
        using Event = Json::parse_event_t;
        if (event == Event::object_start || event == Event::array_start) {
            if (depth >= limits_.depth)
                fail("{}: JSON is nested deeper than {} levels", name_, limits_.depth);
            if (event == Event::object_start) open_.emplace_back();
        } else if (event == Event::object_end) {
            open_.pop_back();
        } else if (event == Event::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            if (!open_.back().insert(key).second)
                fail("{}: key \"{}\" appears twice in one JSON object", name_, key);
            if (open_.back().size() > limits_.keys)
                fail("{}: a JSON object of more than {} keys", name_, limits_.keys);
        }
        return true;
    }

  private:
    const std::string& name_;
    const JsonLimits& limits_;
    std::vector<std::unordered_set<std::string>> open_;
};

} // namespace

Json parse_json(std::string_view text, const std::string& name, JsonLimits limits) {
    if (text.size() > limits.bytes)
        fail("{}: JSON of {} bytes, wanted at most {}", name, text.size(), limits.bytes);
    KeyGuard guard(name, limits);
    try {
        return Json::parse(text.begin(), text.end(),
                           [&](int depth, Json::parse_event_t event, Json& parsed) {
                               return guard(depth, event, parsed);
                           });
    } catch (const Json::parse_error& error) {
        const Place place = place_of(text, error.byte == 0 ? 0 : error.byte - 1);
        fail("{}: invalid JSON at line {}, column {}: {}", name, place.line, place.column,
             reason_of(error.what()));
    } catch (const Json::exception& error) {
        fail("{}: invalid JSON: {}", name, reason_of(error.what()));
    }
}

Json parse_json_file(const std::filesystem::path& path, JsonLimits limits) {
    const MappedFile file(path);
    return parse_json(file.view(), path.string(), limits);
}

std::string json_excerpt(const Json& value) {
    constexpr size_t kMost = 60;
    if (value.is_object()) return "an object";
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() <= kMost) return text;
    size_t cut = kMost;
    while ((static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut; // at a character
    return text.substr(0, cut) + "...";
}

JsonFields::JsonFields(const Json& json, std::string place)
    : json_(json), place_(std::move(place)) {
    if (!json.is_object()) fail("{}: {}, wanted an object", place_, json_excerpt(json));
}

const Json& JsonFields::at(const char* field) const {
    const auto found = json_.find(field);
    if (found == json_.end()) fail("{}: has no {}", place_, field);
    return *found;
}

JsonFields JsonFields::section(const char* field) const {
    return {at(field), fmt::format("{}: {}", place_, field)};
}

int64_t JsonFields::whole(const char* field, int64_t least) const {
    const Json& value = at(field);
    const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= uint64_t{INT64_MAX}
                                                 : value.is_number_integer();
    if (!fits || value.get<int64_t>() < least)
        wrong(field, fmt::format("a whole number from {} on", least));
    return value.get<int64_t>();
}

uint64_t JsonFields::natural(const char* field) const {
    if (!at(field).is_number_unsigned()) wrong(field, "a whole number, 0 or more");
    return at(field).get<uint64_t>();
}

double JsonFields::number(const char* field) const {
    if (!at(field).is_number()) wrong(field, "a number");
    return at(field).get<double>();
}

std::optional<double> JsonFields::number_or_null(const char* field) const {
    return at(field).is_null() ? std::nullopt : std::optional(number(field));
}

std::string JsonFields::text(const char* field) const {
    if (!at(field).is_string()) wrong(field, "text");
    return at(field).get<std::string>();
}

std::vector<double> JsonFields::numbers(const char* field) const {
    const Json& list = at(field);
    if (!list.is_array() ||
        !std::all_of(list.begin(), list.end(), [](const Json& item) { return item.is_number(); }))
        wrong(field, "a list of numbers");
    return list.get<std::vector<double>>();
}

void JsonFields::wrong(const char* field, const std::string& wanted) const {
    fail("{}: {} is {}, wanted {}", place_, field, json_excerpt(at(field)), wanted);
}

} // namespace tnl
