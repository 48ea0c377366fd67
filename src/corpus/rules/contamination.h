// Decontamination: documents with an n-gram of words of a benchmark, as datatrove's
// NGramsDecontIndexer and NGramsDecontFilter find them (GPT-3's rule, Brown et al. 2020,
// arXiv 2005.14165, appendix C, with 13 words).
#pragma once

#include "corpus/dedup/shingles.h"
#include "corpus/rules/verdict.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct ContaminationRules {
    std::vector<std::string> files, labels = {"text"}, columns;
    std::string query = "query";
    int64_t words = 12;
    bool query_ngrams = false, overlap_ngrams = true;

    template <class V> void fields(V&& visit) {
        visit("files", files,
              "benchmarks: .jsonl or .csv files of items, plain, .gz or .zst, or datatrove's "
              ".index.hashes; wildcards are expanded");
        visit("labels", labels,
              "fields of an item with answers; each may be what is found. In CSV an answer that "
              "names a column, as B, stands for what is there");
        visit("columns", columns,
              "names of the columns of .csv files whose first line is an item already");
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

// The words of simplified texts and hashes of n of them in a row (xxh64 of the words, joined by
// spaces). One for each thread.
class WordNgrams {
  public:
    // segmenter: for WordRules::chinese, and must outlive this.
    WordNgrams(int64_t n, WordRules words, const Segmenter* segmenter);

    // In the order of the text, with repetitions. Valid until the next call.
    std::span<const uint64_t> operator()(std::string_view text);
    std::vector<std::string> words(std::string_view text);
    static std::string join(const std::vector<std::string>& words, size_t begin, size_t count);
    size_t n() const { return n_; }

  private:
    size_t n_;
    Lexicon lexicon_;
    std::optional<Shingler> shingler_; // faster, where its words are those of the rules
    std::string simplified_;
    std::vector<uint32_t> tokens_;
    std::vector<uint64_t> hashes_;
};

class ContaminationIndex {
  public:
    // maker: how texts become words, those of items and of documents.
    ContaminationIndex(const ContaminationRules& rules, WordNgrams& maker);
    ~ContaminationIndex();
    ContaminationIndex(ContaminationIndex&&) noexcept;

    // maker: of one thread, of the same words. Rule: contaminated; detail: the file's name and the
    // n-gram.
    Verdict check(std::string_view text, WordNgrams& maker) const;
    size_t size() const; // different n-grams
    size_t bytes() const;

  private:
    struct Table;
    std::unique_ptr<const Table> table_;
};

} // namespace tnl::corpus
