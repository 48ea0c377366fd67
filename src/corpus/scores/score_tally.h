// What scores of many documents come to: sums, sums by group, and how values are distributed; as
// counts of a unit (jobs/workspace.h).
#pragma once

#include "base/json.h"
#include "corpus/scores/document_score.h"

#include <map>

namespace tnl::corpus {

// Bins of positive values, eight to a doubling: bin b holds [2^(b/8), 2^((b+1)/8)). Values below
// 2^-20 and from 2^60 on are in the first and the last.
int value_bin(double value);

class ScoreTally {
  public:
    // Of groups no more than this many names are told apart, in each of the three; what comes later
    // is in "(other)".
    static constexpr size_t kMostNames = 1000;

    void add(const DocumentScore& score);
    // Adds counts named prefix + ...: documents, unscored (of them), tokens, bytes, micronats;
    // group\tNAME\tdocuments and the like for each group; perplexity\tBIN and bits_per_byte\tBIN.
    void add_to(Json& counts, const std::string& prefix = "") const;

  private:
    struct Sum {
        int64_t documents = 0, unscored = 0, tokens = 0, bytes = 0, micronats = 0;
        void add(const DocumentScore& score);
        void add_to(Json& counts, const std::string& prefix) const;
    };
    Sum all_;
    std::array<std::map<std::string, Sum>, kGroups> groups_;
    std::map<int, int64_t> perplexity_, bits_per_byte_;
};

} // namespace tnl::corpus
