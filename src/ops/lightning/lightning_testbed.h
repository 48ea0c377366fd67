// Lightning attention as one writes it first in bf16: ((Q K^T) . M) V with every operand of a
// product rounded to bf16 and sums kept exact. What kernels that multiply bf16 are measured
// against.
#pragma once

#include "ops/lightning/lightning.h"

#include <cmath>
#include <vector>

namespace tnl::testing {

inline double rounded(double x) { return static_cast<double>(static_cast<float>(bf16(x))); }

// One head of one sequence: out_i = sum over j <= i of lambda^(i-j) (x_i . y_j) z_j, and the state;
// `ahead` as in LightningScan, times counted from the start of the walk.
struct MaskedScan {
    Tensor x, y, z, out;
    Tensor state_in, state_out; // [K,N], optional
    bool transposed = false;    // state_in is [N,K]
    bool reversed = false;
    int64_t K = 0, N = 0;
    double scale = 1;
};

inline void run_masked(const MaskedScan& s, const SequenceRange& r, const LightningShape& shape,
                       int64_t sequence, int64_t head, double slope) {
    const auto row = [&](const Tensor& t, int64_t i) {
        const int64_t token = r.begin + (s.reversed ? r.length - 1 - i : i);
        return t.as<bf16>() + r.row * t.stride[0] + token * t.stride[1] + head * t.stride[2];
    };
    const auto power = [&](int64_t n) { return std::exp(-slope * static_cast<double>(n)); };
    const int64_t ahead = s.reversed ? 1 : 0, state = (sequence * shape.H + head) * s.K * s.N;
    const auto state_at = [&](int64_t k, int64_t n) {
        if (!s.state_in) return 0.0;
        const int64_t at = s.transposed ? n * s.K + k : k * s.N + n;
        return static_cast<double>(s.state_in.as<float>()[state + at]);
    };
    std::vector<double> sums(static_cast<size_t>(s.N));
    for (int64_t i = 0; i < r.length; ++i) {
        const bf16* x = row(s.x, i);
        for (int64_t n = 0; n < s.N; ++n) {
            double& sum = sums[static_cast<size_t>(n)];
            sum = 0;
            for (int64_t k = 0; k < s.K; ++k)
                sum += static_cast<double>(x[k]) * rounded(state_at(k, n));
            sum *= s.scale * power(i + 1 - ahead);
        }
        for (int64_t j = 0; j <= i; ++j) {
            const bf16 *y = row(s.y, j), *z = row(s.z, j);
            double dot = 0;
            for (int64_t k = 0; k < s.K; ++k)
                dot += static_cast<double>(x[k]) * static_cast<double>(y[k]);
            dot = rounded(s.scale * power(i - j) * dot);
            for (int64_t n = 0; n < s.N; ++n)
                sums[static_cast<size_t>(n)] += dot * static_cast<double>(z[n]);
        }
        for (int64_t n = 0; n < s.N; ++n) row(s.out, i)[n] = bf16(sums[static_cast<size_t>(n)]);
    }
    if (!s.state_out) return;
    for (int64_t k = 0; k < s.K; ++k)
        for (int64_t n = 0; n < s.N; ++n) {
            double sum = power(r.length) * state_at(k, n);
            for (int64_t j = 0; j < r.length; ++j) {
                const double weight =
                    power(r.length - 1 - j + ahead) * (s.reversed ? s.scale : 1.0);
                sum += rounded(weight * static_cast<double>(row(s.y, j)[k])) *
                       static_cast<double>(row(s.z, j)[n]);
            }
            s.state_out.as<float>()[state + k * s.N + n] = static_cast<float>(sum);
        }
}

template <class F>
void for_each_masked(const LightningShape& shape, const Tensor& cu_seqlens, const Tensor& slopes,
                     F&& scans) {
    for (int64_t i = 0; i < shape.sequences; ++i)
        for (int64_t h = 0; h < shape.H; ++h)
            for (const MaskedScan& scan : scans)
                run_masked(scan, sequence_range(shape, cu_seqlens, i), shape, i, h,
                           static_cast<double>(slopes.as<float>()[h]));
}

inline void lightning_forward_masked(Stream&, const LightningForward& c) {
    const LightningShape shape = check(c);
    const auto scale = static_cast<double>(c.scale);
    const MaskedScan scans[] = {{.x = c.q,
                                 .y = c.k,
                                 .z = c.v,
                                 .out = c.o,
                                 .state_in = c.state_in,
                                 .state_out = c.state_out,
                                 .K = shape.D,
                                 .N = shape.E,
                                 .scale = scale}};
    for_each_masked(shape, c.cu_seqlens, c.slopes, scans);
}

inline void lightning_backward_masked(Stream&, const LightningBackward& c) {
    const LightningShape shape = check(c);
    const auto scale = static_cast<double>(c.scale);
    const MaskedScan scans[] = {{.x = c.dout,
                                 .y = c.v,
                                 .z = c.k,
                                 .out = c.dq,
                                 .state_in = c.state_in,
                                 .state_out = {},
                                 .transposed = true,
                                 .K = shape.E,
                                 .N = shape.D,
                                 .scale = scale},
                                {.x = c.k,
                                 .y = c.q,
                                 .z = c.dout,
                                 .out = c.dv,
                                 .state_in = c.dstate_out,
                                 .state_out = c.dstate_in,
                                 .reversed = true,
                                 .K = shape.D,
                                 .N = shape.E,
                                 .scale = scale},
                                {.x = c.v,
                                 .y = c.dout,
                                 .z = c.q,
                                 .out = c.dk,
                                 .state_in = c.dstate_out,
                                 .state_out = {},
                                 .transposed = true,
                                 .reversed = true,
                                 .K = shape.E,
                                 .N = shape.D,
                                 .scale = scale}};
    for_each_masked(shape, c.cu_seqlens, c.slopes, scans);
}

} // namespace tnl::testing
