// Byte pair encoding by ranks: the lower a token's rank, the earlier it is merged.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

class BytePairs {
  public:
    BytePairs() = default;
    // tokens: by rank; empty ones are none. They must outlive this and stay where they are.
    explicit BytePairs(const std::vector<std::string>& tokens);

    int32_t rank(std::string_view token) const; // -1: no such token

    // Memory of a call, for the next one.
    struct Scratch {
        struct Part {
            uint32_t begin, end;    // in the piece
            uint32_t before, after; // parts beside it; kNone
            int32_t rank;           // of its union with the one after it; -1: no token
        };
        std::vector<Part> parts;
        std::vector<uint64_t> heap;
    };
    // Appends the tokens of a piece. Every byte must be a token. Time: n log n.
    void encode(std::string_view piece, std::vector<int32_t>& out, Scratch& scratch) const;

  private:
    struct Slot {
        uint32_t hash = 0;
        int32_t rank = -1;
    };
    static constexpr uint32_t kNone = UINT32_MAX;
    void merge(std::string_view piece, std::vector<int32_t>& out, Scratch& scratch) const;

    const std::vector<std::string>* tokens_ = nullptr;
    std::vector<Slot> slots_; // open addressing, a power of two
    size_t longest_ = 0;
};

} // namespace tnl
