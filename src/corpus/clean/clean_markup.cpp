// HTML elements and entities, addresses, repeated punctuation.
#include "corpus/clean/clean.h"
#include "corpus/words/characters.h"

#include <algorithm>
#include <array>

namespace tnl::corpus {
namespace {

// Elements of HTML, of old ones too, sorted; "<stdio.h>" and "a < b" are none.
constexpr std::string_view kElements[] = {
    "a",        "abbr",     "acronym",  "address",  "area",     "article",    "aside",  "audio",
    "b",        "base",     "bdi",      "bdo",      "big",      "blockquote", "body",   "br",
    "button",   "canvas",   "caption",  "center",   "cite",     "code",       "col",    "colgroup",
    "data",     "datalist", "dd",       "del",      "details",  "dfn",        "dialog", "div",
    "dl",       "dt",       "em",       "embed",    "fieldset", "figcaption", "figure", "font",
    "footer",   "form",     "frame",    "frameset", "h1",       "h2",         "h3",     "h4",
    "h5",       "h6",       "head",     "header",   "hr",       "html",       "i",      "iframe",
    "img",      "input",    "ins",      "kbd",      "label",    "legend",     "li",     "link",
    "main",     "map",      "mark",     "meta",     "nav",      "noscript",   "object", "ol",
    "optgroup", "option",   "p",        "param",    "picture",  "pre",        "q",      "s",
    "samp",     "script",   "section",  "select",   "small",    "source",     "span",   "strike",
    "strong",   "style",    "sub",      "summary",  "sup",      "svg",        "table",  "tbody",
    "td",       "template", "textarea", "tfoot",    "th",       "thead",      "time",   "title",
    "tr",       "track",    "tt",       "u",        "ul",       "var",        "video",  "wbr"};
// Of these, after which text goes on in a new line.
constexpr std::string_view kBlocks[] = {
    "article", "aside",  "blockquote", "body",  "br",    "caption", "dd", "div",    "dl", "dt",
    "figure",  "footer", "form",       "h1",    "h2",    "h3",      "h4", "h5",     "h6", "head",
    "header",  "hr",     "html",       "li",    "main",  "nav",     "ol", "option", "p",  "pre",
    "section", "table",  "tbody",      "thead", "title", "tr",      "ul"};

template <size_t N> bool is_one_of(const std::string_view (&list)[N], std::string_view name) {
    return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

constexpr size_t kLongestTag = 4000; // bytes

struct Tag {
    size_t end = 0; // after it; 0: there is none
    std::string name;
    bool closes = false;
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

Tag tag_at(std::string_view text, size_t at) {
    Tag out;
    size_t i = at + 1;
    if (i < text.size() && text[i] == '/') {
        out.closes = true;
        ++i;
    }
    while (i < text.size() && (is_letter(text[i]) || is_digit(text[i])) && out.name.size() < 12)
        out.name += static_cast<char>(text[i++] | 0x20);
    if (i >= text.size() || !is_one_of(kElements, out.name)) return {};
    if (text[i] != '>' && text[i] != '/' && text[i] != ' ' && text[i] != '\n' && text[i] != '\t')
        return {};
    char quote = 0;
    for (const size_t stop = std::min(text.size(), at + kLongestTag); i < stop; ++i) {
        const char c = text[i];
        if (quote != 0) {
            if (c == '\n') return {}; // a quote that is not closed
            if (c == quote) quote = 0;
        } else if ((c == '"' || c == '\'') && text[i - 1] == '=') {
            quote = c;
        } else if (c == '<') {
            return {};
        } else if (c == '>') {
            out.end = i + 1;
            return out;
        }
    }
    return {};
}

// After </name>, wherever the case; the end of the text if there is none.
size_t element_end(std::string_view text, size_t from, std::string_view name) {
    for (size_t at = text.find("</", from); at != std::string_view::npos;
         at = text.find("</", at + 2)) {
        const Tag tag = tag_at(text, at);
        if (tag.end > 0 && tag.name == name) return tag.end;
    }
    return text.size();
}

struct Entity {
    std::string_view name;
    std::string_view text;
};
constexpr Entity kEntities[] = {
    {"amp", "&"},    {"lt", "<"},    {"gt", ">"},     {"quot", "\""},  {"apos", "'"},
    {"nbsp", " "},   {"copy", "©"},  {"reg", "®"},    {"trade", "™"},  {"deg", "°"},
    {"mdash", "—"},  {"ndash", "–"}, {"hellip", "…"}, {"lsquo", "‘"},  {"rsquo", "’"},
    {"ldquo", "“"},  {"rdquo", "”"}, {"laquo", "«"},  {"raquo", "»"},  {"bull", "•"},
    {"middot", "·"}, {"times", "×"}, {"eacute", "é"}, {"egrave", "è"}, {"agrave", "à"},
    {"ccedil", "ç"}, {"ouml", "ö"},  {"auml", "ä"},   {"uuml", "ü"},   {"szlig", "ß"},
    {"euro", "€"},   {"pound", "£"}, {"sect", "§"},   {"para", "¶"},   {"frac12", "½"}};

void append_utf8(std::string& out, char32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
        return;
    }
    char bytes[4];
    size_t count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = count; i-- > 1; c >>= 6) bytes[i] = static_cast<char>(0x80 | (c & 0x3F));
    bytes[0] = static_cast<char>((0xF00u >> count & 0xF0) | c);
    out.append(bytes, count);
}

// Appends what an entity at text[at] stands for and answers where it ends; `at` if there is none.
size_t append_entity(std::string_view text, size_t at, std::string& out) {
    const size_t end = text.substr(at, 12).find(';');
    if (end == std::string_view::npos) return at;
    const std::string_view name = text.substr(at + 1, end - 1);
    if (name.starts_with('#')) {
        const bool hex = name.size() > 1 && (name[1] | 0x20) == 'x';
        const std::string digits(name.substr(hex ? 2 : 1));
        if (digits.empty() || digits.find_first_not_of(hex ? "0123456789abcdefABCDEF"
                                                           : "0123456789") != std::string::npos)
            return at;
        const unsigned long code = std::stoul(digits, nullptr, hex ? 16 : 10);
        if (code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0xD800 && code < 0xE000) ||
            code > 0x10FFFF)
            return at;
        append_utf8(out, static_cast<char32_t>(code));
        return at + end + 1;
    }
    for (const Entity& entity : kEntities) {
        if (entity.name != name) continue;
        out += entity.text;
        return at + end + 1;
    }
    return at;
}

// After the address that begins at text[at], or `at`: a scheme and //, or www., up to a space or a
// mark that does not end an address.
size_t address_end(std::string_view text, size_t at) {
    constexpr std::string_view kBegins[] = {"http://", "https://", "ftp://", "www.",
                                            "HTTP://", "HTTPS://", "FTP://", "WWW."};
    constexpr ByteSet kNoAddress("<>\"{}|\\^`"), kAfterAddress(".,;:!?'*_]"), kFirst("hHfFwW");
    if (at >= text.size() || !kFirst(text[at])) return at;
    if (at > 0 && (is_letter(text[at - 1]) || is_digit(text[at - 1]))) return at;
    const std::string_view rest = text.substr(at);
    for (const std::string_view begin : kBegins) {
        if (!rest.starts_with(begin)) continue;
        size_t end = at + begin.size();
        const size_t least = end;
        int open = 0;
        while (end < text.size()) {
            const Character c = character_at(text, end);
            if (character_bits()[c.code] & kSpace) break;
            // Addresses are of ASCII, or letters; 。 and ） are of the text around them.
            if (c.code >= 0x80 && !(character_bits()[c.code] & kWordChar)) break;
            if (c.code < 0x80 && kNoAddress(text[end])) break;
            if (text[end] == '(') ++open;
            if (text[end] == ')' && open-- == 0) break;
            end += c.bytes;
        }
        while (end > least && kAfterAddress(text[end - 1])) --end;
        return end > least ? end : at;
    }
    return at;
}

// Of "[text](address)" at its bracket: where the text ends and what is behind the link; 0 if it is
// none.
struct Link {
    size_t text_end = 0, end = 0;
};
Link link_at(std::string_view text, size_t at) {
    constexpr size_t kLongestLink = 2000; // bytes
    const std::string_view line = text.substr(0, std::min(text.find('\n', at), at + kLongestLink));
    const size_t close = line.find("](", at);
    if (close == std::string_view::npos) return {};
    const size_t address = close + 2, behind = address_end(text, address);
    const size_t end = behind == address ? std::string_view::npos : line.find(')', behind);
    if (end == std::string_view::npos) return {};
    // Inside a pair of brackets of its own.
    if (text.substr(at + 1, close - at - 1).find('[') != std::string_view::npos) return {};
    return {close, end + 1};
}

constexpr std::u32string_view kOnce = U"!?,;:、，。！？；：～·"; // of a run one stays

} // namespace

