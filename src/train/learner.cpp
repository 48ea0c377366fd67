#include "train/learner.h"

#include "base/memory.h"
#include "model/convert.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

// The head's weight gradient reads and writes all its sums for each chunk: a GPU wants wide ones. A
// CPU wants logits that stay in its cache.
int64_t head_rows(const TrainConfig& config, const Model& model, const Device& device) {
    if (config.train.head_chunk > 0) return config.train.head_chunk;
    if (device.kind() == DeviceKind::cpu) return 1024;
    const int64_t row = model.config().vocab_size * size_of(config.dtype());
    return std::max<int64_t>(1, (int64_t{512} << 20) / row);
}

void measure_arenas(MemoryPlan& plan, const TrainConfig& config, const Model& model,
                    Device& device) {
    const Kernels& kernels = kernels_for(device);
    // Documents may be as short as one token.
    const int64_t rows = config.micro_tokens();
    const int64_t chunk = head_rows(config, model, device);
    const ArenaSizes training =
        measure_training(model, kernels, config.dtype(), rows, rows, plan.recompute, chunk, false,
                         config.train.products);
    const ArenaSizes held_out =
        measure_loss(model, kernels, config.dtype(), rows, rows, chunk, false, false);
    plan.activations = std::max(training.activations.peak(), held_out.activations.peak());
    plan.scratch = std::max(training.scratch.peak(), held_out.scratch.peak());
}

// With what the backward makes again given.
MemoryPlan plan_memory(const TrainConfig& config, const Model& model, Device& device,
                       Recompute recompute) {
    MemoryPlan plan;
    plan.recompute = recompute;
    measure_arenas(plan, config, model, device);
    const auto n = static_cast<size_t>(model.params().flat_size());
    const auto trained = static_cast<size_t>(model.params().trained_size());
    const bool narrow = config.dtype() != DType::f32;
    plan.lines.emplace_back(narrow ? "weights, bf16" : "weights, f32", n * (narrow ? 2u : 4u));
    plan.lines.emplace_back("gradients, f32", trained * 4);
    const OptimizerBytes optimizer =
        optimizer_bytes(config.optimizer, model.params(), config.dtype());
    const bool elsewhere =
        config.optimizer.memory == Place::host && device.kind() != DeviceKind::cpu;
    auto& where = elsewhere ? plan.host_lines : plan.lines;
    if (optimizer.master > 0) where.emplace_back("master weights, f32", optimizer.master);
    where.emplace_back("AdamW moments, f32", optimizer.moments);
    plan.lines.emplace_back("activations", plan.activations);
    plan.lines.emplace_back("scratch", plan.scratch);
    if (config.train.pieces > 1)
        plan.lines.emplace_back("states between pieces", PieceStates::bytes(config, model));
    for (const auto& [name, bytes] : plan.lines) plan.total += bytes;
    const bool large = plan.total >= size_t{16} << 30;
    const auto add = [&](const std::string& name, size_t bytes) {
        plan.table += fmt::format("  {:<20} {:9.1f} {}\n", name,
                                  static_cast<double>(bytes) / (large ? 0x1p30 : 0x1p20),
                                  large ? "GiB" : "MiB");
    };
    for (const auto& [name, bytes] : plan.lines) add(name, bytes);
    add("together", plan.total);
    for (const auto& [name, bytes] : plan.host_lines) {
        plan.host_total += bytes;
        add("host: " + name, bytes);
    }
    return plan;
}

// Throws before the first allocation where the run cannot fit.
MemoryPlan checked(const TrainConfig& config, const Model& model, Device& device) {
    MemoryPlan plan = plan_memory(config, model, device);
    if (plan.host_total > available_memory())
        fail("optimizer.memory = host: the run needs more than the {:.2f} GiB that the host has "
             "free{}:\n{}",
             static_cast<double>(available_memory()) / 0x1p30,
             config.optimizer.rounding == Rounding::nearest && config.dtype() == DType::bf16
                 ? ". optimizer.rounding=stochastic needs less"
                 : "",
             plan.table);
    if (plan.total > device.memory_free())
        fail("train.rows = {}, train.length = {}: the run needs more than the {:.2f} GiB that {} "
             "has free. Fewer rows{} or train.dtype=bf16 need less:\n{}",
             config.train.rows, config.train.length,
             static_cast<double>(device.memory_free()) / 0x1p30, device.name(),
             plan.recompute != Recompute::block ? ", train.recompute=block" : "", plan.table);
    return plan;
}

} // namespace

