// Products of f32 for lightning_tiles.h; tensors of f32 or bf16. All in an unnamed namespace.
#pragma once

#include "ops/lightning/lightning_tiles.h"

namespace tnl {
namespace {
namespace lightning {

// to[n] = scale * from[n]
template <class S, int kBytes>
[[gnu::always_inline]] inline void pack_row(float* to, const S* from, int64_t n, float scale) {
    using V = Vectors<kBytes>;
    int64_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) put(to + i, scale * V::load(from + i));
    for (; i < n; ++i) to[i] = scale * simd_loops::load(from[i]);
}

template <class S> inline void unpack_row(S* to, const float* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) simd_loops::store(to[i], from[i]);
}

// [ceil(cols / panel)][rows][panel] from rows
template <class S, int kBytes>
void pack_panels(float* to, const S* from, int64_t stride, int64_t rows, int64_t cols) {
    constexpr int64_t kPanel = 2 * Vectors<kBytes>::kLanes;
    for (int64_t r = 0; r < rows; ++r, from += stride, to += kPanel) {
        int64_t c = 0;
        for (; c + kPanel <= cols; c += kPanel)
            pack_row<S, kBytes>(to + c * rows, from + c, kPanel, 1);
        if (c == cols) continue;
        pack_row<S, kBytes>(to + c * rows, from + c, cols - c, 1);
        for (int64_t i = cols - c; i < kPanel; ++i) to[c * rows + i] = 0;
    }
}

// The same from the transpose: `rows` rows into [ceil(rows / panel)][ld][panel], of which `cols`
// of ld are written.
template <class S, int kBytes>
void pack_transposed(float* to, int64_t ld, const S* from, int64_t stride, int64_t rows,
                     int64_t cols) {
    constexpr int64_t kPanel = 2 * Vectors<kBytes>::kLanes;
    using V4 = Vectors<16>;
    using Float4 = typename V4::Float;
    const auto at = [&](int64_t r, int64_t c) -> float* {
        return to + (r / kPanel * ld + c) * kPanel + r % kPanel;
    };
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const S* source = from + r * stride;
        int64_t c = 0;
        for (; c + 4 <= cols; c += 4) {
            const Float4 a0 = V4::load(source + c), a1 = V4::load(source + stride + c);
            const Float4 a2 = V4::load(source + 2 * stride + c);
            const Float4 a3 = V4::load(source + 3 * stride + c);
            const Float4 b0 = __builtin_shufflevector(a0, a1, 0, 4, 1, 5);
            const Float4 b1 = __builtin_shufflevector(a0, a1, 2, 6, 3, 7);
            const Float4 b2 = __builtin_shufflevector(a2, a3, 0, 4, 1, 5);
            const Float4 b3 = __builtin_shufflevector(a2, a3, 2, 6, 3, 7);
            float* target = at(r, c);
            put(target, __builtin_shufflevector(b0, b2, 0, 1, 4, 5));
            put(target + kPanel, __builtin_shufflevector(b0, b2, 2, 3, 6, 7));
            put(target + 2 * kPanel, __builtin_shufflevector(b1, b3, 0, 1, 4, 5));
            put(target + 3 * kPanel, __builtin_shufflevector(b1, b3, 2, 3, 6, 7));
        }
        for (; c < cols; ++c)
            for (int64_t i = 0; i < 4; ++i)
                *at(r + i, c) = simd_loops::load(source[i * stride + c]);
    }
    for (; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c) *at(r, c) = simd_loops::load(from[r * stride + c]);
    // zero for the rows that fill up the last panel
    if (rows % kPanel == 0) return;
    for (int64_t c = 0; c < cols; ++c)
        for (int64_t i = rows; i % kPanel != 0; ++i) *at(i, c) = 0;
}

template <class S, int kBytes> struct F32 {
    using Number = S;
    using V = Vectors<kBytes>;
    using Float = typename V::Float;
    using Vector = Float;  // of elements
    using Element = float; // of an operand
    static constexpr int64_t kPair = 1, kLanes = V::kLanes, kPanel = 2 * kLanes;
    // Rows of a tile of two vectors: enough sums to cover the latency, few enough for the
    // registers beside one element and two vectors.
    static constexpr int kRows = kBytes == 64 ? 8 : kBytes == 32 ? 6 : 4;

    static Float multiply_add(const Float& c, float a, const Vector& b) { return c + a * b; }

    static void put_score(float* row, int64_t vector, const Float& v) {
        put(row + vector * kLanes, v);
    }
    static void put_number(float* to, const Float& v) { put(to, v); }
    static void put_number(bf16* to, const Float& v) {
        float values[kLanes];
        put(values, v);
        for (int64_t i = 0; i < kLanes; ++i) simd_loops::store(to[i], values[i]);
    }
    // The state in panels is multiplied as it is.
    static constexpr int64_t operand_elements(int64_t, int64_t) { return 0; }
    template <int kRows> static void put_state(float*, const Sums<F32, kRows, 2>&) {}
    static void make_operand(float*, const float*, int64_t, int64_t) {}

    // m rows of K numbers
    static void pack_x(float* to, int64_t ldx, const S* x, int64_t stride, int64_t m, int64_t K) {
        for (int64_t r = 0; r < m; ++r) pack_row<S, kBytes>(to + r * ldx, x + r * stride, K, 1);
    }
    // y' [m,K]: each row times its weight, the last one's first.
    static void pack_weighted(float* to, int64_t ldy, const S* y, int64_t stride, int64_t m,
                              int64_t K, const float* weights, float scale) {
        for (int64_t r = 0; r < m; ++r)
            pack_row<S, kBytes>(to + r * ldy, y + r * stride, K, weights[m - 1 - r] * scale);
    }
    // z [m,N] in panels
    static void pack_z(float* to, const S* z, int64_t stride, int64_t m, int64_t N) {
        pack_panels<S, kBytes>(to, z, stride, m, N);
    }
    // y^T [K,m] in panels
    static void pack_y(float* to, const S* y, int64_t stride, int64_t m, int64_t K) {
        pack_transposed<S, kBytes>(to, K, y, stride, m, K);
    }
    // S^T [N,K] in panels from S [K,N] in panels
    static void transpose_state(float* to, const float* state, int64_t K, int64_t N) {
        for (int64_t n = 0; n < N; n += kPanel)
            pack_transposed<float, kBytes>(to + n * kPanel, N, state + n * K, kPanel, K,
                                           smaller(kPanel, N - n));
    }
};

} // namespace lightning
} // namespace
} // namespace tnl
