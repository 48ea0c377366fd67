#include "infer/reproduction.h"

#include "infer/session.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace tnl {
namespace {

constexpr int64_t kRows = 256; // whose logits exist at once

std::vector<double> download(Device& device, const Tensor& t) {
    std::vector<double> out(static_cast<size_t>(t.size()));
    if (t.dtype == DType::f64) {
        device.download(out.data(), t.data, static_cast<size_t>(t.bytes()));
        return out;
    }
    std::vector<float> narrow(out.size());
    device.download(narrow.data(), t.data, static_cast<size_t>(t.bytes()));
    std::copy(narrow.begin(), narrow.end(), out.begin());
    return out;
}

class Reproducer {
  public:
    Reproducer(const Model& model, Device& device, Tensor weights,
               const ReproductionOptions& options, const Recorded& recorded)
        : model_(model), device_(device), weights_(weights), options_(options), recorded_(recorded),
          kernels_(options.kernels ? *options.kernels : kernels_for(device)),
          acc_(options.dtype == DType::f64 ? DType::f64 : DType::f32), B_(recorded.sequences),
          T_(recorded.length), N_(B_ * T_), V_(model.config().vocab_size),
          state_arena_("states", device, state_bytes()),
          states_(recurrent() ? model.make_states(state_arena_, acc_, B_) : States{}),
          slopes_(upload_slopes(model.config(), device, acc_)), ids_(device, DType::i32, {N_}),
          positions_(device, DType::i32, {N_}), targets_(device, DType::i32, {N_}),
          mask_(device, DType::i32, {N_}), prompt_logits_(static_cast<size_t>(B_ * V_)) {
        std::vector<int32_t> positions(static_cast<size_t>(N_));
        for (int64_t i = 0; i < N_; ++i)
            positions[static_cast<size_t>(i)] = static_cast<int32_t>(i % T_);
        for (int64_t b = 0; b <= B_; ++b) offsets_.push_back(static_cast<int32_t>(b * T_));
        upload(ids_, recorded.ids);
        upload(positions_, positions);
        if (!recorded.mask.empty()) upload(mask_, recorded.mask);
        device.synchronize(); // before the host copies go
        add_tensor("prefill_logits", {B_, T_, V_});
        for (size_t l = 0; l < states_.layers.size(); ++l) {
            const Tensor& s = states_.layers[l];
            add_tensor(fmt::format("prefill_state.{}", l),
                       {s.shape[0], s.shape[1], s.shape[2], s.shape[3]});
        }
        if (recurrent()) add_tensor("decode_logits", {B_, recorded.steps, V_});
    }

    // Every position of every sequence in one call. Leaves the states.
    void all_at_once() {
        const int64_t C = model_.config().decoder_embed_dim;
        const ArenaSizes sizes =
            measure_inference(model_, kernels_, options_.dtype, N_, B_, !recorded_.mask.empty());
        Arena scratch("scratch", device_, sizes.scratch.peak());
        const OwnedTensor h(device_, options_.dtype, {N_, C});
        Run run = make_run(scratch);
        model_.forward(run, weights_, h, batch(),
                       recurrent() ? passing(nullptr, &states_) : Passing{}, nullptr, nullptr);
        for (size_t l = 0; l < states_.layers.size(); ++l)
            compare_state(l, download(device_, states_.layers[l]), 0, "at once");

        const std::vector<double> wanted = recorded_.values("prefill_logits");
        const OwnedTensor part(device_, acc_, {std::min(kRows, N_), V_});
        for (int64_t begin = 0; begin < N_; begin += kRows) {
            const int64_t end = std::min(N_, begin + kRows);
            const Tensor rows = part.slice(0, 0, end - begin);
            model_.logits(run, weights_, rows, h.slice(0, begin, end));
            const std::vector<double> got = download(device_, rows);
            for (int64_t i = begin; i < end; ++i)
                keep_row(i, got.data() + (i - begin) * V_, wanted);
        }
    }

    // Prompts in pieces through a session, then its recurrence.
    void in_pieces() {
        if (!recurrent()) return;
        Session session(model_, device_, weights_, {options_.dtype, B_, options_.chunk, &kernels_});
        prefill(session);
        const std::vector<double> wanted = recorded_.values("decode_logits");
        check_tokens(0, recorded_.values("prefill_logits"), T_, T_ - 1);
        for (int64_t step = 0; step < recorded_.steps; ++step) {
            std::vector<int32_t> tokens;
            for (int64_t b = 0; b < B_; ++b) tokens.push_back(greedy(b, step));
            session.decode(tokens);
            for (int64_t b = 0; b < B_; ++b) {
                const auto got = session.logits(b);
                std::copy(got.begin(), got.end(), prompt_logits_.begin() + b * V_);
                const int64_t row = b * recorded_.steps + step;
                compare_row("decode_logits", row, got, wanted, "decode");
            }
            if (step + 1 < recorded_.steps) check_tokens(step + 1, wanted, recorded_.steps, step);
        }
    }

