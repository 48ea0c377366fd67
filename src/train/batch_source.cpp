#include "train/batch_source.h"

#include <fmt/format.h>

namespace tnl {

ShardSource::ShardSource(const ShardSet& shards, LoaderOptions options, LoaderState state)
    : shards_(shards), options_(options) {
    seek(state);
}

void ShardSource::seek(const LoaderState& state) { loader_.emplace(shards_, options_, state); }

double ShardSource::bytes_per_token() const {
    const int64_t tokens = shards_.learned_tokens();
    return tokens ? static_cast<double>(shards_.learned_bytes()) / static_cast<double>(tokens) : 0;
}

std::string ShardSource::fingerprint() const {
    std::string out =
        fmt::format("{} tokens in {} documents of {} bytes, tokenizer {:016x}", shards_.tokens(),
                    shards_.documents(), shards_.text_bytes(), shards_.tokenizer_hash());
    if (shards_.learned_tokens() < shards_.tokens())
        out += fmt::format(", {} to be learned", shards_.learned_tokens());
    return out;
}

} // namespace tnl
