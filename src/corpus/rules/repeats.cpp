#include "corpus/rules/repeats.h"

#include "base/check.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace tnl::corpus {

void KeyTable::start(size_t keys) {
    const size_t wanted = std::bit_ceil(std::max<size_t>(keys * 2, 16));
    if (wanted != entries_.size()) {
        // One that is much too large is given back: a large document must not slow all later ones.
        if (wanted > entries_.capacity() || wanted * 64 < entries_.capacity()) {
            entries_ = std::vector<Entry>(wanted);
            generation_ = 0;
        } else {
            entries_.resize(wanted);
        }
        shift_ = 64 - std::countr_zero(wanted);
    }
    if (++generation_ == 0) {
        std::fill(entries_.begin(), entries_.end(), Entry{});
        generation_ = 1;
    }
}

Duplicates Repeats::duplicates(const std::vector<std::string_view>& elements) {
    Duplicates out;
    if (elements.size() < 2) return out;
    table_.start(elements.size());
    for (size_t i = 0; i < elements.size(); ++i) {
        const std::string_view element = elements[i];
        const uint64_t key = XXH3_64bits(element.data(), element.size());
        for (size_t slot = table_.slot(key);; slot = table_.next(slot)) {
            if (!table_.used(slot)) {
                table_.put(slot, key, static_cast<uint32_t>(i));
                break;
            }
            if (table_[slot].key != key || elements[table_[slot].value] != element) continue;
            ++out.elements;
            out.characters += count_characters(element);
            break;
        }
    }
    return out;
}

uint64_t Repeats::power(size_t bytes) {
    while (powers_.size() <= bytes && powers_.size() < 4096)
        powers_.push_back(powers_.back() * kHashBase);
    if (bytes < powers_.size()) return powers_[bytes];
    uint64_t out = 1, square = kHashBase;
    for (; bytes > 0; bytes >>= 1, square *= square)
        if (bytes & 1) out *= square;
    return out;
}

void Repeats::set_words(DocumentView& document) {
    words_ = document.words();
    for (uint32_t& word : words_) word &= ~Lexicon::kAfterSpace;
    prefix_.resize(words_.size() + 1);
    prefix_[0] = {0, 0, 0};
    joined_.clear();
    for (size_t i = 0; i < words_.size(); ++i) {
        const Lexeme& lexeme = document.lexeme(words_[i]);
        const Word& before = prefix_[i];
        prefix_[i + 1] = {before.hash * power(lexeme.bytes) + lexeme.hash,
                          before.end + lexeme.bytes, before.characters + lexeme.characters};
        joined_ += document.word_text(words_[i]);
    }
    gram_ = 0;
}

size_t Repeats::top_n_gram(size_t n) {
    TNL_CHECK(n > gram_, "n-grams of {} words after those of {}", n, gram_);
    if (n > words_.size()) return 0;
    if (gram_ == 0) grams_.assign(words_.size(), 0); // one empty n-gram, everywhere
    for (; gram_ < n; ++gram_) {
        const size_t positions = words_.size() - gram_;
        table_.start(positions);
        counts_.clear();
        first_.clear();
        for (size_t i = 0; i < positions; ++i) {
            // The n-gram is the one of n - 1 words where it begins, by number, and its last word.
            const uint64_t key = static_cast<uint64_t>(grams_[i]) << 32 | words_[i + gram_];
            size_t slot = table_.slot(key);
            while (table_.used(slot) && table_[slot].key != key) slot = table_.next(slot);
            if (!table_.used(slot)) {
                table_.put(slot, key, static_cast<uint32_t>(counts_.size()));
                counts_.push_back(0);
                first_.push_back(static_cast<uint32_t>(i));
            }
            const uint32_t number = table_[slot].value;
            ++counts_[number];
            grams_[i] = number;
        }
    }
    const auto most = std::max_element(counts_.begin(), counts_.end());
    const size_t begin = first_[static_cast<size_t>(most - counts_.begin())];
    return (prefix_[begin + n].characters - prefix_[begin].characters + n - 1) * *most;
}

size_t Repeats::duplicated_n_grams(size_t n) {
    size_t out = 0;
    if (n > words_.size()) return 0;
    table_.start(words_.size());
    for (size_t i = 0; i + n <= words_.size();) {
        const Word &begin = prefix_[i], &end = prefix_[i + n];
        const uint32_t bytes = end.end - begin.end;
        const uint64_t key = end.hash - begin.hash * power(bytes);
        bool found = false;
        for (size_t slot = table_.slot(key);; slot = table_.next(slot)) {
            if (!table_.used(slot)) {
                table_.put(slot, key, static_cast<uint32_t>(i));
                break;
            }
            if (table_[slot].key != key) continue;
            const Word& other = prefix_[table_[slot].value];
            const uint32_t other_bytes = prefix_[table_[slot].value + n].end - other.end;
            found = other_bytes == bytes &&
                    joined_.compare(other.end, bytes, joined_, begin.end, bytes) == 0;
            if (found) break;
        }
        if (found) out += end.characters - begin.characters;
        i += found ? n : 1;
    }
    return out;
}

} // namespace tnl::corpus
