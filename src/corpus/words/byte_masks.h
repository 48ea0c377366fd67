// Bytes that a scan has to look at, sixty-four at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tnl::corpus {

// Calls found(at) for the bytes of text[begin, size) that `is` is true of, in order; found answers
// where to go on, at least at + 1. Compilers turn the comparisons into vector instructions.
template <class Is, class Found>
inline void for_bytes(std::string_view text, size_t begin, const Is& is, const Found& found) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    const size_t size = text.size();
    size_t at = begin;
    while (at + 64 <= size) {
        uint8_t flags[64];
        for (size_t i = 0; i < 64; ++i) flags[i] = is(bytes[at + i]) ? 0xFF : 0;
        uint64_t mask = 0;
        for (size_t i = 0; i < 8; ++i) { // the top bits of eight bytes, gathered by a product
            uint64_t eight = 0;
            std::memcpy(&eight, flags + 8 * i, 8);
            mask |= ((eight & 0x8080808080808080) * 0x0002040810204081 >> 56) << (8 * i);
        }
        const size_t end = at + 64;
        size_t next = end;
        while (mask != 0) {
            const auto bit = static_cast<size_t>(std::countr_zero(mask));
            next = found(at + bit);
            if (next >= end) break;
            const size_t passed = next - at;
            mask &= ~uint64_t{0} << passed;
            next = end;
        }
        at = next;
    }
    while (at < size) at = is(bytes[at]) ? found(at) : at + 1;
}

} // namespace tnl::corpus
