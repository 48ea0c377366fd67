#include "model/flops.h"

namespace tnl {

ModelFlops model_flops(const Model& model, int64_t length) {
    const ModelConfig& c = model.config();
    ModelFlops out;
    for (const Param& p : model.params().base())
        if (p.shape.size() == 2) out.weights += static_cast<double>(p.size);
    for (const Param& p : model.params().adapters()) out.adapters += static_cast<double>(p.size);
    if (!c.tie_word_embeddings) // a look-up multiplies nothing
        out.weights -= static_cast<double>(c.vocab_size * c.decoder_embed_dim);
    const double seen = static_cast<double>(length + 1) / 2;
    for (int64_t l = 0; l < c.decoder_layers; ++l)
        out.attention += 4.0 * static_cast<double>(c.hidden_dim) *
                         (c.is_llama() ? seen : static_cast<double>(c.key_dim(l)));
    return out;
}

} // namespace tnl