void strip_tags(std::string_view text, std::string& out) {
    out.clear();
    for (size_t at = 0; at < text.size();) {
        constexpr ByteSet kMarks("<&");
        const size_t next = kMarks.next(text, at);
        out.append(text, at, next - at);
        at = next;
        if (at == text.size()) break;
        if (text[at] == '&') {
            const size_t end = append_entity(text, at, out);
            if (end == at) out += '&';
            at = std::max(end, at + 1);
            continue;
        }
        const std::string_view rest = text.substr(at);
        if (rest.starts_with("<!--")) {
            const size_t end = text.find("-->", at);
            at = end == std::string_view::npos ? text.size() : end + 3;
            continue;
        }
        if (rest.starts_with("<!DOCTYPE") || rest.starts_with("<!doctype")) {
            at = std::min(text.find('>', at), text.size() - 1) + 1;
            continue;
        }
        const Tag tag = tag_at(text, at);
        if (tag.end == 0) {
            out += '<';
            ++at;
            continue;
        }
        at = tag.end;
        if (!tag.closes && (tag.name == "script" || tag.name == "style"))
            at = element_end(text, at, tag.name);
        if (is_one_of(kBlocks, tag.name))
            out += '\n';
        else if ((tag.name == "td" || tag.name == "th") && !out.empty() && out.back() != '\n')
            out += ' ';
    }
}

