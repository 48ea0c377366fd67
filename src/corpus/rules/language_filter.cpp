#include "corpus/rules/language_filter.h"

#include "base/check.h"

#include <algorithm>

namespace tnl::corpus {

void LanguageRules::validate(const std::string& place) const {
    if (model.empty())
        throw UsageError(fmt::format("{}: step language without a model, wanted "
                                     "language.model=lid.176.bin or another of fastText's",
                                     place));
}

LanguageFilter::LanguageFilter(const LanguageRules& rules) : rules_(rules), model_(rules.model) {
    const std::vector<std::string> known = model_.labels();
    for (const std::string& language : rules.languages)
        if (std::find(known.begin(), known.end(), language) == known.end())
            throw UsageError(fmt::format("language.languages: '{}' is no label of {}, which has "
                                         "{}, {} ... ({} in all)",
                                         language, rules.model, known[0], known.back(),
                                         known.size()));
}

Verdict LanguageFilter::check(std::string_view text, LanguageModel::Scratch& scratch,
                              Label& label) const {
    const std::vector<LanguageModel::Guess> guesses = model_.guess(text, scratch);
    label = {};
    if (!guesses.empty())
        label = {std::string(guesses[0].label), static_cast<double>(guesses[0].score)};
    double score = label.score;
    if (!rules_.languages.empty()) {
        score = 0;
        for (const LanguageModel::Guess& guess : guesses)
            if (std::find(rules_.languages.begin(), rules_.languages.end(), guess.label) !=
                rules_.languages.end())
                score = std::max(score, static_cast<double>(guess.score));
    }
    if (rules_.only_label || score > rules_.threshold) return Verdict::kept();
    Verdict out = Verdict::dropped("language", score, rules_.threshold);
    out.detail = label.name;
    return out;
}

} // namespace tnl::corpus
