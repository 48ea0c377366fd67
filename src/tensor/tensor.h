// A tensor is a view: it owns nothing. Memory belongs to arenas (arena.h).
#pragma once

#include "tensor/dtype.h"

#include <array>
#include <initializer_list>
#include <string>

namespace tnl {

struct Tensor {
    static constexpr int kMaxRank = 4;

    void* data = nullptr;
    DType dtype = DType::f32;
    int rank = 0;
    std::array<int64_t, kMaxRank> shape{};
    std::array<int64_t, kMaxRank> stride{}; // in elements

    Tensor() = default;
    // A contiguous view, row major.
    Tensor(void* data, DType dtype, std::initializer_list<int64_t> dims);
    Tensor(void* data, DType dtype, const int64_t* dims, int rank);

    explicit operator bool() const { return data != nullptr; }
    int64_t size() const; // number of elements
    int64_t bytes() const { return size() * size_of(dtype); }
    bool contiguous() const;

    // The shape as R numbers; throws naming `what` if the rank differs.
    template <int R> std::array<int64_t, R> dims(const char* what = "tensor") const {
        TNL_CHECK(rank == R, "{} has shape {}, wanted rank {}", what, shape_string(), R);
        std::array<int64_t, R> out{};
        for (int i = 0; i < R; ++i) out[static_cast<size_t>(i)] = shape[static_cast<size_t>(i)];
        return out;
    }
    bool is(std::initializer_list<int64_t> dims) const;
    std::string shape_string() const; // "[2, 300, 64]"

    int64_t cols() const { return shape[static_cast<size_t>(rank - 1)]; }
    int64_t rows() const { return cols() == 0 ? 0 : size() / cols(); }

    // Elements [begin, end) of dimension `dim`.
    Tensor slice(int dim, int64_t begin, int64_t end) const;
    // Same memory, other shape; the tensor must be contiguous and the sizes equal.
    Tensor reshape(std::initializer_list<int64_t> dims) const;
    // [.., a*b] -> [.., a, b]; keeps the strides of the leading dimensions.
    Tensor split_last(int64_t a, int64_t b) const;
    // [a*b, ..] -> [a, b, ..]; keeps the strides of the trailing dimensions.
    Tensor split_first(int64_t a, int64_t b) const;
    // A 2-D view [rows, cols] of a tensor whose leading dimensions are jointly contiguous.
    Tensor matrix() const;
    int64_t row_stride() const { return stride[static_cast<size_t>(rank - 2)]; }

    template <class T> T* as() const {
        TNL_CHECK(dtype == dtype_of<T>(), "tensor is {}, wanted {}", name_of(dtype),
                  name_of(dtype_of<T>()));
        return static_cast<T*>(data);
    }
};

} // namespace tnl
