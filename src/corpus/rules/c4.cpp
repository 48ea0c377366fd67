#include "corpus/rules/c4.h"

#include "corpus/rules/python_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tnl::corpus {
namespace {

bool contains(std::string_view text, std::string_view what) {
    return ::memmem(text.data(), text.size(), what.data(), what.size()) != nullptr;
}

// Enough of str.lower() to find lower-case ASCII: no other character becomes an ASCII letter, but
// for the Kelvin sign (and the dotted I, which leaves a dot behind it that the phrases sought do
// not have).
void fold(std::string_view text, std::string& out) {
    constexpr std::string_view kKelvin = "\u212A";
    out.resize(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        out[i] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    for (size_t at = out.find(kKelvin); at != std::string::npos; at = out.find(kKelvin, at))
        out.replace(at, kKelvin.size(), "k");
}

constexpr std::string_view kPolicies[] = {"terms of use", "privacy policy", "cookie policy",
                                          "uses cookies", "use of cookies", "use cookies"};

// What lines say that drops them or the document, in folded text.
struct Phrases {
    bool lorem, javascript, policy;
    bool any() const { return lorem || javascript || policy; }
};
Phrases phrases_of(std::string_view folded) {
    return {contains(folded, "lorem ipsum"), contains(folded, "javascript"),
            std::any_of(std::begin(kPolicies), std::end(kPolicies),
                        [&](std::string_view phrase) { return contains(folded, phrase); })};
}
// Whether a text can have any of them: fewer phrases to look for.
bool may_have_phrases(std::string_view folded) {
    return contains(folded, "lorem ipsum") || contains(folded, "javascript") ||
           contains(folded, "policy") || contains(folded, "cookie") ||
           contains(folded, "terms of use");
}

struct LineWords {
    int64_t count = 0, longest = 0; // words, characters of the longest
};
// No further than to `enough` words, if none can have more than `most` characters.
LineWords count_words(std::string_view line, int64_t enough, int64_t most) {
    const bool all_short = most < 0 || std::cmp_less_equal(line.size(), most);
    const uint32_t* bits = character_bits();
    LineWords out;
    int64_t length = 0;
    for (size_t at = 0; at < line.size();) {
        const Character c = character_at(line, at);
        at += c.bytes;
        if (bits[c.code] & kSpace) {
            length = 0;
        } else {
            if (length == 0 && ++out.count >= enough && all_short) break;
            out.longest = std::max(out.longest, ++length);
        }
    }
    return out;
}

// \[\d*]|\[edit]|\[citation needed]
size_t citation_at(std::string_view line, size_t at) {
    const std::string_view rest = line.substr(at);
    for (const std::string_view whole : {"[edit]", "[citation needed]"})
        if (rest.starts_with(whole)) return whole.size();
    size_t end = 1;
    while (end < rest.size() && rest[end] != ']') {
        const Character c = character_at(rest, end);
        if (!(character_bits()[c.code] & kDecimal)) return 0;
        end += c.bytes;
    }
    return end < rest.size() ? end + 1 : 0;
}

std::string_view without_citations(std::string_view line, std::string& buffer) {
    size_t at = line.find('[');
    if (at == std::string_view::npos) return line;
    buffer.clear();
    size_t from = 0;
    while (at != std::string_view::npos) {
        const size_t length = citation_at(line, at);
        if (length > 0) buffer.append(line, from, at - from);
        at += std::max<size_t>(length, 1);
        if (length > 0) from = at;
        at = line.find('[', at);
    }
    buffer.append(line, from);
    return buffer;
}

bool ends_terminally(std::string_view line) {
    return !line.empty() &&
           std::string_view(".?!\"'").find(line.back()) != std::string_view::npos &&
           !line.ends_with("...");
}

} // namespace

Verdict check(const C4Quality& rules, DocumentView& document, std::string& text) {
    std::vector<std::string_view> lines;
    split_lines(document.text(), lines);
    std::string folded, buffer;
    fold(document.text(), folded);
    const bool phrases = may_have_phrases(folded);
    size_t sentences = 0;
    const auto enough = static_cast<size_t>(std::max<int64_t>(rules.min_num_sentences, 0));
    text.clear();
    bool first = true;
    for (std::string_view line : lines) {
        line = strip(line);
        const LineWords words = count_words(line, rules.min_words_per_line, rules.max_word_length);
        if (rules.max_word_length != -1 && words.longest > rules.max_word_length) continue;
        if (rules.remove_citations) line = without_citations(line, buffer);
        if (rules.filter_no_terminal_punct && !ends_terminally(line)) continue;
        if (words.count < rules.min_words_per_line) continue;
        Phrases said{};
        if (phrases) {
            fold(line, folded);
            said = phrases_of(folded);
        }
        if (rules.filter_lorem_ipsum && said.lorem) return Verdict::dropped("lorem_ipsum", 1, 0);
        if (rules.filter_javascript && said.javascript) continue;
        if (rules.filter_curly_bracket && line.find('{') != std::string_view::npos)
            return Verdict::dropped("curly_bracket", 1, 0);
        if (rules.filter_policy && said.policy) continue;
        if (rules.min_num_sentences != -1 && sentences < enough)
            sentences += document.sentences(line, enough - sentences);
        if (!first) text += '\n';
        first = false;
        text += line;
    }
    if (std::cmp_less(sentences, rules.min_num_sentences))
        return Verdict::dropped("too_few_sentences", static_cast<double>(sentences),
                                static_cast<double>(rules.min_num_sentences));
    const std::string_view stripped = strip(text);
    if (stripped.size() != text.size()) text = std::string(stripped);
    return Verdict::kept();
}

Verdict check(const C4Paragraphs& rules, DocumentView& document) {
    std::vector<std::string_view> lines;
    split_newlines(document.text(), lines);
    const auto found = std::count_if(lines.begin(), lines.end(), [&](std::string_view line) {
        return std::cmp_greater_equal(count_characters(line), rules.min_paragraph_len);
    });
    if (found >= rules.min_paragraphs) return Verdict::kept();
    return Verdict::dropped(fmt::format("< {} paragraphs", rules.min_paragraphs),
                            static_cast<double>(found), static_cast<double>(rules.min_paragraphs));
}

} // namespace tnl::corpus
