#include "corpus/rules/filter_chain.h"

#include "corpus/jobs/file_hash.h"

namespace tnl::corpus {

FilterPlan::FilterPlan(FilterRules rules, const std::string& place) : rules_(std::move(rules)) {
    rules_.validate(place);
    for (const Step step : rules_.steps)
        if (step == Step::c4_badwords && !bad_words_) {
            bad_words_.emplace(rules_.c4_badwords.file, rules_.c4_badwords.anywhere);
            lists_hash_ = identify(rules_.c4_badwords.file).xxh3;
        }
}

FilterChain::FilterChain(const FilterPlan& plan, size_t lexicon_bytes)
    : plan_(plan), lexicon_bytes_(lexicon_bytes), lexicon_(plan.rules().words),
      document_(lexicon_) {}

// What a step left in next_ is the text from here on; words of one that is the same stay known.
void FilterChain::rewrite(bool& rewritten) {
    if (next_ == document_.text()) return;
    text_.swap(next_);
    document_.set(text_);
    rewritten = true;
}

Verdict FilterChain::apply(Step step, bool& rewritten) {
    const FilterRules& rules = plan_.rules();
    switch (step) {
    case Step::clean: {
        const double garbled = clean(rules.clean, document_.text(), next_).share();
        if (garbled > rules.clean.max_garbled)
            return Verdict::dropped("clean_garbled", garbled, rules.clean.max_garbled);
        if (next_.empty()) return Verdict::dropped("clean_empty", 0, 0);
        rewrite(rewritten);
        return Verdict::kept();
    }
    case Step::gopher_repetition:
        return check(rules.gopher_repetition, document_, repeats_);
    case Step::gopher_quality:
        return check(rules.gopher_quality, document_);
    case Step::c4: {
        Verdict verdict = check(rules.c4, document_, next_);
        if (verdict.keep) rewrite(rewritten);
        return verdict;
    }
    case Step::c4_paragraphs:
        return check(rules.c4_paragraphs, document_);
    case Step::c4_badwords:
        return plan_.bad_words().check(document_);
    case Step::fineweb:
        return check(rules.fineweb, document_, repeats_);
    }
    return Verdict::kept();
}

FilterChain::Result FilterChain::run(std::string_view text) {
    lexicon_.limit(lexicon_bytes_);
    document_.set(text);
    Result result;
    for (const Step step : plan_.rules().steps) {
        result.verdict = apply(step, result.rewritten);
        if (result.verdict.keep) continue;
        result.step = name_of(step);
        break;
    }
    return result;
}

} // namespace tnl::corpus
