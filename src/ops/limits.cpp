#include "ops/limits.h"

#include "base/rng.h"

#include <algorithm>
#include <vector>

namespace tnl {

double seconds_of_call(Device& device, const std::function<void()>& f) {
    const auto batch = [&](int calls) {
        return device.seconds([&] {
            for (int i = 0; i < calls; ++i) f();
        }) / calls;
    };
    constexpr double kSeconds = 4e-3; // of a batch
    const bool gpu = device.kind() != DeviceKind::cpu;
    batch(gpu ? 3 : 1);
    const double one = batch(gpu ? 3 : 1);
    const int calls =
        std::clamp(static_cast<int>(kSeconds / std::max(one, 1e-7)), gpu ? 3 : 1, 100);
    std::vector<double> seconds;
    for (int i = 0; i < 7; ++i) seconds.push_back(batch(calls));
    std::nth_element(seconds.begin(), seconds.begin() + 3, seconds.end());
    return seconds[3];
}

double copy_bandwidth(Device& device) {
    const size_t bytes = size_t{1} << (device.kind() == DeviceKind::cpu ? 28 : 30);
    const Buffer from(device, bytes), to(device, bytes);
    device.zero(from.data(), bytes);
    device.zero(to.data(), bytes);
    const double seconds =
        seconds_of_call(device, [&] { device.copy(to.data(), from.data(), bytes); });
    return 2 * static_cast<double>(bytes) / seconds;
}

double product_rate(Device& device, DType dtype) {
    const Kernels& kernels = kernels_for(device);
    const int64_t n = device.kind() == DeviceKind::cpu ? 2048 : 8192;
    const OwnedTensor a(device, dtype, {n, n}), b(device, dtype, {n, n}), c(device, dtype, {n, n});
    const OwnedTensor row(device, DType::f32, {n});
    std::vector<float> values(static_cast<size_t>(n));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(Philox{5, 0}.normal(i));
    device.upload(row.data, values.data(), values.size() * sizeof(float));
    // Each row of each matrix is the same numbers, begun elsewhere.
    for (const Tensor& x : {Tensor(a), Tensor(b)})
        for (int64_t r = 0; r < n; ++r) {
            const int64_t cut = r * 37 % n;
            const Tensor to = x.slice(0, r, r + 1).reshape({n});
            if (cut > 0)
                kernels.cast(device.stream(), to.slice(0, n - cut, n), row.slice(0, 0, cut));
            kernels.cast(device.stream(), to.slice(0, 0, n - cut), row.slice(0, cut, n));
        }
    device.synchronize();
    const double seconds =
        seconds_of_call(device, [&] { kernels.gemm(device.stream(), c, a, b, false, true, 1, 0); });
    return 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds;
}

} // namespace tnl
