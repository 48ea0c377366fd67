#include "corpus/dedup/pieces.h"

#include "corpus/dedup/characters.h"
#include "corpus/dedup/simplify.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

// cc_net's UNICODE_PUNCT.
constexpr std::u32string_view kRemoved =
    U"\u00AB\u00B4\u00BB\u2013\u2014\u2019\u201C\u201D\u201E\u2026\u2236\u2501\u25BA\u3001\u3002"
    U"\u3008\u3009\u300A\u300B\u300C\u300D\u3010\u3011\uFF01\uFF05\uFF08\uFF09\uFF0C\uFF0E\uFF11"
    U"\uFF1A\uFF1B\uFF1F\uFF5E";

std::string_view stripped(std::string_view text) {
    size_t begin = 0;
    for (size_t at = 0; at < text.size() && is_space(next_character(text, at));) begin = at;
    size_t end = text.size();
    while (end > begin) {
        size_t start = end - 1;
        while (start > begin && (text[start] & '\xC0') == '\x80') --start;
        size_t at = start;
        if (!is_space(next_character(text, at))) break;
        end = start;
    }
    return text.substr(begin, end - begin);
}

void ccnet_form(std::string_view text, std::string& out) {
    out.clear();
    text = stripped(text);
    for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        const char32_t c = next_character(text, at);
        if (c == 0x3A3) {
            append_utf8(out, lower_sigma(text, begin));
            continue;
        }
        if (is_digit(c)) {
            out += '0';
            continue;
        }
        for (const char32_t low : lower(c)) {
            const bool control = low < 32 || (low >= 127 && low < 160);
            if (!control && !std::binary_search(kRemoved.begin(), kRemoved.end(), low))
                append_utf8(out, low);
        }
    }
}

char lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool starts_with_scheme(std::string_view url, std::string_view scheme) {
    return url.size() >= scheme.size() &&
           std::equal(scheme.begin(), scheme.end(), url.begin(),
                      [](char a, char b) { return a == lower_ascii(b); });
}

} // namespace

std::vector<std::pair<std::string_view, PieceForm>> enum_names(PieceForm) {
    return {
        {"none", PieceForm::none}, {"ccnet", PieceForm::ccnet}, {"simplify", PieceForm::simplify}};
}

void find_pieces(std::string_view text, PieceKind kind, std::vector<Piece>& out) {
    out.clear();
    if (kind == PieceKind::exact || kind == PieceKind::url) {
        out.push_back({0, text.size(), text.size()});
        return;
    }
    const size_t least = kind == PieceKind::paragraph ? 2 : 1; // line breaks that end a piece
    for (size_t begin = 0, at = 0; begin < text.size();) {
        const size_t newline = std::min(text.find('\n', at), text.size());
        size_t next = newline;
        while (next < text.size() && text[next] == '\n' && (least > 1 || next == newline)) ++next;
        at = next;
        if (newline < text.size() && next - newline < least) continue;
        out.push_back({begin, newline, next});
        begin = next;
    }
}

std::string canonical_url(std::string_view url) {
    url = stripped(url);
    std::string_view port;
    for (const auto& [scheme, its_port] : {std::pair("http://", ":80"), {"https://", ":443"}})
        if (starts_with_scheme(url, scheme)) {
            url.remove_prefix(std::string_view(scheme).size());
            port = its_port;
            break;
        }
    url = url.substr(0, url.find('#'));
    const size_t host_end = std::min(url.find_first_of("/?"), url.size());
    std::string host(url.substr(0, host_end));
    std::transform(host.begin(), host.end(), host.begin(), lower_ascii);
    if (!port.empty() && host.ends_with(port)) host.resize(host.size() - port.size());
    if (host.starts_with("www.")) host.erase(0, 4);
    std::string_view rest = url.substr(host_end);
    const size_t question = std::min(rest.find('?'), rest.size());
    std::string_view path = rest.substr(0, question), query = rest.substr(question);
    while (path.ends_with('/')) path.remove_suffix(1);
    std::string out = host + std::string(path);
    if (query.size() <= 1) return out;
    std::vector<std::string_view> parameters;
    for (size_t begin = 1; begin <= query.size();) {
        const size_t end = std::min(query.find('&', begin), query.size());
        if (end > begin) parameters.push_back(query.substr(begin, end - begin));
        begin = end + 1;
    }
    std::sort(parameters.begin(), parameters.end());
    char before = '?';
    for (const std::string_view parameter : parameters) {
        out += before;
        out += parameter;
        before = '&';
    }
    return out;
}

bool PieceHasher::operator()(std::string_view piece, XXH128_hash_t& hash) {
    if (form_ == PieceForm::ccnet)
        ccnet_form(piece, buffer_);
    else if (form_ == PieceForm::simplify)
        simplify(piece, buffer_);
    else if (stripped(piece).empty())
        return false;
    if (form_ != PieceForm::none) piece = buffer_;
    hash = XXH3_128bits(piece.data(), piece.size());
    return !piece.empty();
}

} // namespace tnl::corpus
