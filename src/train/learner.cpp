#include "train/learner.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

void measure_arenas(MemoryPlan& plan, const TrainConfig& config, const Model& model,
                    Device& device) {
    const Kernels& kernels = kernels_for(device);
    // Documents may be as short as one token.
    const int64_t rows = config.micro_tokens();
    const ArenaSizes training = measure_training(model, kernels, config.dtype(), rows, rows,
                                                 config.train.recompute, config.train.head_chunk);
    const ArenaSizes held_out = measure_loss(model, kernels, config.dtype(), rows, rows,
                                             config.train.head_chunk, false, false);
    plan.activations = std::max(training.activations.peak(), held_out.activations.peak());
    plan.scratch = std::max(training.scratch.peak(), held_out.scratch.peak());
}

// Throws before the first allocation where the run cannot fit.
MemoryPlan checked(const TrainConfig& config, const Model& model, Device& device) {
    MemoryPlan plan = plan_memory(config, model, device);
    if (plan.total > device.memory_free())
        fail("train.rows = {}, train.length = {}: the run needs more than the {:.2f} GiB that {} "
             "has free. Fewer rows, train.recompute=block or train.dtype=bf16 need less:\n{}",
             config.train.rows, config.train.length,
             static_cast<double>(device.memory_free()) / 0x1p30, device.name(), plan.table);
    return plan;
}

} // namespace

MemoryPlan plan_memory(const TrainConfig& config, const Model& model, Device& device) {
    MemoryPlan plan;
    measure_arenas(plan, config, model, device);
    const auto n = static_cast<size_t>(model.params().flat_size());
    const bool narrow = config.dtype() != DType::f32;
    plan.lines.emplace_back(narrow ? "weights, bf16" : "weights, f32", n * (narrow ? 2u : 4u));
    if (narrow) plan.lines.emplace_back("master weights, f32", n * 4);
    plan.lines.emplace_back("gradients, f32", n * 4);
    plan.lines.emplace_back("AdamW moments, f32", n * 8);
    plan.lines.emplace_back("activations", plan.activations);
    plan.lines.emplace_back("scratch", plan.scratch);
    for (const auto& [name, bytes] : plan.lines) plan.total += bytes;
    const bool large = plan.total >= size_t{16} << 30;
    const auto add = [&](const std::string& name, size_t bytes) {
        plan.table += fmt::format("  {:<20} {:9.1f} {}\n", name,
                                  static_cast<double>(bytes) / (large ? 0x1p30 : 0x1p20),
                                  large ? "GiB" : "MiB");
    };
    for (const auto& [name, bytes] : plan.lines) add(name, bytes);
    add("together", plan.total);
    return plan;
}

Learner::Learner(const TrainConfig& config, const Model& model, Device& device)
    : model_(model), device_(device), kernels_(kernels_for(device)), dtype_(config.dtype()),
      recompute_(config.train.recompute), head_chunk_(config.train.head_chunk),
      rows_(config.micro_tokens()), memory_(checked(config, model, device)),
      weights_(device, dtype_, {model.params().flat_size()}),
      gradients_(device, DType::f32, {model.params().flat_size()}),
      optimizer_(config.optimizer, model.params(), device, weights_),
      ids_(device, DType::i32, {rows_}), positions_(device, DType::i32, {rows_}),
      targets_(device, DType::i32, {rows_}), loss_(device, DType::f32, {rows_}),
      sums_(device, DType::f64, {config.train.accumulate + 1}),
      slopes_(upload_slopes(model.config(), device, DType::f32)),
      activations_("activations", device, memory_.activations),
      scratch_("scratch", device, memory_.scratch) {
    device.stream().same_shapes = true;
}

Batch Learner::upload(const TokenRows& host) {
    const auto put = [&](const Tensor& to, const std::vector<int32_t>& from, const char* name) {
        TNL_CHECK(static_cast<int64_t>(from.size()) == rows_, "batch has {} {}, wanted {}",
                  from.size(), name, rows_);
        device_.upload(to.data, from.data(), from.size() * sizeof(int32_t));
        return to;
    };
    Batch batch;
    batch.ids = put(ids_, host.ids, "ids");
    batch.positions = put(positions_, host.positions, "positions");
    batch.targets = put(targets_, host.targets, "targets");
    batch.sequences = static_cast<int64_t>(host.cu_seqlens.size()) - 1;
    // The model only reads it.
    batch.cu_seqlens = Tensor(const_cast<int32_t*>(host.cu_seqlens.data()), DType::i32,
                              {static_cast<int64_t>(host.cu_seqlens.size())});
    return batch;
}

Learner::Step Learner::gradients(std::span<const TokenRows> micro_batches) {
    const auto micro = static_cast<int64_t>(micro_batches.size());
    TNL_CHECK(micro >= 1 && micro < sums_.size(), "step of {} micro-batches, wanted 1 to {}", micro,
              sums_.size() - 1);
    int64_t counted = 0;
    for (const TokenRows& host : micro_batches) counted += host.counted;
    TNL_CHECK(counted > 0, "a step has no target to learn");
    Run run{device_.stream(), kernels_, scratch_, dtype_, slopes_};
    device_.zero(gradients_.data, static_cast<size_t>(gradients_.bytes()));
    const auto scale = static_cast<float>(1.0 / static_cast<double>(counted));
    for (int64_t i = 0; i < micro; ++i) {
        const Batch batch = upload(micro_batches[static_cast<size_t>(i)]);
        model_.loss_and_gradients(run, weights_, gradients_, loss_, batch, recompute_, head_chunk_,
                                  scale, activations_);
        kernels_.sum(run.stream, sums_.slice(0, i, i + 1), loss_);
    }
    kernels_.sum_squares(run.stream, sums_.slice(0, micro, micro + 1), gradients_);
    std::vector<double> sums(static_cast<size_t>(micro) + 1);
    device_.download(sums.data(), sums_.data, sums.size() * sizeof(double)); // the step's one wait
    Step out;
    for (size_t i = 0; i < static_cast<size_t>(micro); ++i) out.loss += sums[i];
    out.loss /= static_cast<double>(counted);
    out.norm = std::sqrt(sums.back());
    return out;
}

void Learner::update(double lr, double norm) {
    optimizer_.step(gradients_, lr, optimizer_.clip_scale(norm));
}

double Learner::loss_sum(const TokenRows& host) {
    Run run{device_.stream(), kernels_, scratch_, dtype_, slopes_};
    const Batch batch = upload(host);
    model_.loss(run, weights_, loss_, batch, nullptr, nullptr, head_chunk_, activations_);
    kernels_.sum(run.stream, sums_.slice(0, 0, 1), loss_);
    double sum = 0;
    device_.download(&sum, sums_.data, sizeof(sum));
    return sum;
}

} // namespace tnl
