// From a text to the rows of a fastText model that stand for it: its words, their character
// n-grams, and n-grams of words.
#pragma once

#include "corpus/language/model_reader.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tnl::corpus {

struct FastTextArgs {
    int32_t dim = 0, word_ngrams = 0, loss = 0, model = 0, bucket = 0, minn = 0, maxn = 0;
};

class FastTextVocabulary {
  public:
    FastTextVocabulary(ModelReader& in, const FastTextArgs& args);

    // Rows, in the library's order. `hashes` and `marked` are scratch.
    void features(std::string_view text, std::vector<int32_t>& rows, std::vector<int32_t>& hashes,
                  std::string& marked) const;
    int32_t words() const { return words_; }
    const std::vector<std::string>& labels() const { return labels_; }
    const std::vector<int64_t>& label_counts() const { return label_counts_; }
    bool pruned() const { return pruned_ >= 0; }
    int64_t rows() const; // one more than the largest that features gives
    size_t bytes() const;

  private:
    int32_t find(std::string_view word, uint32_t hash) const; // -1: is not there
    void add_word(std::string_view word, int32_t entry, std::vector<int32_t>& rows,
                  std::string& marked) const;
    void add_bucket(uint32_t bucket, std::vector<int32_t>& rows) const;
    void add_subwords(std::string_view marked, std::vector<int32_t>& rows) const;

    FastTextArgs args_;
    int32_t words_ = 0;
    int64_t pruned_ = -1;
    std::string texts_;              // of all words and labels
    std::vector<uint32_t> begins_;   // in texts_; one more than entries
    std::vector<int32_t> table_;     // by hash; -1: empty
    std::vector<uint32_t> subwords_; // where a word's rows begin in subword_rows_; one more
    std::vector<int32_t> subword_rows_;
    std::unordered_map<int32_t, int32_t> kept_; // of a pruned model: bucket to row
    std::vector<std::string> labels_;
    std::vector<int64_t> label_counts_;
};

} // namespace tnl::corpus
