// Low-rank adapters (2106.09685): y = W x + (alpha / rank) B (A x), W frozen, A [rank,in] and
// B [out,rank] trained. B begins as zero, so that an adapter begins as the model itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tnl {

struct LoraOptions {
    int64_t rank = 0; // 0: no adapters
    double alpha = 16;
    // Ends of the names of linear layers: "qkvu_proj", "l1"; empty: all of mixers and SGLUs.
    std::vector<std::string> targets;

    template <class V> void fields(V&& visit) {
        visit("rank", rank,
              "rank of low-rank adapters, which alone are trained then; 0: all weights are");
        visit("alpha", alpha, "what adapters add is multiplied by alpha / rank");
        visit("targets", targets,
              "linear layers that get adapters, by the ends of their names, such as qkvu_proj, "
              "out_proj, l1, l2, l3; empty: all of mixers and SGLUs");
    }

    float scale() const { return static_cast<float>(alpha / static_cast<double>(rank)); }
    // Whether a layer of this name ("model.layers.0.token_mixer.out_proj") gets one.
    bool applies_to(const std::string& layer) const;
};

} // namespace tnl
