#include "corpus/dedup/word_cuts.h"

namespace tnl::corpus {

WordCuts::WordCuts(WordCutter* cutter) : cutter_(cutter) {
    if (cutter == nullptr) return;
    short_.resize(size_t{2} << kShortBits);
    long_.resize(size_t{2} << kLongBits);
}

void WordCuts::remember_whole(std::string_view word) {
    const auto put = [](auto* places, const auto& key) {
        places[1] = places[0];
        places[0] = key;
    };
    if (word.size() <= 8) {
        const uint64_t key = number(word.data(), word.size());
        put(&short_[place(key ^ key >> 32, kShortBits)], key);
    } else if (word.size() <= 16) {
        const Key key = long_key(word);
        put(&long_[place(key.mixed(), kLongBits)], key);
    }
}

} // namespace tnl::corpus
