#include "corpus/rules/repeats.h"

#include "base/check.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace tnl::corpus {
namespace {

constexpr size_t kWindow = 16; // bytes

} // namespace

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

void Repeats::set_words(DocumentView& document) {
    const std::vector<uint32_t>& tokens = document.words();
    Lexicon& lexicon = document.lexicon();
    const size_t count = tokens.size();
    words_.resize(count);
    counts_.resize(count);
    ends_.resize(count + 1);
    characters_.resize(count + 1);
    ends_[0] = characters_[0] = 0;
    for (size_t i = 0; i < count; ++i) {
        const Lexeme& lexeme = lexicon[tokens[i]];
        words_[i] = tokens[i] & Lexicon::kLexeme;
        ends_[i + 1] = ends_[i] + lexeme.bytes;
        characters_[i + 1] = characters_[i] + lexeme.characters;
        ++lexicon.count(tokens[i]);
    }
    for (size_t i = 0; i < count; ++i) counts_[i] = lexicon.count(tokens[i]);
    for (size_t i = 0; i < count; ++i) lexicon.count(tokens[i]) = 0;
    joined_ = document.joined();
    TNL_CHECK(joined_.size() == ends_[count], "words of {} bytes in {} bytes between spaces",
              ends_[count], joined_.size());
    joined_.append(kWindow, '\0');
    gram_ = least_of_ = 0;
    has_windows_ = false;
}

// The count of an n-gram is at most that of its rarest word.
uint64_t Repeats::top_n_gram_bound(size_t n) {
    if (n > words_.size()) return 0;
    if (least_of_ == 0) {
        least_ = counts_;
        least_of_ = 1;
    }
    for (; least_of_ < n; ++least_of_)
        for (size_t i = 0; i + least_of_ < words_.size(); ++i)
            least_[i] = std::min(least_[i], counts_[i + least_of_]);
    uint64_t most = 0;
    for (size_t i = 0; i + n <= words_.size(); ++i) {
        const uint32_t characters =
            characters_[i + n] - characters_[i] + static_cast<uint32_t>(n) - 1;
        most = std::max(most, static_cast<uint64_t>(characters) * least_[i]);
    }
    return most;
}

size_t Repeats::top_n_gram(size_t n) {
    TNL_CHECK(n > gram_, "n-grams of {} words after those of {}", n, gram_);
    if (n > words_.size()) return 0;
    if (gram_ == 0) grams_.assign(words_.size(), 0); // one empty n-gram, everywhere
    for (; gram_ < n; ++gram_) {
        const size_t positions = words_.size() - gram_;
        table_.start(positions);
        gram_counts_.clear();
        gram_first_.clear();
        for (size_t i = 0; i < positions; ++i) {
            // The n-gram is the one of n - 1 words where it begins, by number, and its last word.
            const uint64_t key = static_cast<uint64_t>(grams_[i]) << 32 | words_[i + gram_];
            size_t slot = table_.slot(key);
            while (table_.used(slot) && table_[slot].key != key) slot = table_.next(slot);
            if (!table_.used(slot)) {
                table_.put(slot, key, static_cast<uint32_t>(gram_counts_.size()));
                gram_counts_.push_back(0);
                gram_first_.push_back(static_cast<uint32_t>(i));
            }
            const uint32_t number = table_[slot].value;
            ++gram_counts_[number];
            grams_[i] = number;
        }
    }
    const auto most = std::max_element(gram_counts_.begin(), gram_counts_.end());
    const size_t begin = gram_first_[static_cast<size_t>(most - gram_counts_.begin())];
    return (characters_[begin + n] - characters_[begin] + n - 1) * *most;
}

// An n-gram of kWindow bytes or more stands elsewhere only if the first kWindow bytes do.
void Repeats::find_windows() {
    const size_t count = words_.size();
    const size_t slots = std::bit_ceil(std::max<size_t>(count * 16, 256));
    const int shift = 64 - std::countr_zero(slots);
    seen_.assign(slots, 0);
    hashes_.resize(count);
    for (size_t i = 0; i < count; ++i) {
        uint64_t low = 0, high = 0;
        std::memcpy(&low, joined_.data() + ends_[i], 8);
        std::memcpy(&high, joined_.data() + ends_[i] + 8, 8);
        const uint64_t mixed = (low * 0x9E3779B97F4A7C15) ^ (high * 0xC2B2AE3D27D4EB4F);
        const auto hash =
            static_cast<uint32_t>(((mixed ^ mixed >> 29) * 0xD6E8FEB86659FD93) >> shift);
        hashes_[i] = hash;
        seen_[hash] = static_cast<uint8_t>(seen_[hash] | (seen_[hash] << 1) | 1);
    }
    repeated_.resize(count);
    for (size_t i = 0; i < count; ++i) repeated_[i] = seen_[hashes_[i]] > 1;
    has_windows_ = true;
}

size_t Repeats::duplicated_n_grams(size_t n) {
    size_t out = 0;
    if (n > words_.size()) return 0;
    if (!has_windows_) find_windows();
    table_.start(words_.size());
    for (size_t i = 0; i + n <= words_.size();) {
        const uint32_t begin = ends_[i], bytes = ends_[i + n] - begin;
        if (!repeated_[i] && bytes >= kWindow) {
            ++i;
            continue;
        }
        const uint64_t key = XXH3_64bits(joined_.data() + begin, bytes);
        bool found = false;
        for (size_t slot = table_.slot(key);; slot = table_.next(slot)) {
            if (!table_.used(slot)) {
                table_.put(slot, key, static_cast<uint32_t>(i));
                break;
            }
            if (table_[slot].key != key) continue;
            const uint32_t other = table_[slot].value;
            found = ends_[other + n] - ends_[other] == bytes &&
                    std::memcmp(joined_.data() + ends_[other], joined_.data() + begin, bytes) == 0;
            if (found) break;
        }
        if (found) out += characters_[i + n] - characters_[i];
        i += found ? n : 1;
    }
    return out;
}

} // namespace tnl::corpus