    void training(const RecordedGradients* gradients) {
        if (!recorded_.train_loss && !gradients) return;
        out.loss_counts_padding = options_.loss_counts_padding.value_or(false);
        if (recorded_.train_loss) {
            double loss = mean_loss(out.loss_counts_padding);
            if (!recorded_.mask.empty() && !options_.loss_counts_padding)
                if (const double all = mean_loss(true); std::abs(all - *recorded_.train_loss) <
                                                        std::abs(loss - *recorded_.train_loss)) {
                    out.loss_counts_padding = true;
                    loss = all;
                }
            add_tensor("train_loss", {1}).add(0, loss, *recorded_.train_loss, "at once");
        }
        if (gradients) compare_gradients(*gradients);
    }

    Reproduction out;

  private:
    bool recurrent() const { return !model_.config().is_llama(); }
    size_t state_bytes() const {
        if (!recurrent()) return 0;
        Arena arena = Arena::measuring("states");
        static_cast<void>(model_.make_states(arena, acc_, B_));
        return arena.peak();
    }
    void upload(const Tensor& to, const std::vector<int32_t>& from) {
        device_.upload(to.data, from.data(), from.size() * sizeof(int32_t));
    }
    Run make_run(Arena& scratch) {
        return Run{device_.stream(), kernels_, scratch, options_.dtype, slopes_};
    }
    Batch batch() {
        Batch b;
        b.ids = ids_;
        b.positions = positions_;
        b.targets = targets_;
        if (!recorded_.mask.empty()) b.value_mask = mask_;
        b.cu_seqlens = Tensor(offsets_.data(), DType::i32, {B_ + 1});
        b.sequences = B_;
        return b;
    }
    int32_t greedy(int64_t row, int64_t step) const {
        return recorded_.greedy[static_cast<size_t>(row * recorded_.steps + step)];
    }

    Deviation& add_tensor(std::string name, std::vector<int64_t> shape) {
        return out.tensors.emplace_back(
            Deviation{.tensor = std::move(name), .shape = std::move(shape)});
    }
    Deviation& deviation(std::string_view name) {
        return *std::find_if(out.tensors.begin(), out.tensors.end(),
                             [&](const Deviation& d) { return d.tensor == name; });
    }
    // Logits of one row [V] of tensor `name` [rows,V].
    template <class Values>
    void compare_row(std::string_view name, int64_t row, const Values& got,
                     const std::vector<double>& wanted, const char* form) {
        Deviation& d = deviation(name);
        for (int64_t v = 0; v < V_; ++v)
            d.add(row * V_ + v, static_cast<double>(got[static_cast<size_t>(v)]),
                  wanted[static_cast<size_t>(row * V_ + v)], form);
    }
    // Row i of the prompts' logits: compared where it counts; kept where it is a prompt's last.
    void keep_row(int64_t i, const double* got, const std::vector<double>& wanted) {
        if (recorded_.counts(i / T_, i % T_))
            compare_row("prefill_logits", i, std::span(got, static_cast<size_t>(V_)), wanted,
                        "at once");
        if (i % T_ == T_ - 1) std::copy(got, got + V_, prompt_logits_.begin() + i / T_ * V_);
    }
    // got: rows of layer l's state, the first of them that of sequence `first`.
    void compare_state(size_t l, const std::vector<double>& got, int64_t first, const char* form) {
        const std::vector<double> wanted = recorded_.values(fmt::format("prefill_state.{}", l));
        const auto size = static_cast<int64_t>(wanted.size()) / B_;
        Deviation& d = deviation(fmt::format("prefill_state.{}", l));
        for (int64_t i = 0; i < static_cast<int64_t>(got.size()); ++i)
            d.add(first * size + i, got[static_cast<size_t>(i)],
                  wanted[static_cast<size_t>(first * size + i)], form);
    }

