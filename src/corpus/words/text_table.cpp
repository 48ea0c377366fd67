#include "corpus/words/text_table.h"

#include <xxhash.h>

#include <algorithm>

namespace tnl::corpus {
namespace {

constexpr size_t kFirstSlots = 1 << 12;
constexpr uint32_t kLong = 0xFFFF;

uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

} // namespace

TextKey key_of(std::string_view text, size_t readable) {
    TextKey key;
    key.size = static_cast<uint32_t>(text.size());
    if (text.size() > TextKey::kInline) {
        key.hash = XXH3_64bits(text.data(), text.size());
        return key;
    }
    uint64_t low = 0, middle = 0;
    uint32_t high = 0;
    if (readable >= TextKey::kInline) { // all of it, then without what follows the text
        std::memcpy(&low, text.data(), 8);
        std::memcpy(&middle, text.data() + 8, 8);
        std::memcpy(&high, text.data() + 16, 4);
        const auto kept = [&](size_t from) { // bits of the word whose bytes begin at `from`
            return text.size() > from ? std::min<size_t>(text.size() - from, 8) * 8 : 0;
        };
        const auto mask = [](size_t bits) {
            return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
        };
        low &= mask(kept(0));
        middle &= mask(kept(8));
        high &= static_cast<uint32_t>(mask(kept(16)));
    } else {
        char bytes[TextKey::kInline] = {};
        std::memcpy(bytes, text.data(), text.size());
        std::memcpy(&low, bytes, 8);
        std::memcpy(&middle, bytes + 8, 8);
        std::memcpy(&high, bytes + 16, 4);
    }
    std::memcpy(key.bytes, &low, 8);
    std::memcpy(key.bytes + 8, &middle, 8);
    std::memcpy(key.bytes + 16, &high, 4);
    key.hash = mix(low ^ 0xA0761D6478BD642F ^ key.size, middle ^ 0xE7037ED1A0B428DB ^ high);
    key.hash = mix(key.hash ^ 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3 ^ high);
    return key;
}

void TextTable::clear() {
    slots_.assign(kFirstSlots, {});
    texts_.clear();
    used_ = 0;
}

bool TextTable::is(const Slot& slot, const TextKey& key, std::string_view text) const {
    if (slot.hash != tag(key)) return false;
    if (text.size() <= TextKey::kInline)
        return slot.size_count >> 16 == text.size() &&
               std::memcmp(slot.bytes, key.bytes, TextKey::kInline) == 0;
    if (slot.size_count >> 16 != kLong) return false;
    uint32_t place[2];
    std::memcpy(place, slot.bytes, sizeof place);
    return place[1] == text.size() && texts_.compare(place[0], place[1], text) == 0;
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
    slot.hash = tag(key);
    slot.value = value;
    if (text.size() <= TextKey::kInline) {
        slot.size_count = key.size << 16 | count;
        std::memcpy(slot.bytes, key.bytes, TextKey::kInline);
    } else {
        const uint32_t place[2] = {static_cast<uint32_t>(texts_.size()), key.size};
        slot.size_count = kLong << 16 | count;
        std::memcpy(slot.bytes, place, sizeof place);
        texts_ += text;
    }
    ++used_;
}

void TextTable::grow() {
    std::vector<Slot> larger(slots_.size() * 2);
    const size_t mask = larger.size() - 1;
    for (const Slot& slot : slots_) {
        if (slot.size_count == 0) continue;
        // The bits of the hash that place a key are not those of the tag.
        uint64_t hash = 0;
        if (slot.size_count >> 16 == kLong) {
            uint32_t place[2];
            std::memcpy(place, slot.bytes, sizeof place);
            hash = key_of(std::string_view(texts_).substr(place[0], place[1]), place[1]).hash;
        } else {
            hash = key_of({slot.bytes, slot.size_count >> 16}, TextKey::kInline).hash;
        }
        size_t i = hash & mask;
        while (larger[i].size_count != 0) i = (i + 1) & mask;
        larger[i] = slot;
    }
    slots_.swap(larger);
}

} // namespace tnl::corpus
