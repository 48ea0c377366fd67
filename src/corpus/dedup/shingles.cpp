#include "corpus/dedup/shingles.h"

#include "base/check.h"
#include "base/cpu.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tnl::corpus {

Sha1Loop sha1_loop() {
    const CpuFeatures& cpu = cpu_features();
    return cpu.avx512 ? sha1_loop_avx512() : cpu.avx2 ? sha1_loop_avx2() : sha1_loop_baseline();
}

std::vector<std::pair<std::string_view, ShingleHash>> enum_names(ShingleHash) {
    return {{"xxh64", ShingleHash::xxh64}, {"sha1", ShingleHash::sha1}};
}

Shingler::Shingler(const ShingleOptions& options, WordCutter* cutter, Sha1Loop sha1)
    : options_(options), cuts_(cutter), sha1_(sha1) {
    TNL_CHECK(options.words >= 1 && options.words <= 100, "shingles of {} words, wanted 1 to 100",
              options.words);
}

std::span<const uint64_t> Shingler::operator()(std::string_view text) {
    TNL_CHECK(text.size() < (size_t{1} << 30), "a document of {} bytes, wanted less than 1 GiB",
              text.size());
    simplify(text, simplified_, options_.simplify);
    find_words();
    const auto n = static_cast<size_t>(options_.words);
    shingles_.resize(words_.size() < n ? 0 : words_.size() - n + 1);
    if (options_.hash == ShingleHash::xxh64)
        hash_xxh64();
    else
        hash_sha1();
    return shingles_;
}

void Shingler::find_words() {
    // Tokens lie one after the other, a space between two, so that an n-gram is one piece.
    words_.clear();
    joined_.resize(2 * simplified_.size() + 8); // a token of one character has a space of its own
    char* const to = joined_.data();
    uint32_t end = 0;
    const auto add = [&](std::string_view token) {
        if (end > 0) to[end++] = ' ';
        token.copy(to + end, token.size());
        words_.push_back({end, end + static_cast<uint32_t>(token.size())});
        end = words_.back().end;
    };
    const char* at = simplified_.data();
    const char* const stop = at + simplified_.size();
    while (at < stop) {
        const auto* space =
            static_cast<const char*>(__builtin_memchr(at, ' ', static_cast<size_t>(stop - at)));
        const char* const word_end = space ? space : stop;
        if (word_end > at) cuts_({at, static_cast<size_t>(word_end - at)}, add);
        at = word_end + 1;
    }
}

void Shingler::hash_xxh64() {
    const size_t n = static_cast<size_t>(options_.words) - 1;
    for (size_t i = 0; i < shingles_.size(); ++i) {
        const uint32_t begin = words_[i].begin;
        shingles_[i] = XXH64(joined_.data() + begin, words_[i + n].end - begin, 0);
    }
}

void Shingler::hash_sha1() {
    const size_t n = static_cast<size_t>(options_.words) - 1;
    messages_.resize(shingles_.size());
    for (size_t i = 0; i < shingles_.size(); ++i) {
        const uint32_t begin = words_[i].begin;
        messages_[i] = {joined_.data() + begin, words_[i + n].end - begin};
    }
    sha1_(shingles_.data(), messages_.data(), messages_.size());
}

} // namespace tnl::corpus
