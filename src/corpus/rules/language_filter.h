// Documents by the language they are in, as datatrove's LanguageFilter decides it.
#pragma once

#include "corpus/language/model.h"
#include "corpus/rules/verdict.h"

#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct LanguageRules {
    std::string model;
    std::vector<std::string> languages;
    double threshold = 0.65;
    bool only_label = false;
    std::string field = "language", score_field = "language_score";

    template <class V> void fields(V&& visit) {
        visit("model", model, "fastText's .bin or .ftz, as lid.176.bin or GlotLID's");
        visit("languages", languages,
              "labels of the model, as en or eng_Latn; a document is kept if one of them passes "
              "the threshold. Without: if the most probable one does");
        visit("threshold", threshold, "the score that must be passed");
        visit("only_label", only_label, "keep every document");
        visit("field", field, "of the records kept, receives the label; empty: none does");
        visit("score_field", score_field, "receives the score; empty: none does");
    }
    // Throws UsageError: `place`, field, and what is wanted.
    void validate(const std::string& place) const;
};

class LanguageFilter {
  public:
    // Throws naming a language that the model does not have, and as LanguageModel does.
    explicit LanguageFilter(const LanguageRules& rules);

    struct Label { // of a document; empty where the model has nothing to say (no text)
        std::string name;
        double score = 0;
    };
    // Rule: language; value: the score that counts, detail: the most probable label.
    Verdict check(std::string_view text, LanguageModel::Scratch& scratch, Label& label) const;
    size_t bytes() const { return model_.bytes(); }

  private:
    LanguageRules rules_;
    LanguageModel model_;
};

} // namespace tnl::corpus
