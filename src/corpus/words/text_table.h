// A hash table from short texts to a number and a count, made for one cache miss a look-up: short
// keys lie in the table itself, and a slot can be asked for before it is needed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// A text's hash, and its bytes if they fit.
struct TextKey {
    static constexpr size_t kInline = 20;
    uint64_t words[2] = {}; // the first bytes, zeros behind a short text; nothing of a long one
    uint32_t last = 0;
    uint32_t size = 0;
    uint64_t hash = 0;

    // `readable` bytes from text.data() on may be read, at least those of the text.
    void set(std::string_view text, size_t readable);
};

class TextTable {
  public:
    struct alignas(32) Slot {
        uint64_t words[2] =
            {}; // as the key's; of a long one where it lies in texts(), and its size
        uint32_t last = 0;
        uint32_t hash = 0;
        uint32_t size_count = 0; // bytes of the key (kLong: more) << 16 | count; 0: empty
        uint32_t value = 0;
        uint32_t count() const { return size_count & 0xFFFF; }
    };
    static constexpr uint32_t kMostCount = 0xFFFF;

    TextTable() { clear(); }
    void clear();
    size_t bytes() const { return slots_.size() * sizeof(Slot) + texts_.size(); }

    void prefetch(const TextKey& key) const {
        __builtin_prefetch(&slots_[key.hash & (slots_.size() - 1)]);
    }
    // The slot of a text, or the empty one where it belongs.
    Slot& find(const TextKey& key, std::string_view text);
    // Fills the empty slot that find gave; count is 1 to kMostCount.
    void put(Slot& slot, const TextKey& key, std::string_view text, uint32_t value, uint32_t count);

  private:
    static constexpr uint32_t kLong = 0xFFFF;
    void grow();
    std::string_view long_text(const Slot& slot) const;
    bool is(const Slot& slot, const TextKey& key, std::string_view text) const;
    // Not the bits that say where a key belongs.
    static uint32_t tag(const TextKey& key) { return static_cast<uint32_t>(key.hash >> 32); }
    std::vector<Slot> slots_;
    std::string texts_; // long keys
    size_t used_ = 0;
};

} // namespace tnl::corpus