void strip_urls(std::string_view text, std::string& out) {
    out.clear();
    for (size_t at = 0; at < text.size();) {
        constexpr ByteSet kMarks("hHfFwW[<");
        size_t next = kMarks.next(text, at);
        // Most of these letters are amid words, or begin others.
        while (next < text.size() && is_letter(text[next]) && address_end(text, next) == next)
            next = kMarks.next(text, next + 1);
        out.append(text, at, next - at);
        at = next;
        if (at == text.size()) break;
        if (text[at] == '[') {
            const Link link = link_at(text, at);
            if (link.end > 0) {
                if (!out.empty() && out.back() == '!') out.pop_back(); // a picture's
                out.append(text, at + 1, link.text_end - at - 1);
                at = std::min(link.end, text.size());
                continue;
            }
        }
        const bool angle = text[at] == '<' && at + 1 < text.size();
        const size_t end = angle ? address_end(text, at + 1) : address_end(text, at);
        if (angle && end > at + 1 && end < text.size() && text[end] == '>') {
            at = end + 1;
        } else if (!angle && end > at) {
            at = end;
        } else {
            out += text[at++];
        }
    }
}

void strip_repeated_punctuation(std::string_view text, std::string& out) {
    constexpr std::string_view kThrice = "-_=*#~+|/\\";
    constexpr size_t kMany = 6; // Markdown's headings have at most these
    out.clear();
    for (size_t at = 0; at < text.size();) {
        size_t plain = at; // letters, digits and spaces
        while (plain < text.size() &&
               (is_letter(text[plain]) || is_digit(text[plain]) || text[plain] == ' '))
            ++plain;
        out.append(text, at, plain - at);
        at = plain;
        if (at == text.size()) break;
        const Character c = character_at(text, at);
        const std::string_view mark = text.substr(at, c.bytes);
        size_t count = 1;
        while (text.substr(at + count * c.bytes).starts_with(mark)) ++count;
        size_t kept = count;
        if (count > 1) {
            if (c.code == '.')
                kept = std::min<size_t>(count, 3);
            else if (c.code == ':' && count == 2)
                kept = 2; // as in std::string
            else if (c.code == U'…' || kOnce.find(c.code) != std::u32string_view::npos)
                kept = 1;
            else if (count > kMany && c.code < 0x80 &&
                     kThrice.find(text[at]) != std::string_view::npos)
                kept = 3;
        }
        for (size_t i = 0; i < kept; ++i) out += mark;
        at += count * c.bytes;
    }
}

} // namespace tnl::corpus
