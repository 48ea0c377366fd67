// JSON of files that may be wrong: syntax errors with line and column; duplicate keys, deep nesting
// and huge objects refused.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

using Json = nlohmann::ordered_json; // keys stay in the order of the file

struct JsonLimits {
    int depth = 64; // nested objects and arrays
    size_t bytes = size_t{100} << 20;
    size_t keys = 1 << 14; // of one object: finding a key takes time in their number
};

// `name` stands for the file in errors. Throws Error naming it, line and column.
Json parse_json(std::string_view text, const std::string& name, JsonLimits limits = {});
Json parse_json_file(const std::filesystem::path& path, JsonLimits limits = {});

// The value of a JSON, shortened for a message: "abc", 12, [1, 2, ...
std::string json_excerpt(const Json& value);

// The fields of an object, each of which must be there and of its kind: throws Error naming
// `place` (a file, or a section of one), field, value and what is wanted. The JSON must outlive it.
class JsonFields {
  public:
    JsonFields(const Json& json, std::string place);
    const Json& at(const char* field) const;
    JsonFields section(const char* field) const;
    int64_t whole(const char* field, int64_t least = 0) const; // at least that
    uint64_t natural(const char* field) const;                 // up to 2^64-1
    double number(const char* field) const;
    std::optional<double> number_or_null(const char* field) const;
    std::string text(const char* field) const;
    std::vector<double> numbers(const char* field) const;

  private:
    [[noreturn]] void wrong(const char* field, const std::string& wanted) const;
    const Json& json_;
    std::string place_;
};

} // namespace tnl
