#include "train/optimizer.h"

namespace tnl {

std::vector<DecayRange> decay_ranges(const ParamTable& table) {
    std::vector<DecayRange> ranges;
    for (const Param& p : table.trained()) {
        if (!ranges.empty() && ranges.back().decay == p.decay) continue;
        if (!ranges.empty()) ranges.back().end = p.offset - table.trained_begin();
        ranges.push_back({p.offset - table.trained_begin(), table.trained_size(), p.decay});
    }
    return ranges;
}

OptimizerBytes optimizer_bytes(const OptimizerConfig& config, const ParamTable& table,
                               DType dtype) {
    const size_t one = static_cast<size_t>(table.trained_size()) * sizeof(float);
    const bool master = dtype != DType::f32 && config.rounding == Rounding::nearest;
    return {2 * one, master ? one : 0};
}

Optimizer::Optimizer(const OptimizerConfig& config, const ParamTable& table, Device& device,
                     Tensor weights)
    : config_(config), device_(device), kernels_(&kernels_for(device)),
      ranges_(decay_ranges(table)), weights_(weights),
      m_(device, DType::f32, {table.trained_size()}, config.memory),
      v_(device, DType::f32, {table.trained_size()}, config.memory) {
    TNL_CHECK(weights.is({table.trained_size()}), "weights have shape {}, wanted [{}]",
              weights.shape_string(), table.trained_size());
    if (optimizer_bytes(config, table, weights.dtype).master > 0)
        own_master_ = OwnedTensor(device, DType::f32, {table.trained_size()}, config.memory);
    master_ = weights.dtype == DType::f32 ? weights : Tensor(own_master_);
    for (const Tensor& t : {Tensor(m_), Tensor(v_)})
        device.zero(t.data, static_cast<size_t>(t.bytes()));
}

void Optimizer::set_master(const float* host) {
    if (!master_.data) {
        const int64_t n = weights_.size();
        std::vector<bf16> rounded(host, host + n);
        device_.upload(weights_.data, rounded.data(), static_cast<size_t>(weights_.bytes()));
        device_.synchronize(); // before the host buffer goes
        return;
    }
    device_.upload(master_.data, host, static_cast<size_t>(master_.bytes()));
    if (weights_.dtype != DType::f32) kernels_->cast(device_.stream(), weights_, master_);
    device_.synchronize();
}

void Optimizer::step(Tensor gradients, double lr, double gradient_scale) {
    ++updates_;
    AdamW adam;
    adam.lr = static_cast<float>(lr);
    adam.beta1 = static_cast<float>(config_.beta1);
    adam.beta2 = static_cast<float>(config_.beta2);
    adam.eps = static_cast<float>(config_.eps);
    adam.gradient_scale = static_cast<float>(gradient_scale);
    adam.step = updates_;
    for (const DecayRange& r : ranges_) {
        adam.weight_decay = r.decay ? static_cast<float>(config_.weight_decay) : 0.0f;
        adam.first = r.begin;
        const auto part = [&](const Tensor& t) { return t.data ? t.slice(0, r.begin, r.end) : t; };
        kernels_->adamw(device_.stream(), part(weights_), part(master_), part(m_), part(v_),
                        part(gradients), adam);
    }
}

double Optimizer::clip_scale(double norm) const {
    return config_.clip > 0 && norm > config_.clip ? config_.clip / norm : 1.0;
}

} // namespace tnl
