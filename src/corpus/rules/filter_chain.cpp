#include "corpus/rules/filter_chain.h"

#include "corpus/jobs/file_hash.h"

namespace tnl::corpus {

FilterPlan::FilterPlan(FilterRules rules, const std::string& place) : rules_(std::move(rules)) {
    rules_.validate(place);
    if (rules_.has(Step::c4_badwords)) {
        bad_words_.emplace(rules_.c4_badwords.file, rules_.c4_badwords.anywhere);
        add_lists({rules_.c4_badwords.file});
    }
    if (rules_.has(Step::url)) {
        urls_.emplace(rules_.url);
        add_lists(rules_.url.files());
    }
    if (rules_.has(Step::language)) {
        language_.emplace(rules_.language);
        add_lists({rules_.language.model});
    }
    if (rules_.words == WordRules::chinese) {
        segmenter_.emplace(rules_.jieba);
        add_lists(Segmenter::files(rules_.jieba));
    }
    if (rules_.has(Step::decontaminate)) {
        contamination_.emplace(rules_.decontaminate, *make_ngrams());
        add_lists(rules_.decontaminate.paths());
    }
}

std::unique_ptr<WordNgrams> FilterPlan::make_ngrams() const {
    return std::make_unique<WordNgrams>(rules_.decontaminate.words, rules_.words, segmenter());
}

void FilterPlan::add_lists(const std::vector<std::filesystem::path>& files) {
    for (const std::filesystem::path& file : files) lists_hash_ += identify(file).xxh3;
}

size_t FilterPlan::bytes() const {
    constexpr size_t kSegmenter = size_t{64} << 20; // with jieba's dictionary
    return (urls_ ? urls_->bytes() : 0) + (language_ ? language_->bytes() : 0) +
           (contamination_ ? contamination_->bytes() : 0) + (segmenter_ ? kSegmenter : 0);
}

FilterChain::FilterChain(const FilterPlan& plan, size_t lexicon_bytes)
    : plan_(plan), lexicon_bytes_(lexicon_bytes), lexicon_(plan.rules().words, plan.segmenter()),
      document_(lexicon_),
      ngrams_(plan.rules().has(Step::decontaminate) ? plan.make_ngrams() : nullptr) {}

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
    case Step::url:
        return plan_.urls().check(url_);
    case Step::language:
        return plan_.language().check(document_.text(), language_scratch_, label_);
    case Step::pii:
        mask_pii(rules.pii, document_.text(), next_);
        rewrite(rewritten);
        return Verdict::kept();
    case Step::decontaminate:
        return plan_.contamination().check(document_.text(), *ngrams_);
    }
    return Verdict::kept();
}

FilterChain::Result FilterChain::run(std::string_view text, std::string_view url) {
    lexicon_.limit(lexicon_bytes_);
    document_.set(text);
    url_ = url;
    label_ = {};
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
