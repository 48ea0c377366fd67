// A small model and tokens for the tests of sessions.
#pragma once

#include "base/rng.h"
#include "model/config.h"

#include <vector>

namespace tnl::testing {

constexpr int64_t kSmallVocabulary = 61;

inline ModelConfig small_config() {
    ModelConfig c;
    c.vocab_size = kSmallVocabulary;
    c.decoder_embed_dim = c.hidden_dim = 32;
    c.decoder_layers = 2;
    c.decoder_attention_heads = 2;
    c.glu_dim = 48;
    c.init_std = 0.2;
    return c;
}

inline std::vector<int32_t> random_tokens(int64_t n, uint64_t seed) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < n; ++i)
        out.push_back(static_cast<int32_t>(
            Philox{seed, 8}.below(static_cast<uint64_t>(i), kSmallVocabulary)));
    return out;
}

} // namespace tnl::testing
