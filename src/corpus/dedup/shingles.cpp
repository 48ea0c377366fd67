#include "corpus/dedup/shingles.h"

#include "base/check.h"
#include "base/cpu.h"

#include <emmintrin.h>

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tnl::corpus {

Sha1Loop sha1_loop() {
    const CpuFeatures& cpu = cpu_features();
    return cpu.avx512 ? sha1_loop_avx512() : cpu.avx2 ? sha1_loop_avx2() : sha1_loop_baseline();
}

std::vector<std::pair<std::string_view, ShingleHash>> enum_names(ShingleHash) {
    return {
        {"xxh64", ShingleHash::xxh64}, {"sha1", ShingleHash::sha1}, {"words", ShingleHash::words}};
}

std::vector<std::pair<std::string_view, WordCut>> enum_names(WordCut) {
    return {
        {"spaces", WordCut::spaces}, {"english", WordCut::english}, {"common", WordCut::common}};
}

namespace {

// What a lexicon may take before it forgets.
constexpr size_t kLexiconBytes = size_t{16} << 20;

// spaCy's rules for what stands between two spaces.
class RuleCutter final : public WordCutter {
  public:
    explicit RuleCutter(WordRules rules) : splitter_(rules) {}
    void cut(std::string_view word, std::vector<std::string_view>& tokens) override {
        lengths_.clear();
        splitter_.split(word, lengths_);
        for (const uint32_t length : lengths_) {
            tokens.push_back(word.substr(0, length));
            word.remove_prefix(length);
        }
    }

  private:
    Splitter splitter_;
    std::vector<uint32_t> lengths_;
};

WordRules rules_of(WordCut cut) {
    return cut == WordCut::english ? WordRules::english : WordRules::common;
}

std::unique_ptr<Lexicon> make_lexicon(WordCut cut) {
    if (cut == WordCut::spaces) return nullptr;
    return std::make_unique<Lexicon>(rules_of(cut));
}

std::unique_ptr<WordCutter> make_cutter(WordCut cut) {
    if (cut == WordCut::spaces) return nullptr;
    return std::make_unique<RuleCutter>(rules_of(cut));
}

} // namespace

Shingler::Shingler(const ShingleOptions& options, Sha1Loop sha1)
    : options_(options), lexicon_(make_lexicon(options.cut)), cutter_(make_cutter(options.cut)),
      cuts_(cutter_.get()), sha1_(sha1) {
    TNL_CHECK(options.words >= 1 && options.words <= 100, "shingles of {} words, wanted 1 to 100",
              options.words);
}

std::span<const uint64_t> Shingler::operator()(std::string_view text) {
    TNL_CHECK(text.size() < (size_t{1} << 30), "a document of {} bytes, wanted less than 1 GiB",
              text.size());
    simplify(text, simplified_, options_.simplify);
    words_.clear();
    breaks_.clear();
    if (lexicon_ != nullptr && is_cut_apart())
        find_tokens();
    else
        find_words();
    const auto n = static_cast<size_t>(options_.words);
    shingles_.resize(words_.size() < n ? 0 : words_.size() - n + 1);
    switch (options_.hash) {
    case ShingleHash::xxh64:
        hash_xxh64();
        break;
    case ShingleHash::sha1:
        hash_sha1();
        break;
    case ShingleHash::words:
        hash_words();
        break;
    }
    return shingles_;
}

// spaCy looks for special cases in the tokens of a document, too. All of those have a character of
// punctuation, which simplified texts have not, but for a few letters that decompose into one.
bool Shingler::is_cut_apart() const {
    if (!options_.simplify.punctuation) return true;
    unsigned char found = 0; // in bytes alone, to be vectorised
    for (const char c : simplified_) {
        const auto byte = static_cast<unsigned char>(c);
        const auto letter = static_cast<unsigned char>((byte | 0x20) - 'a');
        const auto digit = static_cast<unsigned char>(byte - '0');
        found |=
            static_cast<unsigned char>((letter > 25) & (digit > 9) & (byte != ' ') & (byte < 128));
    }
    return found != 0;
}

// What stands between two spaces.
inline void Shingler::add_chunk(uint32_t begin, uint32_t end) {
    if (begin == end) return;
    const char* const chunk = simplified_.data() + begin;
    uint32_t at = begin;
    cuts_({chunk, end - begin}, [&](std::string_view token) {
        const auto bytes = static_cast<uint32_t>(token.size());
        if (!words_.empty() && at != words_.back().end + 1)
            breaks_.push_back(static_cast<uint32_t>(words_.size()));
        words_.push_back({at, at + bytes});
        at += bytes;
    });
}

void Shingler::find_words() {
    text_ = &simplified_;
    const auto size = static_cast<uint32_t>(simplified_.size());
    simplified_.append(63, ' '); // whole blocks
    const char* const text = simplified_.data();
    const __m128i spaces = _mm_set1_epi8(' ');
    uint32_t begin = 0;
    for (uint32_t block = 0; block < size; block += 64) {
        uint64_t mask = 0;
        for (uint32_t i = 0; i < 4; ++i) {
            const __m128i bytes =
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + block + 16 * i));
            mask |=
                uint64_t{static_cast<uint16_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, spaces)))}
                << (16 * i);
        }
        for (; mask != 0; mask &= mask - 1) {
            const uint32_t end = block + static_cast<uint32_t>(__builtin_ctzll(mask));
            add_chunk(begin, end);
            begin = end + 1;
        }
    }
    add_chunk(std::min(begin, size), size);
    simplified_.resize(size);
}