MemoryPlan plan_memory(const TrainConfig& config, const Model& model, Device& device) {
    switch (config.train.recompute) {
    case Recomputation::none:
        return plan_memory(config, model, device, Recompute::none);
    case Recomputation::glu:
        return plan_memory(config, model, device, Recompute::glu);
    case Recomputation::block:
        return plan_memory(config, model, device, Recompute::block);
    case Recomputation::fit:
        break;
    }
    for (const Recompute recompute : {Recompute::none, Recompute::glu}) {
        MemoryPlan plan = plan_memory(config, model, device, recompute);
        if (plan.total <= device.memory_free()) return plan;
    }
    return plan_memory(config, model, device, Recompute::block);
}

Learner::Learner(const TrainConfig& config, const Model& model, Device& device)
    : model_(model), device_(device), kernels_(&kernels_for(device)), dtype_(config.dtype()),
      products_(config.train.products), head_chunk_(head_rows(config, model, device)),
      pieces_per_sequence_(config.train.pieces), through_(config.train.through),
      rows_(config.micro_tokens()), memory_(checked(config, model, device)),
      recompute_(memory_.recompute), weights_(device, dtype_, {model.params().flat_size()}),
      gradients_(device, DType::f32, {model.params().trained_size()}),
      optimizer_(config.optimizer, model.params(), device,
                 weights_.slice(0, model.params().trained_begin(), model.params().flat_size())),
      ids_(device, DType::i32, {rows_}), positions_(device, DType::i32, {rows_}),
      targets_(device, DType::i32, {rows_}),
      slots_(device, DType::i32, {config.train.pieces > 1 ? rows_ : 1}),
      loss_(device, DType::f32, {rows_}), sums_(device, DType::f64, {config.train.accumulate + 1}),
      slopes_(upload_slopes(model.config(), device, DType::f32)),
      activations_("activations", device, memory_.activations),
      scratch_("scratch", device, memory_.scratch), pieces_(config, model, device) {
    device.stream().same_shapes = true;
}

void Learner::set_weights(const float* host) {
    set_frozen(host);
    optimizer_.set_master(host + model_.params().trained_begin());
}

void Learner::set_frozen(const float* host) {
    const int64_t n = model_.params().trained_begin();
    const auto bytes = static_cast<size_t>(n * size_of(dtype_));
    std::vector<std::byte> narrow;
    const void* from = host;
    if (dtype_ != DType::f32) {
        narrow.resize(bytes);
        static_cast<void>(convert_floats(dtype_, narrow.data(), DType::f32,
                                         reinterpret_cast<const std::byte*>(host), n));
        from = narrow.data();
    }
    device_.upload(weights_.data, from, bytes);
    device_.synchronize(); // before the host's copy goes
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
    if (!host.slots.empty()) {
        batch.slots = slots_.slice(0, 0, batch.sequences);
        device_.upload(batch.slots.data, host.slots.data(), host.slots.size() * sizeof(int32_t));
    }
    return batch;
}

