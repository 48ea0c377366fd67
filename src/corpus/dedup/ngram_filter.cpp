#include "corpus/dedup/ngram_filter.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tnl::corpus {
namespace {

// One bit in each of a line's words, by six bits of the hash each.
uint64_t bit_of(uint64_t mixed, int word) { return uint64_t{1} << (mixed >> (6 * word) & 63); }

uint64_t mix(uint64_t hash) {
    hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9;
    return hash ^ hash >> 32;
}

} // namespace

NgramFilter::NgramFilter(size_t bytes) : lines_(std::max<size_t>(1, (bytes + kLine - 1) / kLine)) {}

bool NgramFilter::contains(uint64_t hash) const {
    const Line& line = lines_[line_of(hash)];
    const uint64_t mixed = mix(hash);
    for (int word = 0; word < kBits; ++word)
        if (!(line.words[word] & bit_of(mixed, word))) return false;
    return true;
}

void NgramFilter::insert(uint64_t hash) {
    Line& line = lines_[line_of(hash)];
    const uint64_t mixed = mix(hash);
    for (int word = 0; word < kBits; ++word) line.words[word] |= bit_of(mixed, word);
}

double NgramFilter::false_positives() const {
    double sum = 0;
    for (const Line& line : lines_) {
        double all = 1;
        for (const uint64_t word : line.words) all *= std::popcount(word) / 64.0;
        sum += all;
    }
    return sum / static_cast<double>(lines_.size());
}

} // namespace tnl::corpus