// By the tokenizer, of the text as a whole.
void Shingler::find_tokens() {
    text_ = &joined_;
    joined_.clear();
    tokens_.clear();
    lexicon_->limit(kLexiconBytes);
    lexicon_->tokenize(simplified_, TokensOf::words, tokens_);
    for (const uint32_t token : tokens_) {
        if (!joined_.empty()) joined_ += ' ';
        const auto begin = static_cast<uint32_t>(joined_.size());
        joined_ += lexicon_->text(token);
        words_.push_back({begin, static_cast<uint32_t>(joined_.size())});
    }
}

// Calls take(i, n-gram i): words joined by spaces, a piece of the text but where a word was cut.
template <class F> void Shingler::each_ngram(F&& take) {
    const size_t n = static_cast<size_t>(options_.words) - 1;
    const char* const text = text_->data();
    size_t next = 0; // of breaks_, the first behind word i
    // Joined n-grams stay where they are: the longest of them, for each break n times.
    ngrams_.clear();
    size_t needed = 0;
    for (const uint32_t at : breaks_) {
        const size_t first = at > n ? at - n : 0, last = std::min(at + n, words_.size() - 1);
        needed += (n + 1) * (words_[last].end - words_[first].begin + n + 1);
    }
    ngrams_.reserve(needed);
    for (size_t i = 0; i < shingles_.size(); ++i) {
        const uint32_t begin = words_[i].begin;
        while (next < breaks_.size() && breaks_[next] <= i) ++next;
        if (next == breaks_.size() || breaks_[next] > i + n) {
            take(i, std::string_view(text + begin, words_[i + n].end - begin));
            continue;
        }
        const size_t from = ngrams_.size();
        for (size_t k = i; k <= i + n; ++k) {
            if (k > i) ngrams_ += ' ';
            ngrams_.append(text + words_[k].begin, words_[k].end - words_[k].begin);
        }
        take(i, std::string_view(ngrams_).substr(from));
    }
}

void Shingler::hash_xxh64() {
    each_ngram([&](size_t i, std::string_view ngram) {
        shingles_[i] = XXH64(ngram.data(), ngram.size(), 0);
    });
}

// A polynomial in the words' hashes, so that the next one comes from the one before.
void Shingler::hash_words() {
    constexpr uint64_t kBase = 0x9e3779b97f4a7c15ULL;
    const auto n = static_cast<size_t>(options_.words);
    uint64_t beyond = 1, sum = 0; // kBase^n
    for (size_t i = 0; i < n; ++i) beyond *= kBase;
    word_hashes_.resize(words_.size());
    for (size_t i = 0; i < words_.size(); ++i) {
        const Word& word = words_[i];
        word_hashes_[i] = XXH3_64bits(text_->data() + word.begin, word.end - word.begin);
        sum = sum * kBase + word_hashes_[i];
        if (i >= n) sum -= word_hashes_[i - n] * beyond;
        if (i + 1 >= n) shingles_[i + 1 - n] = XXH64_avalanche(sum);
    }
}

void Shingler::hash_sha1() {
    messages_.resize(shingles_.size());
    each_ngram([&](size_t i, std::string_view ngram) {
        messages_[i] = {ngram.data(), ngram.size()};
    });
    sha1_(shingles_.data(), messages_.data(), messages_.size());
}

} // namespace tnl::corpus
