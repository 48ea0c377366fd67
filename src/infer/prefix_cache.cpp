#include "infer/prefix_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace tnl {
namespace {

uint64_t hash_of(std::span<const int32_t> tokens, uint64_t before) {
    return XXH3_64bits_withSeed(tokens.data(), tokens.size_bytes(), before);
}

} // namespace

PrefixCache::Entries::iterator PrefixCache::find(uint64_t hash, std::span<const int32_t> tokens) {
    const auto at = by_hash_.find(hash);
    if (at == by_hash_.end() || !std::ranges::equal(at->second->tokens, tokens))
        return entries_.end();
    return at->second;
}

bool PrefixCache::kept_at(int64_t tokens, int64_t prompt) const {
    const int64_t chunk = session_.options().chunk;
    if (tokens == 0 || tokens % chunk != 0) return false;
    return tokens + chunk >= prompt || std::has_single_bit(static_cast<uint64_t>(tokens / chunk));
}

int64_t PrefixCache::restore(int64_t slot, std::span<const int32_t> prompt) {
    session_.reset(slot, 1);
    if (entries_.empty()) return 0;
    const auto chunk = static_cast<size_t>(session_.options().chunk);
    auto best = entries_.end();
    uint64_t hash = 0;
    for (size_t n = chunk; n < prompt.size(); n += chunk) {
        hash = hash_of(prompt.subspan(n - chunk, chunk), hash);
        const auto at = find(hash, prompt.first(n));
        if (at != entries_.end()) best = at;
    }
    if (best == entries_.end()) return 0;
    entries_.splice(entries_.begin(), entries_, best);
    const auto tokens = static_cast<int64_t>(best->tokens.size());
    States states;
    for (const OwnedTensor& layer : best->layers) states.layers.push_back(layer);
    session_.set_state(slot, states, 0, tokens);
    return tokens;
}

void PrefixCache::keep(int64_t slot, std::span<const int32_t> prompt, int64_t tokens) {
    if (!kept_at(tokens, static_cast<int64_t>(prompt.size()))) return;
    const auto text = prompt.first(static_cast<size_t>(tokens));
    const auto state = static_cast<size_t>(session_.model().config().state_bytes());
    const size_t bytes = state + text.size_bytes();
    if (bytes > capacity_) return;
    const auto chunk = static_cast<size_t>(session_.options().chunk);
    uint64_t hash = 0;
    for (size_t n = 0; n < text.size(); n += chunk) hash = hash_of(text.subspan(n, chunk), hash);
    if (const auto at = by_hash_.find(hash); at != by_hash_.end()) {
        entries_.splice(entries_.begin(), entries_, at->second);
        return; // that one, or another of equal hash: the first stays
    }
    while (bytes_ + bytes > capacity_) {
        bytes_ -= entries_.back().bytes;
        by_hash_.erase(entries_.back().hash);
        entries_.pop_back();
    }
    Entry entry{hash, {text.begin(), text.end()}, {}, bytes};
    Device& device = session_.device();
    for (const Tensor& layer : session_.states().layers) {
        const Tensor from = layer.slice(0, slot, slot + 1);
        entry.layers.emplace_back(device, from.dtype, from.shape.data(), from.rank);
        device.copy(entry.layers.back().data, from.data, static_cast<size_t>(from.bytes()));
    }
    entries_.push_front(std::move(entry));
    by_hash_[hash] = entries_.begin();
    bytes_ += bytes;
}

} // namespace tnl
