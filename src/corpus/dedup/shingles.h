// Shingles: the hashed n-grams of a document's words.
#pragma once

#include "corpus/dedup/sha1_loops.h"
#include "corpus/dedup/simplify.h"
#include "corpus/dedup/word_cuts.h"
#include "corpus/words/lexicon.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

// Of the n-gram's words, joined by spaces, as UTF-8: xxh64 with seed 0; or the first eight bytes of
// SHA-1, little-endian. Both as in datatrove. words: of the words' own hashes (XXH3), each of which
// is made once.
enum class ShingleHash { xxh64, sha1, words };
std::vector<std::pair<std::string_view, ShingleHash>> enum_names(ShingleHash);

// spaces: what stands between two spaces of the simplified text. english, common: these, cut
// further as spaCy's blank pipelines "en" and "xx" do, which datatrove takes for words.
enum class WordCut { spaces, english, common };
std::vector<std::pair<std::string_view, WordCut>> enum_names(WordCut);

struct ShingleOptions {
    int words = 5; // n
    WordCut cut = WordCut::english;
    ShingleHash hash = ShingleHash::xxh64;
    SimplifyOptions simplify;
};

// One for each thread: it keeps its buffers.
class Shingler {
  public:
    explicit Shingler(const ShingleOptions& options, Sha1Loop sha1 = sha1_loop());

    // In the order of the text, with repetitions; none where it has fewer than n words. Valid until
    // the next call.
    std::span<const uint64_t> operator()(std::string_view text);

  private:
    bool is_cut_apart() const;
    void add_chunk(uint32_t begin, uint32_t end);
    void find_words();
    void find_tokens();
    template <class F> void each_ngram(F&& take);
    void hash_xxh64();
    void hash_sha1();
    void hash_words();

    ShingleOptions options_;
    std::unique_ptr<Lexicon> lexicon_; // null: spaces
    std::unique_ptr<WordCutter> cutter_;
    WordCuts cuts_;
    Sha1Loop sha1_;
    std::string simplified_, joined_, ngrams_;
    struct Word {
        uint32_t begin, end; // in *text_
    };
    const std::string* text_ = nullptr; // simplified_, or joined_
    std::vector<Word> words_;
    // Words that are not one space behind the word before.
    std::vector<uint32_t> breaks_;
    std::vector<uint32_t> tokens_;
    std::vector<Message> messages_;
    std::vector<uint64_t> shingles_, word_hashes_;
};

} // namespace tnl::corpus
