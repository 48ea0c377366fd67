// Loss of documents under a model. Documents are packed into calls of fixed size; the state of one
// that is longer goes from call to call, so that any length is exact in fixed memory. A llama model
// has no state: each of its documents has to fit into one call.
#pragma once

#include "model/model.h"

#include <span>
#include <vector>

namespace tnl {

struct DocumentLoss {
    double nats = 0;    // sum of -ln p(token | all before it)
    int64_t tokens = 0; // tokens predicted: all but the first, of those that count
    friend bool operator==(const DocumentLoss&, const DocumentLoss&) = default;
};

class Evaluator {
  public:
    struct Options {
        DType dtype = DType::f32;
        int64_t chunk = 2048;     // tokens of one call
        int64_t sequences = 16;   // documents of one call, at most
        int64_t head_chunk = 256; // rows whose logits exist at once
    };
    // weights: flat, options.dtype, on the device; model, device and weights must outlive this.
    Evaluator(const Model& model, Device& device, Tensor weights, Options options);

    // documents[i]: the token that stands for "beginning" first, as it is not predicted itself.
    // counted, if given: for each document a flag of 0 or 1 for each token, or empty: all count.
    std::vector<DocumentLoss> losses(std::span<const std::vector<int32_t>> documents,
                                     std::span<const std::vector<uint8_t>> counted = {});

    size_t memory_bytes() const; // beside the weights

  private:
    bool recurrent() const { return !model_.config().is_llama(); }
    struct Piece {
        size_t document;
        int64_t begin, end; // inputs [begin, end) of it; targets one further
    };
    void check_tokens(std::span<const std::vector<int32_t>> documents) const;
    void run_pieces(std::span<const Piece> pieces, std::span<const std::vector<int32_t>> documents,
                    std::span<const std::vector<uint8_t>> counted, std::vector<DocumentLoss>& out);
    // States of the pieces' sequences: the first carries on if it began earlier, the rest are zero.
    States prepare_states(std::span<const Piece> pieces);

    const Model& model_;
    Device& device_;
    const Kernels& kernels_;
    Tensor weights_;
    Options options_;
    Arena activations_, scratch_;
    States states_; // [sequences,H,D,E] of every layer; none of llama
    OwnedTensor ids_, positions_, targets_, loss_, slopes_;
};

} // namespace tnl
