// Whatever a text holds, all steps end, leave valid UTF-8, and say the same when they are asked
// again.
#include "corpus/rules/filter_chain.h"
#include "text/utf8.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    using namespace tnl::corpus;
    if (size == 0) return 0;
    static const FilterPlan plans[2] = {[] {
                                            FilterRules rules;
                                            rules.steps = {Step::clean,
                                                           Step::pii,
                                                           Step::c4,
                                                           Step::fineweb,
                                                           Step::gopher_quality,
                                                           Step::gopher_repetition};
                                            rules.c4.min_num_sentences = -1;
                                            rules.gopher_quality.min_doc_words = 0;
                                            return FilterPlan(rules, "fuzz");
                                        }(),
                                        [] {
                                            FilterRules rules;
                                            rules.steps = {Step::gopher_repetition};
                                            rules.words = WordRules::common;
                                            return FilterPlan(rules, "fuzz");
                                        }()};
    const std::string text =
        replace_invalid_utf8({reinterpret_cast<const char*>(data) + 1, size - 1});
    FilterChain chain(plans[data[0] & 1]), forgetful(plans[data[0] & 1], 1);
    std::string first_rule, first_text;
    for (FilterChain* each : {&chain, &chain, &forgetful}) {
        const FilterChain::Result result = each->run(text);
        if (first_invalid_utf8(each->text()) != std::string::npos) std::abort();
        if (each != &chain || !first_text.empty() || !first_rule.empty())
            if (result.verdict.rule != first_rule || each->text() != first_text) std::abort();
        first_rule = result.verdict.rule;
        first_text = each->text();
    }
    return 0;
}
