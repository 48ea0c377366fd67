#include "corpus/io/json_fields.h"

#include "base/check.h"
#include "base/json.h"

#include <simdjson.h>

#include <bit>
#include <cstring>

namespace tnl::corpus {
namespace {

namespace dom = simdjson::dom;

// Whether one of eight bytes is a quote or a backslash: the lowest such byte's high bit is set.
uint64_t quotes_and_backslashes(uint64_t word) {
    constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
    const uint64_t quote = word ^ (kOnes * '"'), backslash = word ^ (kOnes * '\\');
    return (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash)) & kHigh;
}

// After a string of valid JSON that begins at `at`, at its quote.
size_t string_end(std::string_view json, size_t at) {
    for (++at;;) {
        while (at + 8 <= json.size()) {
            uint64_t word = 0;
            std::memcpy(&word, json.data() + at, 8);
            if (const uint64_t hits = quotes_and_backslashes(word)) {
                at += static_cast<size_t>(std::countr_zero(hits)) / 8;
                break;
            }
            at += 8;
        }
        while (at < json.size() && json[at] != '"' && json[at] != '\\') ++at;
        if (at >= json.size()) return json.size();
        if (json[at] == '"') return at + 1;
        at += 2;
    }
}

size_t skip_space(std::string_view json, size_t at) {
    return std::min(json.find_first_not_of(" \t\r\n", at), json.size());
}

// After a value of valid JSON.
size_t value_end(std::string_view json, size_t at) {
    int depth = 0;
    while (at < json.size()) {
        const char c = json[at];
        if (c == '"') {
            at = string_end(json, at);
        } else {
            if (depth == 0 && (c == ',' || c == '}' || c == ' ' || c == '\t' || c == '\r'))
                return at;
            ++at;
            if (c == '{' || c == '[') ++depth;
            if (c == '}' || c == ']') --depth;
            if (c != '}' && c != ']' && c != '{' && c != '[') continue; // amid a number or a word
        }
        if (depth == 0) return at;
    }
    return at;
}

// Numbers, true, false and null as they are written.
std::string plain_value(const dom::element& value, std::string_view json, std::string_view key) {
    switch (value.type()) {
    case dom::element_type::STRING:
        return std::string(value.get_string().value_unsafe());
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
        return {};
    default:
        return std::string(raw_value(json, key));
    }
}

std::string dotted_value(std::string_view json, const dom::object& object, std::string_view path) {
    dom::element value;
    if (object.at_key(path).get(value) == simdjson::SUCCESS) return plain_value(value, json, path);
    for (size_t dot = path.find('.'); dot != std::string_view::npos;
         dot = path.find('.', dot + 1)) {
        const std::string_view key = path.substr(0, dot);
        dom::object inner;
        if (object.at_key(key).get(inner) == simdjson::SUCCESS)
            return dotted_value(raw_value(json, key), inner, path.substr(dot + 1));
    }
    return {};
}

} // namespace

bool valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string_view raw_value(std::string_view json, std::string_view key) {
    size_t at = skip_space(json, 0) + 1; // {
    for (;;) {
        at = skip_space(json, at);
        if (at >= json.size() || json[at] != '"') return {};
        const size_t end = string_end(json, at);
        const bool found = json.substr(at + 1, end - at - 2) == key;
        at = skip_space(json, skip_space(json, end) + 1); // :
        const size_t stop = value_end(json, at);
        if (found) return json.substr(at, stop - at);
        at = skip_space(json, stop) + 1; // ,
    }
}

struct JsonRecordFields::Parser {
    dom::parser simdjson;
};

JsonRecordFields::JsonRecordFields(std::string text_field, std::string id_field,
                                   std::vector<std::string> fields)
    : parser_(std::make_unique<Parser>()), text_field_(std::move(text_field)),
      id_field_(std::move(id_field)), fields_(std::move(fields)) {}
JsonRecordFields::~JsonRecordFields() = default;

void JsonRecordFields::read(std::string_view line, const std::string& place, Record& record) {
    dom::element root;
    if (parser_->simdjson.parse(line.data(), line.size(), false).get(root) != simdjson::SUCCESS) {
        parse_json(line, place, {.bytes = line.size()}); // says what is wrong, and where
        fail("{}: JSON with a number that has no place in 64 bits", place);
    }
    dom::object object;
    if (root.get(object) != simdjson::SUCCESS)
        fail("{}: the record is no JSON object, wanted {{\"{}\": \"...\"}}", place, text_field_);
    int texts = 0;
    record.id.clear();
    for (const dom::key_value_pair field : object) {
        if (field.key == text_field_) {
            if (!field.value.is_string())
                fail("{}: field '{}' is {:.40}, wanted a string", place, text_field_,
                     raw_value(line, field.key));
            record.text = field.value.get_string().value_unsafe();
            ++texts;
        } else if (field.key == id_field_ && !field.value.is_null()) {
            record.id = plain_value(field.value, line, field.key);
        }
    }
    if (texts != 1)
        fail("{}: the record has {} '{}', wanted one", place,
             texts == 0 ? "no field" : "two fields", text_field_);
    for (size_t i = 0; i < fields_.size(); ++i)
        record.fields[i] = dotted_value(line, object, fields_[i]);
    const std::string_view raw = raw_value(line, text_field_);
    if (raw.empty())
        fail("{}: the name of field '{}' is written with escapes, wanted it plain", place,
             text_field_);
    const auto begin = static_cast<size_t>(raw.data() - line.data());
    record.before = line.substr(0, begin);
    record.text_json = raw;
    record.after = line.substr(begin + raw.size());
}

} // namespace tnl::corpus
