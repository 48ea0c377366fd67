#include "corpus/rules/gopher_quality.h"

#include "corpus/rules/python_text.h"

#include <algorithm>
#include <utility>

namespace tnl::corpus {
namespace {

double ratio(size_t part, size_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct WordCounts {
    size_t text = 0, text_characters = 0; // words that are more than punctuation
    size_t alphabetic = 0;
};

WordCounts count_words(DocumentView& document) {
    WordCounts out;
    for (const uint32_t word : document.words()) {
        const Lexeme& lexeme = document.lexeme(word);
        const size_t text = (lexeme.flags & Lexeme::kText) != 0;
        out.text += text;
        out.text_characters += text * lexeme.characters;
        out.alphabetic += (lexeme.flags & Lexeme::kAlpha) != 0;
    }
    return out;
}

bool ends_in_ellipsis(std::string_view line) {
    const std::string_view end = strip_right(line);
    return end.ends_with("...") || end.ends_with("…");
}

bool begins_with_bullet(std::string_view line) {
    const std::string_view begin = strip_left(line);
    return begin.starts_with("•") || begin.starts_with("-");
}

// Different stop words that are among the words; a word's lexeme is marked until it is met.
size_t count_stop_words(const std::vector<std::string>& stop_words, DocumentView& document) {
    const std::vector<uint32_t>& words = document.words();
    Lexicon& lexicon = document.lexicon();
    size_t left = 0, found = 0;
    for (const std::string& word : stop_words) {
        uint32_t& mark = lexicon.count(lexicon.lexeme_of(word));
        left += mark == 0;
        mark = 1;
    }
    for (size_t i = 0; i < words.size() && left > 0; ++i) {
        uint32_t& mark = lexicon.count(words[i]);
        found += mark;
        left -= mark;
        mark = 0;
    }
    for (const std::string& word : stop_words) lexicon.count(lexicon.lexeme_of(word)) = 0;
    return found;
}

Verdict check_lines(const GopherQuality& rules, std::string_view text) {
    if (rules.max_bullet_lines_ratio == 0 && rules.max_ellipsis_lines_ratio == 0)
        return Verdict::kept();
    std::vector<std::string_view> lines;
    split_lines(text, lines);
    const auto share = [&](auto is) {
        return ratio(static_cast<size_t>(std::count_if(lines.begin(), lines.end(), is)),
                     lines.size());
    };
    if (rules.max_bullet_lines_ratio != 0)
        if (const double value = share(begins_with_bullet); value > rules.max_bullet_lines_ratio)
            return Verdict::dropped("gopher_too_many_bullets", value, rules.max_bullet_lines_ratio);
    if (rules.max_ellipsis_lines_ratio != 0)
        if (const double value = share(ends_in_ellipsis); value > rules.max_ellipsis_lines_ratio)
            return Verdict::dropped("gopher_too_many_end_ellipsis", value,
                                    rules.max_ellipsis_lines_ratio);
    return Verdict::kept();
}

} // namespace

Verdict check(const GopherQuality& rules, DocumentView& document) {
    const WordCounts counts = count_words(document);
    const std::string_view text = document.text();
    const size_t words = document.words().size();
    const auto long_words = static_cast<double>(counts.text);
    if (rules.min_doc_words != 0 && std::cmp_less(counts.text, rules.min_doc_words))
        return Verdict::dropped("gopher_short_doc", long_words,
                                static_cast<double>(rules.min_doc_words));
    if (rules.max_doc_words != 0 && std::cmp_greater(counts.text, rules.max_doc_words))
        return Verdict::dropped("gopher_long_doc", long_words,
                                static_cast<double>(rules.max_doc_words));
    if (counts.text > 0) {
        const double mean = ratio(counts.text_characters, counts.text);
        if (rules.min_avg_word_length != 0 && mean < rules.min_avg_word_length)
            return Verdict::dropped("gopher_below_avg_threshold", mean, rules.min_avg_word_length);
        if (rules.max_avg_word_length != 0 && mean > rules.max_avg_word_length)
            return Verdict::dropped("gopher_above_avg_threshold", mean, rules.max_avg_word_length);
    }
    if (rules.max_symbol_word_ratio != 0) {
        const double hashes =
            ratio(static_cast<size_t>(std::count(text.begin(), text.end(), '#')), words);
        if (hashes > rules.max_symbol_word_ratio)
            return Verdict::dropped("gopher_too_many_hashes", hashes, rules.max_symbol_word_ratio);
        const double ellipses = ratio(count_of(text, "...") + count_of(text, "…"), words);
        if (ellipses > rules.max_symbol_word_ratio)
            return Verdict::dropped("gopher_too_many_ellipsis", ellipses,
                                    rules.max_symbol_word_ratio);
    }
    if (Verdict lines = check_lines(rules, text); !lines.keep) return lines;
    const double alphabetic = ratio(counts.alphabetic, words);
    if (rules.max_non_alpha_words_ratio != 0 && alphabetic < rules.max_non_alpha_words_ratio)
        return Verdict::dropped("gopher_below_alpha_threshold", alphabetic,
                                rules.max_non_alpha_words_ratio);
    if (rules.min_stop_words != 0) {
        const size_t found = count_stop_words(rules.stop_words, document);
        if (std::cmp_less(found, rules.min_stop_words))
            return Verdict::dropped("gopher_enough_stop_words", static_cast<double>(found),
                                    static_cast<double>(rules.min_stop_words));
    }
    return Verdict::kept();
}

} // namespace tnl::corpus
