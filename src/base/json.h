// JSON of files that may be wrong: syntax errors with line and column, duplicate keys and deep
// nesting refused.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <string_view>

namespace tnl {

using Json = nlohmann::ordered_json; // keys stay in the order of the file

struct JsonLimits {
    int depth = 64; // nested objects and arrays
    size_t bytes = size_t{100} << 20;
};

// `name` stands for the file in errors. Throws Error naming it, line and column.
Json parse_json(std::string_view text, const std::string& name, JsonLimits limits = {});
Json parse_json_file(const std::filesystem::path& path, JsonLimits limits = {});

// The value of a JSON, shortened for a message: "abc", 12, [1, 2, ...
std::string json_excerpt(const Json& value);

} // namespace tnl