    // Sequences that are whole, or padded at the left, go through the session: positions count
    // from the row's beginning, and padding leaves the state empty. Of the others it takes the
    // state that all_at_once() left.
    void prefill(Session& session) {
        const std::vector<double> wanted = recorded_.values("prefill_logits");
        for (int64_t b = 0; b < B_;) {
            std::vector<std::span<const int32_t>> texts;
            const int64_t first = b;
            for (; b < B_ && recorded_.left_padding(b) >= 0; ++b) {
                const int64_t padding = recorded_.left_padding(b);
                session.set_length(b, padding);
                texts.emplace_back(recorded_.ids.data() + b * T_ + padding,
                                   static_cast<size_t>(T_ - padding));
            }
            if (texts.empty()) {
                session.set_state(b, states_, b, T_);
                ++b;
                continue;
            }
            session.prefill(first, texts);
            for (int64_t row = first; row < b; ++row) {
                const auto got = session.logits(row - first);
                std::copy(got.begin(), got.end(), prompt_logits_.begin() + row * V_);
                compare_row("prefill_logits", row * T_ + T_ - 1, got, wanted, "in pieces");
            }
            for (size_t l = 0; l < states_.layers.size(); ++l)
                compare_state(l, download(device_, session.states().layers[l].slice(0, first, b)),
                              first, "in pieces");
        }
    }
    // Greedy tokens of `step` from prompt_logits_; the recorded logits they came from are row
    // b * rows + row of `wanted`.
    void check_tokens(int64_t step, const std::vector<double>& wanted, int64_t rows, int64_t row) {
        for (int64_t b = 0; b < B_; ++b) {
            const auto begin = prompt_logits_.begin() + b * V_;
            const auto computed = static_cast<int32_t>(std::max_element(begin, begin + V_) - begin);
            const int32_t meant = greedy(b, step);
            if (computed == meant) continue;
            const double* logits = wanted.data() + (b * rows + row) * V_;
            out.other_tokens.push_back(
                {b, step, computed, meant, logits[meant] - logits[computed]});
        }
    }

    // Next tokens, -1 where there is none or it does not count.
    int64_t set_targets(bool count_padding) {
        std::vector<int32_t> targets(static_cast<size_t>(N_), -1);
        int64_t counted = 0;
        for (int64_t i = 0; i < N_; ++i) {
            if (i % T_ == T_ - 1 || !(count_padding || recorded_.counts(i / T_, i % T_ + 1)))
                continue;
            targets[static_cast<size_t>(i)] = recorded_.ids[static_cast<size_t>(i + 1)];
            ++counted;
        }
        upload(targets_, targets);
        device_.synchronize(); // before the host copy goes
        return counted;
    }
    double mean_loss(bool count_padding) {
        const int64_t counted = set_targets(count_padding), chunk = std::min(kRows, N_);
        if (counted == 0) return std::numeric_limits<double>::infinity(); // of nothing
        const ArenaSizes sizes = measure_loss(model_, kernels_, options_.dtype, N_, B_, chunk,
                                              !recorded_.mask.empty(), false);
        Arena activations("activations", device_, sizes.activations.peak());
        Arena scratch("scratch", device_, sizes.scratch.peak());
        const OwnedTensor loss(device_, acc_, {N_});
        Run run = make_run(scratch);
        model_.loss(run, weights_, loss, batch(), {}, chunk, activations);
        const std::vector<double> losses = download(device_, loss);
        return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(counted);
    }
    void compare_gradients(const RecordedGradients& gradients) {
        const int64_t counted = set_targets(out.loss_counts_padding), chunk = std::min(kRows, N_);
        if (counted == 0) fail("no token has a next one that counts: there are no gradients");
        const ArenaSizes sizes = measure_training(model_, kernels_, options_.dtype, N_, B_,
                                                  Recompute::none, chunk, !recorded_.mask.empty());
        Arena activations("activations", device_, sizes.activations.peak());
        Arena scratch("scratch", device_, sizes.scratch.peak());
        const OwnedTensor loss(device_, acc_, {N_});
        const OwnedTensor grads(device_, acc_, {model_.params().flat_size()});
        device_.zero(grads.data, static_cast<size_t>(grads.bytes()));
        Run run = make_run(scratch);
        model_.loss_and_gradients(run, weights_, grads, loss, batch(), Recompute::none, chunk,
                                  static_cast<float>(1.0 / static_cast<double>(counted)),
                                  activations);
        for (size_t i = 0; i < model_.params().all().size(); ++i) {
            const Param& p = model_.params().all()[i];
            const std::vector<double> wanted = gradients.values(p.name);
            const std::vector<double> got =
                download(device_, model_.params().view(grads, static_cast<int>(i)));
            Deviation& d = add_tensor("d " + p.name, p.shape);
            for (size_t k = 0; k < got.size(); ++k)
                d.add(static_cast<int64_t>(k), got[k], wanted[k], "backward");
        }
    }

    const Model& model_;
    Device& device_;
    Tensor weights_;
    ReproductionOptions options_;
    const Recorded& recorded_;
    const Kernels& kernels_;
    DType acc_;
    int64_t B_, T_, N_, V_;
    Arena state_arena_;
    States states_; // after the prompts
    OwnedTensor slopes_, ids_, positions_, targets_, mask_;
    std::vector<int32_t> offsets_;      // of the sequences in N
    std::vector<double> prompt_logits_; // [B,V], the last that were computed of each sequence
};

} // namespace

Reproduction reproduce(const Model& model, Device& device, Tensor weights,
                       const ReproductionOptions& options, const Recorded& recorded,
                       const RecordedGradients* gradients) {
    Reproducer reproducer(model, device, weights, options, recorded);
    reproducer.all_at_once();
    reproducer.in_pieces();
    reproducer.training(gradients);
    return std::move(reproducer.out);
}

} // namespace tnl
