#include "corpus/words/text_table.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace tnl::corpus {
namespace {

constexpr size_t kFirstSlots = 1 << 12;

uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_of(const TextKey& key) {
    const uint64_t first = mix(key.words[0] ^ 0xA0761D6478BD642F ^ key.size,
                               key.words[1] ^ 0xE7037ED1A0B428DB ^ key.last);
    return mix(first ^ 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3 ^ key.last);
}

} // namespace

void TextKey::set(std::string_view text, size_t readable) {
    size = static_cast<uint32_t>(text.size());
    if (text.size() > kInline) {
        words[0] = words[1] = last = 0;
        hash = XXH3_64bits(text.data(), text.size());
        return;
    }
    char copy[kInline] = {};
    const char* from = text.data();
    if (readable < kInline) {
        std::memcpy(copy, from, text.size());
        from = copy;
    }
    std::memcpy(&words[0], from, 8);
    std::memcpy(&words[1], from + 8, 8);
    std::memcpy(&last, from + 16, 4);
    // Without what follows the text.
    const auto mask = [&](size_t begin) {
        const size_t kept = text.size() > begin ? std::min<size_t>(text.size() - begin, 8) : 0;
        return kept == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * kept)) - 1;
    };
    words[0] &= mask(0);
    words[1] &= mask(8);
    last &= static_cast<uint32_t>(mask(16));
    hash = hash_of(*this);
}

void TextTable::clear() {
    slots_.assign(kFirstSlots, {});
    texts_.clear();
    used_ = 0;
}

std::string_view TextTable::long_text(const Slot& slot) const {
    return std::string_view(texts_).substr(slot.words[0], slot.words[1]);
}

bool TextTable::is(const Slot& slot, const TextKey& key, std::string_view text) const {
    if (slot.hash != tag(key)) return false;
    const uint32_t size = slot.size_count >> 16;
    if (key.size > TextKey::kInline) return size == kLong && long_text(slot) == text;
    return size == key.size && slot.words[0] == key.words[0] && slot.words[1] == key.words[1] &&
           slot.last == key.last;
}

TextTable::Slot& TextTable::find(const TextKey& key, std::string_view text) {
    if (used_ * 2 >= slots_.size()) grow();
    const size_t mask = slots_.size() - 1;
    for (size_t i = key.hash & mask;; i = (i + 1) & mask) {
        Slot& slot = slots_[i];
        if (slot.size_count == 0 || is(slot, key, text)) return slot;
    }
}

void TextTable::put(Slot& slot, const TextKey& key, std::string_view text, uint32_t value,
                    uint32_t count) {
    const bool is_long = key.size > TextKey::kInline;
    slot = {{key.words[0], key.words[1]},
            key.last,
            tag(key),
            (is_long ? kLong : key.size) << 16 | count,
            value};
    if (is_long) {
        slot.words[0] = texts_.size();
        slot.words[1] = text.size();
        texts_ += text;
    }
    ++used_;
}

void TextTable::grow() {
    std::vector<Slot> larger(slots_.size() * 2);
    const size_t mask = larger.size() - 1;
    TextKey key;
    for (const Slot& slot : slots_) {
        if (slot.size_count == 0) continue;
        if (slot.size_count >> 16 == kLong) {
            key.set(long_text(slot), slot.words[1]);
        } else {
            key = {{slot.words[0], slot.words[1]}, slot.last, slot.size_count >> 16, 0};
            key.hash = hash_of(key);
        }
        size_t i = key.hash & mask;
        while (larger[i].size_count != 0) i = (i + 1) & mask;
        larger[i] = slot;
    }
    slots_.swap(larger);
}

} // namespace tnl::corpus
