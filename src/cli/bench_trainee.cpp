#include "cli/bench_trainee.h"

#include "ops/timed.h"

#include <cmath>

namespace tnl {

Trainee::Trainee(Device& device, const TraineeOptions& o)
    : device_(device), o_(o), dtype_(dtype_from_name(o.dtype)),
      timed_(timed_kernels(kernels_for(device), &device)), model_(model_preset(o.preset)),
      n_(model_.params().flat_size()), weights_(random_weights(model_, device, dtype_)),
      gradients_(device, DType::f32, {n_}), m_(device, DType::f32, {n_}),
      v_(device, DType::f32, {n_}), norm_(device, DType::f64, {1}),
      loss_(device, DType::f32, {o.batch * o.length}),
      slopes_(upload_slopes(model_.config(), device, DType::f32)),
      chunk_(o.head_chunk > 0                   ? o.head_chunk
             : device.kind() == DeviceKind::cpu ? 1024
                                                : 4096),
      sizes_(measure_training(model_, timed_, dtype_, o.batch * o.length, o.batch, o.recompute,
                              chunk_, false, o.products)),
      activations_("activations", device, sizes_.activations.peak()),
      scratch_("scratch", device, sizes_.scratch.peak()),
      state_memory_("states", device,
                    o.carry ? 2 * measure_states(model_, DType::f32, o.batch) : 0) {
    device.stream().same_shapes = true;
    if (o.carry)
        for (States& s : states_) s = model_.make_states(state_memory_, DType::f32, o.batch);
    master_ = weights_;
    if (dtype_ != DType::f32) {
        wide_ = random_weights(model_, device, DType::f32);
        master_ = wide_;
    }
    for (const Tensor& t : {Tensor(m_), Tensor(v_)})
        device.zero(t.data, static_cast<size_t>(t.bytes()));
    make_batch();
}

double Trainee::step(bool timed) {
    const Kernels& kernels = timed ? timed_ : kernels_for(device_);
    Run run{device_.stream(), kernels, scratch_, dtype_, slopes_, o_.products};
    const auto rows = static_cast<float>(o_.batch * o_.length);
    device_.zero(gradients_.data, static_cast<size_t>(gradients_.bytes()));
    Passing states;
    if (o_.carry)
        states = passing(count_ > 0 ? &states_[count_ % 2] : nullptr, &states_[1 - count_ % 2]);
    model_.loss_and_gradients(run, weights_, gradients_, loss_, batch_, o_.recompute, chunk_,
                              1 / rows, activations_, states);
    kernels.sum_squares(run.stream, norm_, gradients_);
    double squares = 0;
    device_.download(&squares, norm_.data, sizeof(squares));
    AdamW adam;
    adam.lr = 1e-4f;
    adam.weight_decay = 0.1f;
    adam.gradient_scale = static_cast<float>(std::min(1.0, 1 / (std::sqrt(squares) + 1e-6)));
    adam.step = ++count_;
    kernels.adamw(run.stream, weights_, master_, m_, v_, gradients_, adam);
    kernels.sum(run.stream, norm_, loss_);
    device_.download(&squares, norm_.data, sizeof(squares));
    return squares / rows;
}

// Token i of the stream is (i * 7919 + 13) % V, as in the PyTorch peer (bench/).
void Trainee::make_batch() {
    const int64_t N = o_.batch * o_.length;
    std::vector<int32_t> ids, positions, targets;
    auto token = [&](int64_t i) {
        return static_cast<int32_t>((i * 7919 + 13) % model_.config().vocab_size);
    };
    for (int64_t i = 0; i < N; ++i) {
        ids.push_back(token(i));
        targets.push_back(token(i + 1));
        positions.push_back(static_cast<int32_t>(i % o_.length));
    }
    const auto put = [&](OwnedTensor& to, const std::vector<int32_t>& from) {
        to = OwnedTensor(device_, DType::i32, {N});
        device_.upload(to.data, from.data(), from.size() * sizeof(int32_t));
        return Tensor(to);
    };
    batch_.ids = put(ids_, ids);
    batch_.positions = put(positions_, positions);
    batch_.targets = put(targets_, targets);
    batch_.sequences = o_.batch;
    device_.synchronize();
}

} // namespace tnl
