// Decontamination: documents with an n-gram of words of a benchmark, as datatrove's
// NGramsDecontIndexer and NGramsDecontFilter find them (GPT-3's rule, Brown et al. 2020,
// arXiv 2005.14165, appendix C, with 13 words).
#pragma once

#include "corpus/dedup/shingles.h"
#include "corpus/rules/verdict.h"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct ContaminationRules {
    std::vector<std::string> files, labels = {"text"};
    std::string query = "query";
    int64_t words = 12;
    bool query_ngrams = false, overlap_ngrams = true;

    template <class V> void fields(V&& visit) {
        visit(
            "files", files,
            "benchmarks: .jsonl files of items, plain, .gz or .zst, or datatrove's .index.hashes; "
            "wildcards are expanded");
        visit("labels", labels, "fields of an item with answers; each may be what is found");
        visit("query", query, "field with the question or prompt, if there is one");
        visit("words", words, "words of an n-gram");
        visit("query_ngrams", query_ngrams, "look for n-grams of the question alone, too");
        visit("overlap_ngrams", overlap_ngrams,
              "look for n-grams that end in the answer and begin in the question, too");
    }
    // Throws UsageError: `place`, field, and what is wanted; or naming a file that is not there.
    void validate(const std::string& place) const;
    std::vector<std::filesystem::path> paths() const;
};

class ContaminationIndex {
  public:
    // cut: how texts become words, those of items and of documents.
    ContaminationIndex(const ContaminationRules& rules, WordCut cut);
    ~ContaminationIndex();
    ContaminationIndex(ContaminationIndex&&) noexcept;

    // shingler: of one thread, made by make_shingler. Rule: contaminated; detail: the file's name
    // and the n-gram.
    Verdict check(std::string_view text, Shingler& shingler) const;
    std::unique_ptr<Shingler> make_shingler() const;
    size_t size() const; // different n-grams
    size_t bytes() const;

  private:
    struct Table;
    std::unique_ptr<const Table> table_;
    ShingleOptions options_;
};

} // namespace tnl::corpus
