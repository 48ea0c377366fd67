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
    return reason;
}

// The keys of the open objects.
class KeyGuard {
  public:
    KeyGuard(const std::string& name, int max_depth) : name_(name), max_depth_(max_depth) {}

    bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
        using Event = Json::parse_event_t;
        if (event == Event::object_start || event == Event::array_start) {
            if (depth >= max_depth_)
                fail("{}: JSON is nested deeper than {} levels", name_, max_depth_);
            if (event == Event::object_start) open_.emplace_back();
        } else if (event == Event::object_end) {
            open_.pop_back();
        } else if (event == Event::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            if (!open_.back().insert(key).second)
                fail("{}: key \"{}\" appears twice in one JSON object", name_, key);
        }
        return true;
    }

  private:
    const std::string& name_;
    int max_depth_;
    std::vector<std::unordered_set<std::string>> open_;
};

} // namespace

Json parse_json(std::string_view text, const std::string& name, JsonLimits limits) {
    if (text.size() > limits.bytes)
        fail("{}: JSON of {} bytes, wanted at most {}", name, text.size(), limits.bytes);
    KeyGuard guard(name, limits.depth);
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
    if (text.size() > kMost) text = text.substr(0, kMost) + "...";
    return text;
}

} // namespace tnl
