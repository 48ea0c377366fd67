// Loops over one row or one flat range, compiled once per instruction set (simd_baseline.cpp,
// simd_avx2.cpp, ...) and chosen at run time. The loops themselves lie beside the
// operator they serve (*_loops.h) and see raw pointers only; shapes, threads and dtypes are the
// callers' (*_fast.cpp). In-place calls (equal pointers) are allowed everywhere; other overlap is
// not. S is the storage type, float or bf16; arithmetic is f32 unless said otherwise.
#pragma once

#include "ops/kernels.h"

namespace tnl {

// One row of a norm. Null stats, weight, bias: absent.
template <class S> struct NormRow {
    S* y;
    float* stats; // mean, rstd
    const S *x, *weight, *bias;
    int64_t C;
    bool centred; // subtract the mean: layer norm
    float eps;
    bool given = false; // stats are read, not written
};
template <class S> struct NormBackwardRow {
    S* dx;
    const S *dy, *x, *weight; // x: of_output, what came out of the norm
    int64_t C;
    bool centred, of_output, accumulate;
    float mean, rstd;
};

// A few rows of activations as whole numbers, for products with quantized weights (quant/quant.h):
// of group g of row m, codes[m * ld + ..] times scales[m * groups + g]. 16 bits for weights of 8,
// 8 bits for weights of 4. The codes lie in the order in which the same table's dot_int8 or
// dot_int4 reads them.
template <class Code> struct QuantRows {
    const Code* codes;
    const float* scales;  // 8 more may be read than there are
    const float* offsets; // -8 or -128 times the codes' sum, likewise
    int64_t ld, groups;   // K in whole groups
};

template <class S> struct RowLoops {
    // exp takes a whole row, the others any part of one
    void (*act_forward)(S* y, const S* x, int64_t n, Activation act);
    void (*act_backward)(S* dx, const S* dy, const S* x, int64_t n, Activation act);
    void (*gate_forward)(S* y, const S* a, const S* g, int64_t n, Activation act);
    void (*gate_backward)(S* da, S* dg, const S* dy, const S* a, const S* g, int64_t n,
                          Activation act);
    void (*norm_forward)(const NormRow<S>& row);
    void (*norm_backward)(const NormBackwardRow<S>& row);
    // dw += dy (x - mean) rstd, db += dy (db optional)
    void (*norm_dweights)(float* dw, float* db, const S* dy, const S* x, int64_t n, float mean,
                          float rstd);
    // the loss; with `gradient`, row = scale (softmax - onehot)
    float (*cross_entropy)(S* row, int64_t n, int32_t target, bool gradient, float scale);
    // c = x cos(theta p), s = x sin(theta p)
    void (*lrpe_forward)(S* c, S* s, const S* x, const float* theta, int64_t n, int32_t p);
    // dx = dc cos + ds sin; dtheta += p x (ds cos - dc sin), in f64 (optional)
    void (*lrpe_backward)(S* dx, double* dtheta, const S* dc, const S* ds, const S* x,
                          const float* theta, int64_t n, int32_t p);
    void (*add)(S* y, const S* x, int64_t n);                         // y += x
    void (*scaled_copy)(S* y, const S* x, int64_t n, float scale);    // y = scale x
    void (*accumulate)(float* y, const S* x, int64_t n, float scale); // y += scale x
    double (*sum_squares)(const S* x, int64_t n);                     // in f64
    double (*sum)(const S* x, int64_t n);
    // weights, master, m, v, g [n]; rate etc. as in adam/adam.h
    void (*adamw)(S* weights, float* master, float* m, float* v, const float* g, int64_t n,
                  const struct AdamWStep& step);
    // out[m][r] = a_m . b_r for M rows of a (f32, at most 8) and R rows of b
    void (*dot_rows)(float* out, int64_t ld_out, const float* a, int64_t lda, int64_t M, const S* b,
                     int64_t ldb, int64_t R, int64_t K);
    // A row of QuantRows; zeros stand for codes up to whole groups.
    void (*quant_narrow16)(int16_t* codes, float* scales, float* offsets, const S* x, int64_t K,
                           int64_t group);
    void (*quant_narrow8)(int8_t* codes, float* scales, float* offsets, const S* x, int64_t K,
                          int64_t group);
};

struct SimdKernels {
    const char* name;
    RowLoops<float> f32;
    RowLoops<bf16> bf16_;
    void (*widen)(float* y, const bf16* x, int64_t n);
    void (*narrow)(bf16* y, const float* x, int64_t n);
    // of rows of scores: softmax/softmax_loops.h
    void (*softmax_exp)(float* s, int64_t n, float scale, float shift);
    float (*softmax_more)(float* s, int64_t n, float scale, float* max, float* sum);
    void (*softmax_slope)(float* d, const float* p, int64_t n, float delta, float scale);
    // dot_rows of bf16 rows as they are; null where the processor does not multiply bf16
    void (*dot_bf16)(float* out, int64_t ld_out, const bf16* a, int64_t lda, int64_t M,
                     const bf16* b, int64_t ldb, int64_t R, int64_t K);
    // out[m][r] = a_m . b_r for M rows of a, at most 8, and R rows of weights in 8 or 4 bits
    void (*dot_int8)(float* out, int64_t ld_out, const QuantRows<int16_t>& a, int64_t M,
                     const uint8_t* b, int64_t row_bytes, int64_t R);
    void (*dot_int4)(float* out, int64_t ld_out, const QuantRows<int8_t>& a, int64_t M,
                     const uint8_t* b, int64_t row_bytes, int64_t R);
};

const SimdKernels& simd_baseline();
const SimdKernels& simd_avx2();
const SimdKernels& simd_avx512();
const SimdKernels& simd_avx512_bf16();
const SimdKernels& simd(); // the best this processor runs

template <class S> const RowLoops<S>& loops() {
    if constexpr (std::is_same_v<S, float>)
        return simd().f32;
    else
        return simd().bf16_;
}

} // namespace tnl
