// How much of a document is said again: lines, paragraphs and n-grams of words, exactly (hashes
// only find candidates).
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
    // The entry where the search for a key begins, and where it goes on.
    size_t slot(uint64_t key) const { return (key * 0xD6E8FEB86659FD93) >> shift_; }
    size_t next(size_t slot) const { return (slot + 1) & (entries_.size() - 1); }
    Entry& operator[](size_t slot) { return entries_[slot]; }
    bool used(size_t slot) const { return entries_[slot].generation == generation_; }
    void put(size_t slot, uint64_t key, uint32_t value) {
        entries_[slot] = {key, value, generation_};
    }

  private:
    std::vector<Entry> entries_ = std::vector<Entry>(1);
    uint32_t generation_ = 0;
    int shift_ = 63;
};

class Repeats {
  public:
    // datatrove's find_duplicates.
    Duplicates duplicates(const std::vector<std::string_view>& elements);

    // The words of the document, for what follows.
    void set_words(DocumentView& document);
    size_t words() const { return words_.size(); }
    // datatrove's find_top_duplicate of get_n_grams: characters of the most frequent n-gram, words
    // joined by spaces, times its count; the first of several. To be called for n = 1, 2, ... in
    // order; 0 where there is none.
    size_t top_n_gram(size_t n);
    // datatrove's find_all_duplicate: characters of n-grams, words joined by nothing, that were
    // there before; what is counted is passed over.
    size_t duplicated_n_grams(size_t n);

  private:
    struct Word {
        uint64_t hash;       // of the text of all words up to it
        uint32_t end;        // of it, in joined_
        uint32_t characters; // up to it
    };
    uint64_t power(size_t bytes);
    KeyTable table_;
    std::vector<uint32_t> words_;
    std::vector<Word> prefix_; // one more than words: of those before
    std::string joined_;       // the words, without anything between them
    std::vector<uint64_t> powers_{1};

    size_t gram_ = 0;              // the n of grams_
    std::vector<uint32_t> grams_;  // by position: the number of its n-gram
    std::vector<uint32_t> counts_; // by number
    std::vector<uint32_t> first_;  // by number: where it stood first
};

} // namespace tnl::corpus
