// The steps of FilterRules on documents, one after the other.
#pragma once

#include "corpus/rules/filter_rules.h"
#include "corpus/rules/repeats.h"

#include <memory>
#include <optional>

namespace tnl::corpus {

// What all threads share: the rules, and what the files that they name hold.
class FilterPlan {
  public:
    // Reads the files that the rules name. Throws as validate does.
    FilterPlan(FilterRules rules, const std::string& place);
    const FilterRules& rules() const { return rules_; }
    const BadWords& bad_words() const { return *bad_words_; }
    const UrlLists& urls() const { return *urls_; }
    const LanguageFilter& language() const { return *language_; }
    const ContaminationIndex& contamination() const { return *contamination_; }
    std::unique_ptr<WordNgrams> make_ngrams() const; // for the step decontaminate, of one thread
    const Segmenter* segmenter() const { return segmenter_ ? &*segmenter_ : nullptr; }
    // Whether documents have addresses to be looked at, field rules().url.field.
    bool wants_url() const { return urls_.has_value(); }
    size_t bytes() const; // of memory
    // Of the files that the rules name.
    const std::string& lists_hash() const { return lists_hash_; }

  private:
    void add_lists(const std::vector<std::filesystem::path>& files);
    FilterRules rules_;
    std::optional<BadWords> bad_words_;
    std::optional<UrlLists> urls_;
    std::optional<LanguageFilter> language_;
    std::optional<ContaminationIndex> contamination_;
    std::optional<Segmenter> segmenter_;
    std::string lists_hash_;
};

// One for each thread.
class FilterChain {
  public:
    // lexicon_bytes: what it may remember of words.
    explicit FilterChain(const FilterPlan& plan, size_t lexicon_bytes = size_t{64} << 20);

    struct Result {
        Verdict verdict;
        std::string_view step;  // that refused, empty if none did
        bool rewritten = false; // the text is another, also where a later step refused
    };
    // The answer depends on the text, its address and the rules alone.
    Result run(std::string_view text, std::string_view url = {});
    // Of the last document, if there is a step language that it came to.
    const LanguageFilter::Label& language() const { return label_; }
    // Of the last document, as it came out of the steps.
    std::string_view text() const { return document_.text(); }

  private:
    Verdict apply(Step step, bool& rewritten);
    void rewrite(bool& rewritten);
    const FilterPlan& plan_;
    size_t lexicon_bytes_;
    Lexicon lexicon_;
    DocumentView document_;
    Repeats repeats_;
    LanguageModel::Scratch language_scratch_;
    LanguageFilter::Label label_;
    std::unique_ptr<WordNgrams> ngrams_;
    std::string_view url_;
    std::string text_, next_;
};

} // namespace tnl::corpus
