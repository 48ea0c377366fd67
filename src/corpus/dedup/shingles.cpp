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

std::vector<std::pair<std::string_view, WordCut>> enum_names(WordCut) {
    return {
        {"spaces", WordCut::spaces}, {"english", WordCut::english}, {"common", WordCut::common}};
}

namespace {

// What a lexicon may take before it forgets.
constexpr size_t kLexiconBytes = size_t{16} << 20;

// A lexicon for words of a-z and 0 alone: what else spaCy's rules look at, tokens around a word,
// does not touch these.
class LexiconCutter final : public WordCutter {
  public:
    explicit LexiconCutter(Lexicon& lexicon) : lexicon_(lexicon) {}
    void cut(std::string_view word, std::vector<std::string_view>& tokens) override {
        numbers_.clear();
        lexicon_.limit(kLexiconBytes);
        lexicon_.tokenize(word, TokensOf::words, numbers_);
        for (const uint32_t token : numbers_) tokens.push_back(lexicon_.text(token));
    }

  private:
    Lexicon& lexicon_;
    std::vector<uint32_t> numbers_;
};

std::unique_ptr<Lexicon> make_lexicon(WordCut cut) {
    if (cut == WordCut::spaces) return nullptr;
    return std::make_unique<Lexicon>(cut == WordCut::english ? WordRules::english
                                                             : WordRules::common);
}

std::unique_ptr<WordCutter> make_cutter(Lexicon* lexicon) {
    return lexicon == nullptr ? nullptr : std::make_unique<LexiconCutter>(*lexicon);
}

// Whether there is nothing but a-z, 0 and spaces.
bool is_plain(std::string_view text) {
    bool other = false;
    for (const char c : text) other |= !((c >= 'a' && c <= 'z') || c == ' ' || c == '0');
    return !other;
}

} // namespace

Shingler::Shingler(const ShingleOptions& options, Sha1Loop sha1)
    : options_(options), lexicon_(make_lexicon(options.cut)), cutter_(make_cutter(lexicon_.get())),
      cuts_(cutter_.get()), sha1_(sha1) {
    TNL_CHECK(options.words >= 1 && options.words <= 100, "shingles of {} words, wanted 1 to 100",
              options.words);
}

std::span<const uint64_t> Shingler::operator()(std::string_view text) {
    TNL_CHECK(text.size() < (size_t{1} << 30), "a document of {} bytes, wanted less than 1 GiB",
              text.size());
    simplify(text, simplified_, options_.simplify);
    // Tokens lie one after the other, a space between two, so that an n-gram is one piece.
    words_.clear();
    joined_.resize(2 * simplified_.size() + 8); // a token of one byte has a space of its own
    if (lexicon_ == nullptr || is_plain(simplified_))
        find_words();
    else
        find_tokens();
    const auto n = static_cast<size_t>(options_.words);
    shingles_.resize(words_.size() < n ? 0 : words_.size() - n + 1);
    if (options_.hash == ShingleHash::xxh64)
        hash_xxh64();
    else
        hash_sha1();
    return shingles_;
}

void Shingler::find_words() {
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

// By the tokenizer, of the text as a whole.
void Shingler::find_tokens() {
    tokens_.clear();
    lexicon_->limit(kLexiconBytes);
    lexicon_->tokenize(simplified_, TokensOf::words, tokens_);
    char* const to = joined_.data();
    uint32_t end = 0;
    for (const uint32_t token : tokens_) {
        const std::string_view text = lexicon_->text(token);
        TNL_CHECK(end + 1 + text.size() <= joined_.size(), "a token that is longer than its text");
        if (end > 0) to[end++] = ' ';
        text.copy(to + end, text.size());
        words_.push_back({end, end + static_cast<uint32_t>(text.size())});
        end = words_.back().end;
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
