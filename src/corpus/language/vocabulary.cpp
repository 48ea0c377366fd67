#include "corpus/language/vocabulary.h"

#include <algorithm>
#include <bit>

namespace tnl::corpus {
namespace {

constexpr std::string_view kEnd = "</s>", kLabel = "__label__";

// FNV-1a, with bytes as signed numbers.
struct Hash {
    uint32_t value = 2166136261;
    void add(char c) {
        value ^= static_cast<uint32_t>(static_cast<int8_t>(c));
        value *= 16777619;
    }
};
uint32_t hash_of(std::string_view text) {
    Hash hash;
    for (const char c : text) hash.add(c);
    return hash.value;
}

bool is_tail(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; } // of a character
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }

} // namespace

FastTextVocabulary::FastTextVocabulary(ModelReader& in, const FastTextArgs& args) : args_(args) {
    const auto size = in.number<int32_t>();
    words_ = in.number<int32_t>();
    const auto labels = in.number<int32_t>();
    in.number<int64_t>(); // tokens seen in training
    pruned_ = in.number<int64_t>();
    if (size < 1 || words_ < 0 || labels < 1 || int64_t{words_} + labels != size ||
        static_cast<uint64_t>(size) > in.left() / 10 || pruned_ < -1 ||
        pruned_ > static_cast<int64_t>(in.left() / 8))
        in.wrong(fmt::format("has {} entries, {} words and {} labels, {} kept buckets", size,
                             words_, labels, pruned_));
    for (int32_t i = 0; i < size; ++i) {
        const std::string word = in.text();
        const auto count = in.number<int64_t>();
        const auto type = in.number<int8_t>(); // 0: word
        if (type != (i < words_ ? 0 : 1))
            in.wrong(fmt::format("has entry {}, '{}', of type {}", i, word, type));
        begins_.push_back(static_cast<uint32_t>(texts_.size()));
        texts_ += word;
        if (texts_.size() >> 32) in.wrong("has more than 4 GB of words");
        if (i < words_) continue;
        constexpr int64_t kMost = int64_t{1} << 48; // their sum, and a tree of them, stay small
        if (count < 1 || count > kMost)
            in.wrong(fmt::format("has label '{}' {} times", word, count));
        const std::string_view name = std::string_view(word).substr(
            std::min(word.size(), word.starts_with(kLabel) ? kLabel.size() : 0));
        labels_.emplace_back(name.substr(0, name.find("__")));
        label_counts_.push_back(count);
    }
    begins_.push_back(static_cast<uint32_t>(texts_.size()));
    for (int64_t i = 0; i < pruned_; ++i) {
        const auto bucket = in.number<int32_t>(), row = in.number<int32_t>();
        if (row < 0 || row >= pruned_) in.wrong(fmt::format("keeps bucket {} as {}", bucket, row));
        kept_[bucket] = row;
    }
    table_.assign(std::bit_ceil(static_cast<size_t>(size) * 2), -1);
    std::string marked;
    for (int32_t i = 0; i < size; ++i) {
        const std::string_view word = std::string_view(texts_).substr(
            begins_[static_cast<size_t>(i)],
            begins_[static_cast<size_t>(i) + 1] - begins_[static_cast<size_t>(i)]);
        size_t slot = hash_of(word) & (table_.size() - 1);
        while (table_[slot] >= 0) slot = (slot + 1) & (table_.size() - 1);
        table_[slot] = i;
        if (i >= words_) continue;
        subwords_.push_back(static_cast<uint32_t>(subword_rows_.size()));
        subword_rows_.push_back(i);
        if (word == kEnd || args_.maxn <= 0) continue;
        (marked = "<").append(word) += '>';
        add_subwords(marked, subword_rows_);
    }
    subwords_.push_back(static_cast<uint32_t>(subword_rows_.size()));
}

int64_t FastTextVocabulary::rows() const {
    return int64_t{words_} + (pruned_ >= 0 ? pruned_ : args_.bucket);
}

