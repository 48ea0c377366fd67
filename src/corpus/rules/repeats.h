// How much of a document is said again: lines, paragraphs and n-grams of words. Counts are exact:
// hashes only find candidates.
#pragma once

#include "corpus/rules/document.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct Duplicates {
    size_t elements = 0, characters = 0; // that were there before
};

// A table from 64-bit keys that is empty again at no cost.
class KeyTable {
  public:
    struct Entry {
        uint64_t key;
        uint32_t value;
        uint32_t generation; // in use if it is the table's
    };
    void start(size_t keys); // empty, with room for so many
    // Where the search for a key begins, and where it goes on.
    size_t slot(uint64_t key) const { return (key * 0xD6E8FEB86659FD93) >> shift_; }
    size_t next(size_t slot) const { return (slot + 1) & (entries_.size() - 1); }
    Entry& operator[](size_t slot) { return entries_[slot]; }
    bool used(size_t slot) const { return entries_[slot].generation == generation_; }
    void put(size_t slot, uint64_t key, uint32_t value) {
        entries_[slot] = {key, value, generation_};
    }

  private:
    std::vector<Entry> entries_;
    uint32_t generation_ = 0;
    int shift_ = 0;
};

class Repeats {
  public:
    // datatrove's find_duplicates.
    Duplicates duplicates(const std::vector<std::string_view>& elements);

    // The words of the document, for what follows.
    void set_words(DocumentView& document);
    size_t words() const { return words_.size(); }

    // datatrove's find_top_duplicate of get_n_grams: characters of the most frequent n-gram, words
    // joined by spaces, times its count; the first of several. 0 where there is none. To be called
    // for rising n.
    size_t top_n_gram(size_t n);
    // No less than top_n_gram(n), for much less work. For rising n.
    uint64_t top_n_gram_bound(size_t n);

    // datatrove's find_all_duplicate: characters of n-grams, words joined by nothing, that were
    // there before; what is counted is passed over.
    size_t duplicated_n_grams(size_t n);

  private:
    void find_windows();
    KeyTable table_;
    std::vector<uint32_t> words_;
    std::vector<uint32_t> ends_, characters_; // one more than words: before each, in joined_
    std::string joined_;                      // the words, without anything between them

    size_t least_of_ = 0;          // the n of least_
    std::vector<uint32_t> counts_; // of each word in the document
    std::vector<uint32_t> least_;  // of the n words from here on, the count of the rarest

    size_t gram_ = 0;                   // the n of grams_
    std::vector<uint32_t> grams_;       // by position: the number of its n-gram
    std::vector<uint32_t> gram_counts_; // by number
    std::vector<uint32_t> gram_first_;  // by number: where it stood first

    bool has_windows_ = false;
    std::vector<uint8_t> repeated_; // by position: the next kWindow bytes may stand elsewhere, too
    std::vector<uint8_t> seen_;     // by hash: how often, up to 2
    std::vector<uint32_t> hashes_;
};

} // namespace tnl::corpus
