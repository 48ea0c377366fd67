// For tests: a small model on the CPU with random weights, its arenas, and batches made by hand.
#pragma once

#include "base/rng.h"
#include "model/model.h"

#include <numeric>
#include <vector>

namespace tnl::testing {

// Host values of one batch, kept alive beside the views.
struct HostBatch {
    std::vector<int32_t> ids, positions, targets, mask, offsets;
    Batch view() {
        Batch b;
        const auto N = static_cast<int64_t>(ids.size());
        b.ids = Tensor(ids.data(), DType::i32, {N});
        b.positions = Tensor(positions.data(), DType::i32, {N});
        if (!targets.empty()) b.targets = Tensor(targets.data(), DType::i32, {N});
        if (!mask.empty()) b.value_mask = Tensor(mask.data(), DType::i32, {N});
        if (!offsets.empty()) {
            b.sequences = static_cast<int64_t>(offsets.size()) - 1;
            b.cu_seqlens = Tensor(offsets.data(), DType::i32, {b.sequences + 1});
        } else {
            b.sequences = sequences;
        }
        return b;
    }
    int64_t sequences = 1;
};

// B rows of T random tokens with next-token targets; some targets are ignored.
inline HostBatch random_batch(const ModelConfig& config, int64_t B, int64_t T, uint64_t seed) {
    HostBatch b;
    const Philox random{seed, 1};
    b.sequences = B;
    for (int64_t i = 0; i < B * T; ++i) {
        const auto n = static_cast<uint64_t>(i);
        const auto V = static_cast<uint64_t>(config.vocab_size);
        b.ids.push_back(static_cast<int32_t>(random.below(2 * n, V)));
        b.targets.push_back(i % 7 == 3 ? -1 : static_cast<int32_t>(random.below(2 * n + 1, V)));
        b.positions.push_back(static_cast<int32_t>(i % T));
    }
    return b;
}

class ModelBed {
  public:
    ModelBed(ModelConfig config, DType dtype, const Kernels& kernels, int threads = 1,
             uint64_t seed = 5, LoraOptions lora = {})
        : model(std::move(config), std::move(lora)), dtype_(dtype),
          acc_(dtype == DType::f64 ? DType::f64 : DType::f32), device(make_cpu_device(threads)),
          kernels_(kernels), weights(*device, dtype, {model.params().flat_size()}),
          grads(*device, acc_, {model.params().trained_size()}),
          slopes(upload_slopes(model.config(), *device, acc_)) {
        std::vector<float> flat(static_cast<size_t>(model.params().flat_size()));
        initialize(Model(model.config()).params(), model.config(), seed, flat.data());
        if (model.params().has_adapters())
            initialize(model.params(), model.config(), seed, flat.data());
        // Off the trivial initial values: norm weights, biases, and the zero embedding of padding,
        // whose norm is too curved for finite differences.
        for (const Param& p : model.params().all())
            for (int64_t i = 0; i < p.size; ++i) {
                float& w = flat[static_cast<size_t>(p.offset + i)];
                if (p.shape.size() == 1 || w == 0)
                    w += 0.2f * static_cast<float>(
                                    Philox{seed, 77}.normal(static_cast<uint64_t>(p.offset + i)));
            }
        for (int64_t i = 0; i < weights.size(); ++i) set(i, flat[static_cast<size_t>(i)]);
        device->zero(grads.data, static_cast<size_t>(grads.bytes()));
    }
    void set(int64_t i, double value) {
        if (dtype_ == DType::f64)
            weights.as<double>()[i] = value;
        else if (dtype_ == DType::f32)
            weights.as<float>()[i] = static_cast<float>(value);
        else
            weights.as<bf16>()[i] = bf16(value);
    }
    Run run(Arena& scratch) { return {device->stream(), kernels_, scratch, dtype_, slopes}; }

    // Sum of the losses; gradients of `scale` times it are added to grads.
    double loss_and_gradients(HostBatch& batch, Recompute recompute, int64_t chunk, float scale) {
        const Batch view = batch.view();
        ArenaSizes sizes = measure_training(model, kernels_, dtype_, view.rows(), view.sequences,
                                            recompute, chunk, !batch.mask.empty());
        Arena activations("activations", *device, sizes.activations.peak());
        Arena scratch("scratch", *device, sizes.scratch.peak());
        OwnedTensor loss(*device, acc_, {view.rows()});
        Run r = run(scratch);
        model.loss_and_gradients(r, weights, grads, loss, view, recompute, chunk, scale,
                                 activations);
        return sum(loss);
    }
    double loss(HostBatch& batch) {
        const Batch view = batch.view();
        ArenaSizes sizes = measure_loss(model, kernels_, dtype_, view.rows(), view.sequences, 64,
                                        !batch.mask.empty());
        Arena activations("activations", *device, sizes.activations.peak());
        Arena scratch("scratch", *device, sizes.scratch.peak());
        OwnedTensor loss(*device, acc_, {view.rows()});
        Run r = run(scratch);
        model.loss(r, weights, loss, view, {}, 64, activations);
        return sum(loss);
    }
    // Logits [N,V] (acc) of a batch, states carried when given.
    std::vector<double> logits(HostBatch& batch, States* in = nullptr, States* out = nullptr) {
        const Batch view = batch.view();
        ArenaSizes sizes = measure_inference(model, kernels_, dtype_, view.rows(), view.sequences,
                                             !batch.mask.empty());
        Arena scratch("scratch", *device, sizes.scratch.peak());
        OwnedTensor h(*device, dtype_, {view.rows(), model.config().decoder_embed_dim});
        OwnedTensor logits(*device, acc_, {view.rows(), model.config().vocab_size});
        Run r = run(scratch);
        model.forward(r, weights, h, view, passing(in, out), nullptr, nullptr);
        model.logits(r, weights, logits, h);
        return values(logits);
    }
    static std::vector<double> values(const Tensor& t) {
        std::vector<double> out;
        for (int64_t i = 0; i < t.size(); ++i)
            out.push_back(t.dtype == DType::f64 ? t.as<double>()[i]
                                                : static_cast<double>(t.as<float>()[i]));
        return out;
    }
    static double sum(const Tensor& t) {
        const auto v = values(t);
        return std::accumulate(v.begin(), v.end(), 0.0);
    }

    Model model;

  private:
    DType dtype_, acc_;

  public:
    std::unique_ptr<Device> device;

  private:
    const Kernels& kernels_;

  public:
    OwnedTensor weights, grads, slopes;
};

} // namespace tnl::testing
