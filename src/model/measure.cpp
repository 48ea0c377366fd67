// What a run will need, found by running it on the backend that does nothing.
#include "model/model.h"
#include "ops/dry.h"

#include <vector>

namespace tnl {
namespace {

// A batch without memory, of the given shape; cu_seqlens is real, as it lies on the host.
struct DryBatch {
    std::vector<int32_t> offsets;
    Batch batch;
    DryBatch(int64_t rows, int64_t sequences, bool value_mask)
        : offsets(static_cast<size_t>(sequences + 1), 0) {
        offsets.back() = static_cast<int32_t>(rows);
        batch.ids = batch.positions = batch.targets = Tensor(nullptr, DType::i32, {rows});
        batch.cu_seqlens = Tensor(offsets.data(), DType::i32, {sequences + 1});
        batch.sequences = sequences;
        if (value_mask) batch.value_mask = batch.ids;
    }
};

Tensor dry(DType dtype, std::initializer_list<int64_t> dims) {
    return Tensor(nullptr, dtype, dims);
}

} // namespace

OwnedTensor upload_slopes(const ModelConfig& config, Device& device, DType acc) {
    std::vector<double> values;
    for (int64_t l = 0; l < config.decoder_layers; ++l)
        for (double s : config.slopes(l)) values.push_back(s);
    OwnedTensor out(device, acc, {config.decoder_layers, config.decoder_attention_heads});
    if (acc == DType::f64) {
        device.upload(out.data, values.data(), values.size() * sizeof(double));
    } else {
        const std::vector<float> narrow(values.begin(), values.end());
        device.upload(out.data, narrow.data(), narrow.size() * sizeof(float));
    }
    device.synchronize();
    return out;
}

size_t measure_states(const Model& model, DType acc, int64_t sequences) {
    Arena arena = Arena::measuring("states");
    model.make_states(arena, acc, sequences);
    return arena.peak();
}

ArenaSizes measure_training(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                            int64_t sequences, Recompute recompute, int64_t head_chunk,
                            bool value_mask, Products products) {
    ArenaSizes sizes{Arena::measuring("activations"), Arena::measuring("scratch")};
    const Kernels none = dry_kernels(kernels);
    Stream stream;
    const ModelConfig& c = model.config();
    const DType acc = dtype == DType::f64 ? DType::f64 : DType::f32;
    Run run{stream,
            none,
            sizes.scratch,
            dtype,
            dry(acc, {c.decoder_layers, c.decoder_attention_heads}),
            products};
    DryBatch dry_batch(rows, sequences, value_mask);
    const int64_t n = model.params().flat_size();
    const int64_t trained = model.params().trained_size();
    model.loss_and_gradients(run, dry(dtype, {n}), dry(acc, {trained}), dry(acc, {rows}),
                             dry_batch.batch, recompute, head_chunk, 1, sizes.activations);
    return sizes;
}

ArenaSizes measure_loss(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                        int64_t sequences, int64_t head_chunk, bool value_mask, bool carry_states) {
    ArenaSizes sizes{Arena::measuring("activations"), Arena::measuring("scratch")};
    const Kernels none = dry_kernels(kernels);
    Stream stream;
    const ModelConfig& c = model.config();
    const DType acc = dtype == DType::f64 ? DType::f64 : DType::f32;
    Run run{stream, none, sizes.scratch, dtype,
            dry(acc, {c.decoder_layers, c.decoder_attention_heads})};
    DryBatch dry_batch(rows, sequences, value_mask);
    carry_states = carry_states && !c.is_llama();
    States states;
    if (carry_states) states = model.make_states(sizes.activations, acc, sequences);
    Passing carried;
    if (carry_states) carried.in = carried.out = &states;
    model.loss(run, dry(dtype, {model.params().flat_size()}), dry(acc, {rows}), dry_batch.batch,
               carried, head_chunk, sizes.activations);
    return sizes;
}

ArenaSizes measure_inference(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                             int64_t sequences, bool value_mask) {
    ArenaSizes sizes{Arena::measuring("activations"), Arena::measuring("scratch")};
    const Kernels none = dry_kernels(kernels);
    Stream stream;
    const ModelConfig& c = model.config();
    const DType acc = dtype == DType::f64 ? DType::f64 : DType::f32;
    Run run{stream, none, sizes.scratch, dtype,
            dry(acc, {c.decoder_layers, c.decoder_attention_heads})};
    DryBatch dry_batch(rows, sequences, value_mask);
    const Tensor weights = dry(dtype, {model.params().flat_size()});
    const bool stateless = c.is_llama();
    States states;
    if (!stateless) states = model.make_states(sizes.activations, acc, sequences);
    const Tensor h = sizes.activations.tensor(dtype, {rows, c.decoder_embed_dim}, "model.h");
    const Tensor last = sizes.activations.tensor(dtype, {sequences, c.decoder_embed_dim}, "last");
    const Tensor logits = sizes.activations.tensor(acc, {sequences, c.vocab_size}, "logits");
    model.forward(run, weights, h, dry_batch.batch,
                  stateless ? Passing{} : passing(&states, &states), nullptr, nullptr);
    model.logits(run, weights, logits, last);
    return sizes;
}

} // namespace tnl
