// Tensors as rows, for the CPU kernels: a base pointer and the place of each row.
#pragma once

#include "tensor/tensor.h"

namespace tnl {

// A float tensor of rank 1 (one row), 2 or 3 as `count` rows of `cols` adjacent elements.
template <class T> struct Rows {
    T* data = nullptr;
    int64_t count = 0, cols = 0;
    int64_t inner = 1; // rows of one step of the first dimension
    int64_t outer_stride = 0, inner_stride = 0;

    T* operator[](int64_t row) const {
        if (inner == 1) return data + row * outer_stride;
        return data + row / inner * outer_stride + row % inner * inner_stride;
    }
};

// Throws naming `what` if the dtype is another or the last dimension is strided. An absent tensor
// gives null data.
template <class T> Rows<T> rows_of(const Tensor& t, const char* what) {
    if (!t) return {};
    TNL_CHECK(t.dtype == dtype_of<T>(), "{} is {}, wanted {}", what, name_of(t.dtype),
              name_of(dtype_of<T>()));
    TNL_CHECK(t.rank >= 1 && t.rank <= 3, "{} has shape {}, wanted rank 1 to 3", what,
              t.shape_string());
    const auto last = static_cast<size_t>(t.rank - 1);
    TNL_CHECK(t.stride[last] == 1 || t.shape[last] <= 1,
              "{} of shape {} has stride {} in its last dimension, wanted 1", what,
              t.shape_string(), t.stride[last]);
    Rows<T> r{static_cast<T*>(t.data), 1, t.cols()};
    if (t.rank == 2) {
        r.count = t.shape[0];
        r.outer_stride = t.stride[0];
    } else if (t.rank == 3) {
        r.count = t.shape[0] * t.shape[1];
        r.inner = t.shape[1];
        r.outer_stride = t.stride[0];
        r.inner_stride = t.stride[1];
    }
    return r;
}

inline void check_same_shape(const Tensor& a, const Tensor& b, const char* a_name,
                             const char* b_name) {
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; ++i)
        same = a.shape[static_cast<size_t>(i)] == b.shape[static_cast<size_t>(i)];
    TNL_CHECK(same, "{} has shape {}, {} has shape {}: wanted equal", a_name, a.shape_string(),
              b_name, b.shape_string());
}

// The dtype of sums beside tensors of `dtype`.
inline DType accumulator_dtype(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

inline void check_dtype(const Tensor& t, DType wanted, const char* what) {
    TNL_CHECK(t.dtype == wanted, "{} is {}, wanted {}", what, name_of(t.dtype), name_of(wanted));
}

// dispatch_float without f64, which the vectorised kernels leave to the oracle.
template <class F> void dispatch_f32_bf16(DType dtype, F&& f) {
    if (dtype == DType::f32) return f.template operator()<float>();
    if (dtype == DType::bf16) return f.template operator()<bf16>();
    fail("dtype {} is not supported here, wanted f64, f32 or bf16", name_of(dtype));
}

// A contiguous vector of n elements of type T, or null where absent.
template <class T> T* vector_of(const Tensor& t, int64_t n, const char* what) {
    if (!t) return nullptr;
    check_dtype(t, dtype_of<T>(), what);
    TNL_CHECK(t.size() == n && t.contiguous(), "{} has shape {}, wanted {} contiguous elements",
              what, t.shape_string(), n);
    return static_cast<T*>(t.data);
}

} // namespace tnl
