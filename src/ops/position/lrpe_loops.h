// LRPE-d of one head of one token; the angle as ops/position/lrpe.h defines it.
#pragma once

#include "ops/position/lrpe.h"
#include "ops/simd/scalar.h"

namespace tnl {
namespace {
namespace simd_loops {

struct SinCos {
    double sine, cosine;
};

// Within 1e-10 for |a| < 2^31: a = k pi/2 + r with pi/2 in three parts of which k times the first
// two is exact, then Taylor polynomials on |r| <= pi/4.
inline SinCos sin_cos(double a) {
    constexpr double kShift = 6755399441055744.0; // 1.5 * 2^52
    const double shifted = a * 0.63661977236758134308 + kShift;
    const double k = shifted - kShift;
    const int64_t quadrant = __builtin_bit_cast(int64_t, shifted);
    const double r = ((a - k * 1.57079632673412561417e+00) - k * 6.07710050630396597660e-11) -
                     k * 2.02226624879595063154e-21;
    const double z = r * r;
    double s = -2.50521083854417188e-8;
    s = s * z + 2.75573192239858907e-6;
    s = s * z - 1.98412698412698413e-4;
    s = s * z + 8.33333333333333333e-3;
    s = s * z - 1.66666666666666667e-1;
    s = r + r * z * s;
    double c = 2.08767569878680990e-9;
    c = c * z - 2.75573192239858907e-7;
    c = c * z + 2.48015873015873016e-5;
    c = c * z - 1.38888888888888889e-3;
    c = c * z + 4.16666666666666667e-2;
    c = c * z - 0.5;
    c = 1.0 + z * c;
    const double sine = (quadrant & 1) ? c : s, cosine = (quadrant & 1) ? s : c;
    return {(quadrant & 2) ? -sine : sine, ((quadrant + 1) & 2) ? -cosine : cosine};
}

// The two cases of lrpe_angle().
struct RoundedAngle {
    float p;
    double operator()(float theta) const { return static_cast<double>(theta * p); }
};
struct ExactAngle {
    double p;
    double operator()(float theta) const { return static_cast<double>(theta) * p; }
};
template <class F> void with_angle(int32_t p, F&& f) {
    if (p < kExactAngleFrom)
        f(RoundedAngle{static_cast<float>(p)});
    else
        f(ExactAngle{static_cast<double>(p)});
}

template <class S>
void lrpe_forward(S* c, S* s, const S* x, const float* theta, int64_t n, int32_t p) {
    with_angle(p, [=](auto angle) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const SinCos t = sin_cos(angle(theta[i]));
            const float value = load(x[i]);
            store(c[i], value * static_cast<float>(t.cosine));
            store(s[i], value * static_cast<float>(t.sine));
        }
    });
}

template <class S>
void lrpe_backward(S* dx, double* dtheta, const S* dc, const S* ds, const S* x, const float* theta,
                   int64_t n, int32_t p) {
    const double position = p;
    with_angle(p, [=](auto angle) {
        if (dtheta) {
#pragma omp simd
            for (int64_t i = 0; i < n; ++i) {
                const SinCos t = sin_cos(angle(theta[i]));
                const double cosine = static_cast<double>(load(dc[i]));
                const double sine = static_cast<double>(load(ds[i]));
                dtheta[i] += position * static_cast<double>(load(x[i])) *
                             (sine * t.cosine - cosine * t.sine);
                store(dx[i], static_cast<float>(cosine * t.cosine + sine * t.sine));
            }
        } else {
#pragma omp simd
            for (int64_t i = 0; i < n; ++i) {
                const SinCos t = sin_cos(angle(theta[i]));
                const double cosine = static_cast<double>(load(dc[i]));
                const double sine = static_cast<double>(load(ds[i]));
                store(dx[i], static_cast<float>(cosine * t.cosine + sine * t.sine));
            }
        }
    });
}

} // namespace simd_loops
} // namespace
} // namespace tnl