Learner::Step Learner::gradients(std::span<const TokenRows> micro_batches) {
    const auto micro = static_cast<int64_t>(micro_batches.size());
    TNL_CHECK(micro >= 1 && micro < sums_.size(), "step of {} micro-batches, wanted 1 to {}", micro,
              sums_.size() - 1);
    int64_t counted = 0;
    for (const TokenRows& host : micro_batches) counted += host.counted;
    Run run{device_.stream(), *kernels_, scratch_, dtype_, slopes_, products_};
    device_.zero(gradients_.data, static_cast<size_t>(gradients_.bytes()));
    // States go on even where nothing is to be learned.
    const double mean = counted > 0 ? 1.0 / static_cast<double>(counted) : 0;
    const auto scale = static_cast<float>(mean);
    if (through_ == Through::exact && pieces_per_sequence_ > 1)
        for (int64_t i = 0; i < micro; i += pieces_per_sequence_)
            exact(run,
                  micro_batches.subspan(static_cast<size_t>(i),
                                        static_cast<size_t>(pieces_per_sequence_)),
                  i, scale);
    else
        truncated(run, micro_batches, scale);
    kernels_->sum_squares(run.stream, sums_.slice(0, micro, micro + 1), gradients_);
    std::vector<double> sums(static_cast<size_t>(micro) + 1);
    device_.download(sums.data(), sums_.data, sums.size() * sizeof(double)); // the step's one wait
    Step out;
    for (size_t i = 0; i < static_cast<size_t>(micro); ++i) out.loss += sums[i];
    out.loss = counted > 0 ? out.loss / static_cast<double>(counted) : 0;
    out.counted = counted;
    out.norm = std::sqrt(sums.back());
    return out;
}

void Learner::add_gradients(Run& run, const TokenRows& host, int64_t index, float scale,
                            const Passing& states) {
    model_.loss_and_gradients(run, weights_, gradients_, loss_, upload(host), recompute_,
                              head_chunk_, scale, activations_, states);
    kernels_->sum(run.stream, sums_.slice(0, index, index + 1), loss_);
}

void Learner::truncated(Run& run, std::span<const TokenRows> micro_batches, float scale) {
    for (int64_t i = 0; const TokenRows& host : micro_batches) {
        Passing states;
        if (pieces_per_sequence_ > 1)
            states = passing(host.piece > 0 ? &pieces_.now() : nullptr, &pieces_.next());
        add_gradients(run, host, i++, scale, states);
        if (pieces_per_sequence_ == 1) continue;
        pieces_.settle(pieces_.next(), host);
        pieces_.swap();
    }
}

// Forward through all pieces for the states between them, then back from the last piece, each one's
// forward made again.
void Learner::exact(Run& run, std::span<const TokenRows> sequence, int64_t first, float scale) {
    const auto last = static_cast<int64_t>(sequence.size()) - 1;
    const auto before = [&](int64_t piece) { return piece > 0 ? &pieces_.before(piece) : nullptr; };
    for (int64_t i = 0; i <= last; ++i) {
        const TokenRows& host = sequence[static_cast<size_t>(i)];
        TNL_CHECK(host.piece == i, "piece {} of a sequence where its piece {} was wanted",
                  host.piece, i);
        if (i == last) break;
        const auto scope = activations_.scope();
        const Tensor h =
            activations_.tensor(dtype_, {rows_, model_.config().decoder_embed_dim}, "model.h");
        model_.forward(run, weights_, h, upload(host), passing(before(i), &pieces_.before(i + 1)),
                       nullptr, nullptr);
        pieces_.settle(pieces_.before(i + 1), host);
    }
    for (int64_t i = last; i >= 0; --i) {
        const TokenRows& host = sequence[static_cast<size_t>(i)];
        Passing states = passing(before(i), nullptr);
        if (i < last) {
            pieces_.aim(pieces_.gradient(i + 1), host);
            states.dout = &pieces_.gradient(i + 1);
        }
        if (i > 0) states.din = &pieces_.gradient(i);
        add_gradients(run, host, first + i, scale, states);
    }
}

void Learner::update(double lr, double norm) {
    optimizer_.step(gradients_, lr, optimizer_.clip_scale(norm));
}

void Learner::use(const Kernels& kernels) {
    kernels_ = &kernels;
    optimizer_.use(kernels);
}

double Learner::loss_sum(const TokenRows& host) {
    Run run{device_.stream(), *kernels_, scratch_, dtype_, slopes_};
    const Batch batch = upload(host);
    model_.loss(run, weights_, loss_, batch, {}, head_chunk_, activations_);
    kernels_->sum(run.stream, sums_.slice(0, 0, 1), loss_);
    double sum = 0;
    device_.download(&sum, sums_.data, sizeof(sum));
    return sum;
}

} // namespace tnl
