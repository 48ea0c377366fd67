#include "corpus/scores/score_tally.h"

#include "corpus/jobs/nested_counts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tnl::corpus {

int value_bin(double value) {
    if (!(value > 0x1p-20)) return -160;
    return static_cast<int>(std::clamp(std::floor(8 * std::log2(value)), -160.0, 480.0));
}

void ScoreTally::Sum::add(const DocumentScore& score) {
    ++documents;
    unscored += score.tokens == 0;
    tokens += score.tokens;
    bytes += score.bytes;
    micronats += std::llround(score.nll * 1e6);
}

void ScoreTally::Sum::add_to(Json& counts, const std::string& prefix) const {
    for (const auto& [name, value] : {std::pair("documents", documents),
                                      std::pair("unscored", unscored), std::pair("tokens", tokens),
                                      std::pair("bytes", bytes), std::pair("micronats", micronats)})
        counts[prefix + name] = value;
}

void ScoreTally::add(const DocumentScore& score) {
    all_.add(score);
    for (size_t i = 0; i < kGroups; ++i) {
        if (score.groups[i].empty()) continue;
        std::string name = count_part(score.groups[i]);
        auto& sums = groups_[i];
        if (!sums.contains(name) && sums.size() >= kMostNames) name = "(other)";
        sums[name].add(score);
    }
    if (score.perplexity) ++perplexity_[value_bin(*score.perplexity)];
    if (score.bits_per_byte) ++bits_per_byte_[value_bin(*score.bits_per_byte)];
}

void ScoreTally::add_to(Json& counts, const std::string& prefix) const {
    all_.add_to(counts, prefix);
    for (size_t i = 0; i < kGroups; ++i)
        for (const auto& [name, sum] : groups_[i])
            sum.add_to(counts,
                       fmt::format("{}{}\t{}\t", prefix, name_of(static_cast<Group>(i)), name));
    const auto add_bins = [&](Measure measure, const std::map<int, int64_t>& bins) {
        for (const auto& [bin, documents] : bins)
            counts[fmt::format("{}{}\t{}", prefix, name_of(measure), bin)] = documents;
    };
    add_bins(Measure::perplexity, perplexity_);
    add_bins(Measure::bits_per_byte, bits_per_byte_);
}

} // namespace tnl::corpus
