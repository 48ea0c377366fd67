#include "corpus/rules/gopher_repetition.h"

#include "base/check.h"
#include "corpus/rules/python_text.h"

namespace tnl::corpus {
namespace {

struct Shares {
    double limit_elements, limit_characters;
    const char *elements_rule, *characters_rule;
};

Verdict check_parts(const std::vector<std::string_view>& parts, size_t characters,
                    const Shares& shares, Repeats& repeats) {
    if (shares.limit_elements == 0 && shares.limit_characters == 0) return Verdict::kept();
    const Duplicates found = repeats.duplicates(parts);
    const double elements = static_cast<double>(found.elements) / static_cast<double>(parts.size());
    if (shares.limit_elements != 0 && elements > shares.limit_elements)
        return Verdict::dropped(shares.elements_rule, elements, shares.limit_elements);
    const double share = static_cast<double>(found.characters) / static_cast<double>(characters);
    if (shares.limit_characters != 0 && share > shares.limit_characters)
        return Verdict::dropped(shares.characters_rule, share, shares.limit_characters);
    return Verdict::kept();
}

void validate_pairs(const std::vector<std::vector<double>>& pairs, const std::string& name,
                    bool rising) {
    double before = 0;
    for (const std::vector<double>& pair : pairs) {
        const bool whole = pair.size() == 2 && pair[0] >= 1 && pair[0] <= 64 &&
                           pair[0] == static_cast<double>(static_cast<int>(pair[0]));
        if (!whole || (rising && pair[0] <= before))
            throw UsageError(fmt::format("{} has [{}], wanted [n, share], n from 1 to 64{}", name,
                                         fmt::join(pair, ", "), rising ? ", rising" : ""));
        before = pair[0];
    }
}

} // namespace

void GopherRepetition::validate(const std::string& place) const {
    validate_pairs(top_n_grams, place + ".top_n_grams", true);
    validate_pairs(dup_n_grams, place + ".dup_n_grams", false);
}

Verdict check(const GopherRepetition& rules, DocumentView& document, Repeats& repeats) {
    const std::string_view text = document.text();
    if (text.empty()) return Verdict::dropped("empty", 0, 0);
    const size_t characters = document.characters();
    std::vector<std::string_view> parts;
    split_newline_runs(strip(text), 2, parts);
    Verdict verdict = check_parts(
        parts, characters,
        {rules.dup_para_frac, rules.dup_para_char_frac, "dup_para_frac", "dup_para_char_frac"},
        repeats);
    if (!verdict.keep) return verdict;
    split_newline_runs(text, 1, parts);
    verdict = check_parts(
        parts, characters,
        {rules.dup_line_frac, rules.dup_line_char_frac, "dup_line_frac", "dup_line_char_frac"},
        repeats);
    if (!verdict.keep) return verdict;
    const auto whole = static_cast<double>(characters);
    repeats.set_words(document);
    for (const std::vector<double>& pair : rules.top_n_grams) {
        const auto n = static_cast<size_t>(pair[0]);
        if (n > repeats.words()) continue;
        // Nearly always far below the threshold, and then so is what it bounds.
        if (static_cast<double>(repeats.top_n_gram_bound(n)) / whole <= pair[1]) continue;
        const double share = static_cast<double>(repeats.top_n_gram(n)) / whole;
        if (share > pair[1]) return Verdict::dropped(fmt::format("top_{}_gram", n), share, pair[1]);
    }
    for (const std::vector<double>& pair : rules.dup_n_grams) {
        const auto n = static_cast<size_t>(pair[0]);
        const double share = static_cast<double>(repeats.duplicated_n_grams(n)) / whole;
        if (share > pair[1])
            return Verdict::dropped(fmt::format("duplicated_{}_n_grams", n), share, pair[1]);
    }
    return Verdict::kept();
}

} // namespace tnl::corpus
