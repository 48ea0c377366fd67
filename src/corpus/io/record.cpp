#include "corpus/io/record.h"

#include "corpus/io/json_fields.h"

#include <array>

namespace tnl::corpus {
namespace {

// What stands for a byte after a backslash; 'u' for \u00XX, 0 for itself.
constexpr std::array<char, 256> kEscapes = [] {
    std::array<char, 256> out{};
    for (size_t c = 0; c < 0x20; ++c) out[c] = 'u';
    out['\b'] = 'b';
    out['\f'] = 'f';
    out['\n'] = 'n';
    out['\r'] = 'r';
    out['\t'] = 't';
    out['"'] = '"';
    out['\\'] = '\\';
    return out;
}();

} // namespace

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    size_t begin = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const char escape = kEscapes[byte];
        if (escape == 0) [[likely]]
            continue;
        out.append(text, begin, i - begin);
        begin = i + 1;
        out += '\\';
        out += escape;
        if (escape == 'u') {
            constexpr std::string_view kDigits = "0123456789abcdef";
            out += "00";
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        }
    }
    out.append(text, begin);
    out += '"';
}

void Record::set_text(std::string_view to) {
    text = to;
    text_json.clear();
    append_json_string(text_json, text);
}

void Record::set_field(std::string_view name, std::string_view value) {
    std::string json = before + "0"; // for the text
    json += after;
    const std::string_view old = raw_value(json, name);
    if (old.empty()) {
        std::string field = ", ";
        append_json_string(field, name);
        field.append(": ").append(value);
        after.insert(after.rfind('}'), field);
        return;
    }
    const auto at = static_cast<size_t>(old.data() - json.data());
    if (at < before.size())
        before.replace(at, old.size(), value);
    else
        after.replace(at - before.size() - 1, old.size(), value);
}

void Record::append_json(std::string& out) const {
    out += before;
    out += text_json;
    out += after;
    out += '\n';
}

} // namespace tnl::corpus
