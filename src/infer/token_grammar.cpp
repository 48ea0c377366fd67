#include "infer/token_grammar.h"

#include "base/check.h"
#include "text/utf8.h"

#include <xxhash.h>

#include <algorithm>

namespace tnl {
namespace {

constexpr size_t kMostMasks = 256;
constexpr size_t kMostStacks = 1 << 20;

bool is_plain(const std::string& bytes) {
    return first_invalid_utf8(bytes) == std::string::npos &&
           std::ranges::none_of(bytes, [](char c) {
               return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
           });
}

} // namespace

TokenTable::TokenTable(const Tokenizer& tokenizer) {
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        bytes_.push_back(tokenizer.token_bytes(id));
        const std::string& bytes = bytes_.back();
        if (bytes.empty()) continue;
        all_.push_back({bytes, id, 0});
        if (is_plain(bytes))
            plain_.push_back(id);
        else
            rest_.push_back({bytes, id, 0});
    }
    sort(all_);
    sort(rest_);
}

void TokenTable::sort(std::vector<Entry>& entries) {
    std::ranges::sort(entries, {}, &Entry::bytes);
    for (size_t i = 1; i < entries.size(); ++i) {
        const std::string &a = entries[i - 1].bytes, &b = entries[i].bytes;
        const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
        entries[i].shared = static_cast<uint32_t>(differ.first - a.begin());
    }
}

TokenGrammar::TokenGrammar(GrammarWalk walk, std::shared_ptr<const TokenTable> tokens,
                           std::vector<int32_t> end_tokens, int64_t vocab)
    : walk_(std::move(walk)), tokens_(std::move(tokens)), end_tokens_(std::move(end_tokens)),
      vocab_(vocab) {
    static_cast<void>(walk_.begin()); // a grammar that cannot be walked is told here
}

size_t TokenGrammar::Hash::operator()(const Places& places) const {
    return XXH3_64bits(places.data(), places.size() * sizeof(GrammarWalk::Place));
}

TokenGrammar::Places TokenGrammar::begin() {
    const std::lock_guard lock(mutex_);
    return walk_.begin();
}

// Tokens in order of their bytes: each goes on from the places after what it shares with the one
// before it. Where no place is left after some bytes, all that begin with them are passed over.
void TokenGrammar::allow(const std::vector<TokenTable::Entry>& entries, const Places& from,
                         TokenMask& out) {
    std::vector<Places> after{from}; // after[n]: n bytes of the entry
    size_t known = 0;                // up to where `after` is right
    for (const TokenTable::Entry& entry : entries) {
        if (entry.shared > known) continue; // after[known + 1] would be empty
        known = entry.shared;
        while (known < entry.bytes.size()) {
            if (after.size() < known + 2) after.emplace_back();
            walk_.advance(after[known], static_cast<unsigned char>(entry.bytes[known]),
                          after[known + 1]);
            if (after[known + 1].empty()) break;
            ++known;
        }
        if (known == entry.bytes.size()) out.allow(entry.id);
    }
}

std::shared_ptr<const TokenMask> TokenGrammar::mask(const Places& places) {
    const std::lock_guard lock(mutex_);
    if (const auto known = masks_.find(places); known != masks_.end()) return known->second;
    auto out = std::make_shared<TokenMask>(vocab_);
    // Inside a string of any length a character changes nothing (no other rule of JSON repeats
    // itself), and most tokens are characters.
    Places next;
    walk_.advance(places, 'a', next);
    if (next == places) {
        for (const int32_t id : tokens_->plain_) out->allow(id);
        allow(tokens_->rest_, places, *out);
    } else {
        allow(tokens_->all_, places, *out);
    }
    if (walk_.complete(places))
        for (const int32_t id : end_tokens_)
            if (id >= 0 && id < vocab_) out->allow(id);
    if (masks_.size() >= kMostMasks) masks_.clear();
    masks_[places] = out;
    return out;
}

void TokenGrammar::advance(Places& places, int32_t token) {
    if (std::ranges::find(end_tokens_, token) != end_tokens_.end()) return;
    const std::lock_guard lock(mutex_);
    Places next;
    for (const char c : tokens_->bytes_[static_cast<size_t>(token)]) {
        walk_.advance(places, static_cast<unsigned char>(c), next);
        std::swap(places, next);
    }
    TNL_CHECK(!places.empty(), "token {} is none that the grammar allows here", token);
}

bool TokenGrammar::finished(const Places& places) {
    const std::lock_guard lock(mutex_);
    return walk_.complete(places) && !walk_.goes_on(places);
}

bool TokenGrammar::worn() {
    const std::lock_guard lock(mutex_);
    return walk_.stacks() > kMostStacks;
}

} // namespace tnl
