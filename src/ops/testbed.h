// For the tests of the operators: a CPU device, and calls through a table of kernels.
#pragma once

#include "ops/kernels.h"
#include "testing/compare.h"
#include "testing/gradcheck.h"

namespace tnl::testing {

inline constexpr Activation kActivations[] = {
    Activation::identity, Activation::silu, Activation::relu,         Activation::leaky_relu,
    Activation::gelu,     Activation::elu,  Activation::one_plus_elu, Activation::two_plus_elu,
    Activation::sigmoid,  Activation::exp,  Activation::sine};

struct CpuBed {
    explicit CpuBed(int threads = 2) : device(make_cpu_device(threads)) {}
    Stream& stream() { return device->stream(); }
    OwnedTensor normal(DType dtype, std::initializer_list<int64_t> dims, uint64_t seed,
                       double scale = 1) {
        return normal_tensor(*device, dtype, dims, seed, scale);
    }
    OwnedTensor zeros(DType dtype, std::initializer_list<int64_t> dims) {
        OwnedTensor t(*device, dtype, dims);
        device->zero(t.data, static_cast<size_t>(t.bytes()));
        return t;
    }
    OwnedTensor integers(std::initializer_list<int64_t> dims, uint64_t seed, int64_t low,
                         int64_t high) {
        OwnedTensor t(*device, DType::i32, dims);
        fill_integers(t, seed, low, high);
        return t;
    }
    std::unique_ptr<Device> device;
};

// f(kernels, stream, dtype) returns the outputs of one call (vector of OwnedTensor) on inputs that
// are the same numbers for every dtype: they must be exact in bf16. Checks the fast kernels against
// the oracle: in f32 to `tolerance`, in bf16 to twice the error of the oracle in bf16; that a
// second call gives the same bits; and that one thread and two agree.
template <class F> void expect_fast_matches_oracle(F&& f, double tolerance = 1e-6) {
    CpuBed one(1), two(2);
    const auto exact = f(cpu_oracle_kernels(), two, DType::f64);
    const auto f32 = f(cpu_kernels(), two, DType::f32);
    const auto again = f(cpu_kernels(), two, DType::f32);
    const auto serial = f(cpu_kernels(), one, DType::f32);
    const auto f64 = f(cpu_kernels(), two, DType::f64);
    const auto half = f(cpu_kernels(), two, DType::bf16);
    const auto plain = f(cpu_oracle_kernels(), two, DType::bf16);
    for (size_t i = 0; i < exact.size(); ++i) {
        SCOPED_TRACE("output " + std::to_string(i));
        EXPECT_TRUE(close(f32[i], exact[i], tolerance));
        EXPECT_TRUE(identical(f32[i], again[i]));
        EXPECT_TRUE(close(serial[i], f32[i], tolerance));
        EXPECT_TRUE(close(f64[i], exact[i], 1e-12));
        EXPECT_TRUE(within_twice(half[i], plain[i], exact[i]));
    }
}

// Normal numbers that bf16 holds exactly.
inline OwnedTensor exact_normal(CpuBed& bed, DType dtype, std::initializer_list<int64_t> dims,
                                uint64_t seed, double scale = 1) {
    const OwnedTensor rounded = bed.normal(DType::bf16, dims, seed, scale);
    return converted(*bed.device, rounded, dtype);
}

inline DType acc_of(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// A [rows, cols] view into a wider [rows, cols + 5] tensor, from its column 3.
struct Strided {
    Strided(CpuBed& bed, DType dtype, int64_t rows, int64_t cols, uint64_t seed, double scale = 1)
        : whole(exact_normal(bed, dtype, {rows, cols + 5}, seed, scale)),
          view(whole.slice(1, 3, 3 + cols)) {}
    OwnedTensor whole;
    Tensor view;
};

} // namespace tnl::testing
