// The operator's tensors for a measurement, and how long a call takes.
#include "cli/bench_lightning.h"

#include "base/rng.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

// Numbers drawn for a tensor, repeated to fill it.
constexpr int64_t kDrawn = 1 << 20;

template <class T> void upload_drawn(Device& device, const Tensor& to, int64_t n, uint64_t stream) {
    std::vector<T> values(static_cast<size_t>(n));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = T(static_cast<float>(2 * Philox{4, stream}.uniform(i) - 1));
    device.upload(to.data, values.data(), values.size() * sizeof(T));
    device.synchronize();
}

OwnedTensor random_tensor(Device& device, DType dtype, std::initializer_list<int64_t> dims,
                          uint64_t stream) {
    OwnedTensor out(device, dtype, dims);
    const int64_t n = std::min(out.size(), kDrawn);
    if (dtype == DType::f16)
        upload_drawn<f16>(device, out, n, stream);
    else
        dispatch_float(dtype, [&]<class T>() { upload_drawn<T>(device, out, n, stream); });
    auto* const data = static_cast<char*>(out.data);
    for (int64_t done = n * size_of(dtype); done > 0 && done < out.bytes(); done *= 2)
        device.copy(data + done, data, static_cast<size_t>(std::min(done, out.bytes() - done)));
    return out;
}

} // namespace

DType LightningOptions::type(const Device& device) const {
    if (dtype.empty()) return device.kind() == DeviceKind::cpu ? DType::f32 : DType::bf16;
    return dtype_from_name(dtype);
}

double forward_flops(double D, double E) { return (kLightningBlock + 1) * (D + E) + 4 * D * E; }
double backward_flops(double D, double E) {
    return (kLightningBlock + 1) * (3 * D + 2 * E) + 10 * D * E;
}

std::vector<float> alibi_slopes(int64_t heads) {
    std::vector<float> slopes;
    for (int64_t h = 1; h <= heads; ++h)
        slopes.push_back(std::exp2(-8.0f * static_cast<float>(h) / static_cast<float>(heads)));
    return slopes;
}

Attention::Attention(Device& device, const AttentionShape& shape, DType dtype)
    : device_(device), kernels_(kernels_for(device)), shape_(shape) {
    const auto [B, T, H, D, E, decode] = shape;
    lightning_ = {B, T, H, D, E, B, dtype};
    uint64_t stream = 0;
    for (OwnedTensor* x : {&q_, &k_, &v_})
        *x = random_tensor(device, dtype, {B, T, H, x == &v_ ? E : D}, stream++);
    o_ = OwnedTensor(device, dtype, {B, T, H, E});
    if (!decode) {
        dout_ = random_tensor(device, dtype, {B, T, H, E}, stream++);
        for (OwnedTensor* x : {&dq_, &dk_, &dv_})
            *x = OwnedTensor(device, dtype, {B, T, H, x == &dv_ ? E : D});
    }
    const std::vector<float> slopes = alibi_slopes(H);
    slopes_ = OwnedTensor(device, DType::f32, {H});
    device.upload(slopes_.data, slopes.data(), slopes.size() * sizeof(float));
    forward_.q = q_;
    forward_.k = k_;
    forward_.v = v_;
    forward_.o = o_;
    forward_.slopes = slopes_;
    backward_.q = q_;
    backward_.k = k_;
    backward_.v = v_;
    backward_.dout = dout_;
    backward_.dq = dq_;
    backward_.dk = dk_;
    backward_.dv = dv_;
    backward_.slopes = slopes_;
    const auto room_forward = static_cast<int64_t>(workspace_bytes(false));
    const auto room_backward = static_cast<int64_t>(workspace_bytes(true));
    workspace_ =
        OwnedTensor(device, DType::u8, {std::max({room_forward, room_backward, int64_t{1}})});
    forward_.workspace = workspace_.slice(0, 0, room_forward);
    backward_.workspace = workspace_.slice(0, 0, room_backward);
    if (decode) {
        state_ = OwnedTensor(device, DType::f32, {B, H, D, E});
        device.zero(state_.data, static_cast<size_t>(state_.bytes()));
        forward_.state_in = state_;
        forward_.state_out = state_;
    }
    device.synchronize();
}

double Attention::bytes(bool backward) const {
    const auto keys = static_cast<double>(q_.bytes()), values = static_cast<double>(v_.bytes());
    if (backward) return 4 * keys + 3 * values;
    return 2 * keys + 2 * values + 2 * static_cast<double>(state_bytes());
}

double Attention::flops(bool backward) const {
    const auto D = static_cast<double>(shape_.D), E = static_cast<double>(shape_.E);
    const double rows = static_cast<double>(shape_.B * shape_.T * shape_.H);
    if (shape_.decode) return rows * 4 * D * E;
    return rows * (backward ? backward_flops(D, E) : forward_flops(D, E));
}

double Attention::needed_bytes(const AttentionShape& s, DType dtype) {
    const double rows = static_cast<double>(s.B * s.T * s.H) * static_cast<double>(size_of(dtype));
    if (!s.decode) return rows * static_cast<double>(4 * s.D + 4 * s.E);
    return rows * static_cast<double>(2 * s.D + 2 * s.E) +
           4.0 * static_cast<double>(s.B * s.H * s.D * s.E);
}

} // namespace tnl
