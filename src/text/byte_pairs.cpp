#include "text/byte_pairs.h"

#include "base/check.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <functional>

namespace tnl {

BytePairs::BytePairs(const std::vector<std::string>& tokens) : tokens_(&tokens) {
    slots_.resize(std::bit_ceil(tokens.size() * 2 + 2));
    for (size_t rank = 0; rank < tokens.size(); ++rank) {
        const std::string& token = tokens[rank];
        if (token.empty() || this->rank(token) >= 0) continue;
        longest_ = std::max(longest_, token.size());
        const uint64_t hash = XXH3_64bits(token.data(), token.size());
        size_t at = hash & (slots_.size() - 1);
        while (slots_[at].rank >= 0) at = (at + 1) & (slots_.size() - 1);
        slots_[at] = {static_cast<uint32_t>(hash >> 32), static_cast<int32_t>(rank)};
    }
}

int32_t BytePairs::rank(std::string_view token) const {
    if (token.size() > longest_) return -1;
    const uint64_t hash = XXH3_64bits(token.data(), token.size());
    for (size_t at = hash & (slots_.size() - 1); slots_[at].rank >= 0;
         at = (at + 1) & (slots_.size() - 1))
        if (slots_[at].hash == static_cast<uint32_t>(hash >> 32) &&
            (*tokens_)[static_cast<size_t>(slots_[at].rank)] == token)
            return slots_[at].rank;
    return -1;
}

void BytePairs::encode(std::string_view piece, std::vector<int32_t>& out, Scratch& scratch) const {
    if (const int32_t whole = rank(piece); whole >= 0)
        out.push_back(whole);
    else
        merge(piece, out, scratch);
}

// The parts are a linked list in an array: a union takes the place of its left part. The heap holds
// (rank, left part); an entry whose part has another rank by now, or is gone (rank -1), is old.
void BytePairs::merge(std::string_view piece, std::vector<int32_t>& out, Scratch& scratch) const {
    auto& parts = scratch.parts;
    auto& heap = scratch.heap;
    TNL_CHECK(piece.size() < kNone, "a word of {} bytes, wanted less than 4 GiB", piece.size());
    const auto n = static_cast<uint32_t>(piece.size());
    const auto rank_after = [&](const Scratch::Part& part) {
        return part.after == kNone
                   ? -1
                   : rank(piece.substr(part.begin, parts[part.after].end - part.begin));
    };
    const auto queue = [&](uint32_t at) {
        parts[at].rank = rank_after(parts[at]);
        if (parts[at].rank >= 0) heap.push_back(static_cast<uint64_t>(parts[at].rank) << 32 | at);
    };
    parts.resize(n);
    heap.clear();
    for (uint32_t i = 0; i < n; ++i)
        parts[i] = {i, i + 1, i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1, -1};
    for (uint32_t i = 0; i < n; ++i) queue(i);
    std::ranges::make_heap(heap, std::greater<>());
    const auto push = [&](uint32_t at) {
        const size_t before = heap.size();
        queue(at);
        if (heap.size() != before) std::ranges::push_heap(heap, std::greater<>());
    };
    while (!heap.empty()) {
        const uint64_t top = heap.front();
        std::ranges::pop_heap(heap, std::greater<>());
        heap.pop_back();
        const auto at = static_cast<uint32_t>(top);
        if (parts[at].rank != static_cast<int32_t>(top >> 32)) continue;
        const uint32_t gone = parts[at].after;
        parts[at].end = parts[gone].end;
        parts[at].after = parts[gone].after;
        parts[gone].rank = -1;
        if (parts[at].after != kNone) parts[parts[at].after].before = at;
        push(at);
        if (parts[at].before != kNone) push(parts[at].before);
    }
    for (uint32_t at = 0; at != kNone; at = parts[at].after)
        out.push_back(rank(piece.substr(parts[at].begin, parts[at].end - parts[at].begin)));
}

} // namespace tnl
