// The published sizes (2307.14995 table 10, the released config.json files) and small ones.
#include "model/config.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace tnl {
namespace {

struct Preset {
    const char* name;
    int64_t embed, layers, heads, glu, vocab;
    bool scaled;  // embeddings multiplied by sqrt(C)
    int64_t gate; // rank of the low-rank gate, 0: full rank
};

constexpr int64_t kBaichuan = 64000; // the released SentencePiece vocabulary

// 7B and the later releases leave the embeddings unscaled; 385M, 1B and 15B scale them. 13B to 175B
// were never released: their widths are the paper's, or (175B's glu) 2.69 C as the others have.
constexpr Preset kPresets[] = {
    {"385M", 1024, 24, 8, 2816, kBaichuan, true, 0},
    {"1B", 2048, 16, 16, 5632, kBaichuan, true, 0},
    {"3B", 2560, 32, 20, 6912, kBaichuan, false, 0},
    {"7B", 4096, 30, 32, 11008, kBaichuan, false, 0},
    {"13B", 5120, 36, 40, 13824, kBaichuan, false, 0},
    {"15B", 5120, 42, 40, 15360, 100280, true, 16},
    {"65B", 8192, 72, 64, 22016, kBaichuan, false, 0},
    {"175B", 12288, 88, 96, 33024, kBaichuan, false, 0},
    // For tests: runs in milliseconds.
    {"tiny", 128, 3, 2, 352, 320, true, 0},
    {"tiny3", 128, 3, 2, 384, 320, true, 16},
    // 1.8M parameters, for ./quickstart: learns the look of a language in minutes on two cores. Few
    // and narrow layers see so many more tokens in that time that they end ahead of deeper and
    // wider ones.
    {"2M", 192, 3, 6, 512, 2048, true, 0},
    // 25.0M parameters, heads of 128 as in the releases, glu 2.75 C: the CPU training benchmark.
    {"25M", 512, 6, 4, 1408, 8192, true, 0},
    // 58.5M parameters: large enough to compare architectures with in hours.
    {"60M", 512, 12, 4, 1408, 32768, true, 0},
};

// Transformers of the same size as the TransNormerLLM of the name behind the dash: as many layers,
// as wide, as many heads, the head tied likewise. What the other has more of in the mixer, the
// gate's matrix, goes into the gated unit: glu 99/32 C for 88/32 C. Within 0.4% of its parameters.
constexpr const char* kLlamaPresets[] = {"llama-tiny", "llama-25M", "llama-60M", "llama-385M",
                                         "llama-1B"};
constexpr std::string_view kLlamaPrefix = "llama-";

ModelConfig llama_preset(const std::string& name) {
    ModelConfig c = model_preset(name.substr(kLlamaPrefix.size()));
    c.model_type = "llama";
    c.glu_dim = c.decoder_embed_dim * 99 / 32;
    c.no_scale_embedding = false; // its default: llama has no such choice
    return c;
}

} // namespace

ModelConfig model_preset(const std::string& name) {
    if (std::ranges::find(kLlamaPresets, name) != std::end(kLlamaPresets))
        return llama_preset(name);
    for (const Preset& p : kPresets) {
        if (name != p.name) continue;
        ModelConfig c;
        c.vocab_size = p.vocab;
        c.decoder_embed_dim = c.hidden_dim = p.embed;
        c.decoder_layers = p.layers;
        c.decoder_attention_heads = p.heads;
        c.glu_dim = p.glu;
        c.gate_dim = p.gate;
        c.no_scale_embedding = !p.scaled;
        if (name == "7B") c.model_max_length = 8192;
        if (name == "15B") {
            c.pad_token_id = 100262;
            c.bos_token_id = 100261;
            c.eos_token_id = 100257;
        }
        return c;
    }
    throw UsageError(fmt::format("unknown model preset \"{}\", wanted one of {}", name,
                                 fmt::join(model_preset_names(), ", ")));
}

std::vector<std::string> model_preset_names() {
    std::vector<std::string> names;
    for (const Preset& p : kPresets) names.emplace_back(p.name);
    names.insert(names.end(), std::begin(kLlamaPresets), std::end(kLlamaPresets));
    return names;
}

} // namespace tnl
