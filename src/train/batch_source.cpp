#include "train/batch_source.h"

#include <fmt/format.h>

namespace tnl {

ShardSource::ShardSource(const ShardSet& shards, LoaderOptions options, LoaderState state)
    : shards_(shards), options_(options) {
    seek(state);
}

void ShardSource::seek(const LoaderState& state) { loader_.emplace(shards_, options_, state); }

double ShardSource::bytes_per_token() const {
    return static_cast<double>(shards_.text_bytes()) / static_cast<double>(shards_.tokens());
}

std::string ShardSource::fingerprint() const {
    return fmt::format("{} tokens in {} documents of {} bytes, tokenizer {:016x}", shards_.tokens(),
                       shards_.documents(), shards_.text_bytes(), shards_.tokenizer_hash());
}

} // namespace tnl