size_t FastTextVocabulary::bytes() const {
    return texts_.size() +
           4 * (begins_.size() + table_.size() + subwords_.size() + subword_rows_.size()) +
           64 * kept_.size();
}

int32_t FastTextVocabulary::find(std::string_view word, uint32_t hash) const {
    for (size_t slot = hash & (table_.size() - 1);; slot = (slot + 1) & (table_.size() - 1)) {
        const int32_t entry = table_[slot];
        if (entry < 0) return -1;
        const uint32_t begin = begins_[static_cast<size_t>(entry)];
        if (begins_[static_cast<size_t>(entry) + 1] - begin == word.size() &&
            std::string_view(texts_).substr(begin, word.size()) == word)
            return entry;
    }
}

void FastTextVocabulary::add_bucket(uint32_t bucket, std::vector<int32_t>& rows) const {
    if (pruned_ < 0) {
        rows.push_back(words_ + static_cast<int32_t>(bucket));
    } else if (pruned_ > 0) {
        const auto found = kept_.find(static_cast<int32_t>(bucket));
        if (found != kept_.end()) rows.push_back(words_ + found->second);
    }
}

void FastTextVocabulary::add_subwords(std::string_view marked, std::vector<int32_t>& rows) const {
    for (size_t begin = 0; begin < marked.size(); ++begin) {
        if (is_tail(marked[begin])) continue;
        Hash hash;
        size_t at = begin;
        for (int32_t n = 1; at < marked.size() && n <= args_.maxn; ++n) {
            do {
                hash.add(marked[at++]);
            } while (at < marked.size() && is_tail(marked[at]));
            if (n >= args_.minn && !(n == 1 && (begin == 0 || at == marked.size())))
                add_bucket(hash.value % static_cast<uint32_t>(args_.bucket), rows);
        }
    }
}

// `entry` is the word's, -1 if it is not known.
void FastTextVocabulary::add_word(std::string_view word, int32_t entry, std::vector<int32_t>& rows,
                                  std::string& marked) const {
    if (entry < 0) {
        if (word == kEnd || args_.maxn <= 0) return;
        (marked = "<").append(word) += '>';
        add_subwords(marked, rows);
    } else if (args_.maxn <= 0) {
        rows.push_back(entry);
    } else {
        const auto at = static_cast<size_t>(entry);
        rows.insert(rows.end(), subword_rows_.begin() + subwords_[at],
                    subword_rows_.begin() + subwords_[at + 1]);
    }
}

void FastTextVocabulary::features(std::string_view text, std::vector<int32_t>& rows,
                                  std::vector<int32_t>& hashes, std::string& marked) const {
    rows.clear();
    hashes.clear();
    const auto add = [&](std::string_view token) {
        const uint32_t hash = hash_of(token);
        const int32_t entry = find(token, hash);
        if (entry >= words_ || (entry < 0 && token.starts_with(kLabel))) return; // no word
        add_word(token, entry, rows, marked);
        hashes.push_back(static_cast<int32_t>(hash));
    };
    std::string_view token;
    for (size_t at = 0; token != kEnd;) { // behind which the library reads no further
        while (at < text.size() && is_space(text[at])) ++at;
        const size_t begin = at;
        while (at < text.size() && !is_space(text[at])) ++at;
        token = begin == at ? kEnd : text.substr(begin, at - begin);
        add(token);
    }
    if (args_.bucket <= 0) return;
    for (size_t i = 0; i < hashes.size(); ++i) {
        auto hash = static_cast<uint64_t>(int64_t{hashes[i]});
        for (size_t j = i + 1; j < hashes.size() && j < i + static_cast<size_t>(args_.word_ngrams);
             ++j) {
            hash = hash * 116049371 + static_cast<uint64_t>(int64_t{hashes[j]});
            add_bucket(static_cast<uint32_t>(hash % static_cast<uint64_t>(args_.bucket)), rows);
        }
    }
}

} // namespace tnl::corpus
