// The steps of FilterRules on documents, one after the other.
#pragma once

#include "corpus/rules/filter_rules.h"
#include "corpus/rules/repeats.h"

#include <memory>
#include <optional>

namespace tnl::corpus {

// What all threads share.
class FilterPlan {
  public:
    // Reads the files that the rules name. Throws as validate does.
    FilterPlan(FilterRules rules, const std::string& place);
    const FilterRules& rules() const { return rules_; }
    const BadWords& bad_words() const { return *bad_words_; }
    // Of the files that the rules name.
    const std::string& lists_hash() const { return lists_hash_; }

  private:
    FilterRules rules_;
    std::optional<BadWords> bad_words_;
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
    // The answer depends on the text and the rules alone.
    Result run(std::string_view text);
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
    std::string text_, next_;
};

} // namespace tnl::corpus
