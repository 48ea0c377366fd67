#include "tensor/tensor.h"

#include <fmt/ranges.h>

namespace tnl {
namespace {

size_t at(int i) { return static_cast<size_t>(i); }

} // namespace

Tensor::Tensor(void* data_, DType dtype_, const int64_t* dims, int rank_)
    : data(data_), dtype(dtype_), rank(rank_) {
    TNL_CHECK(rank >= 0 && rank <= kMaxRank, "tensor of rank {}, wanted at most {}", rank,
              kMaxRank);
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
        shape[at(i)] = dims[i];
        stride[at(i)] = step;
        step *= dims[i];
    }
}

Tensor::Tensor(void* data_, DType dtype_, std::initializer_list<int64_t> dims)
    : Tensor(data_, dtype_, dims.begin(), static_cast<int>(dims.size())) {}

int64_t Tensor::size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[at(i)];
    return n;
}

bool Tensor::contiguous() const {
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
        if (shape[at(i)] != 1 && stride[at(i)] != step) return false;
        step *= shape[at(i)];
    }
    return true;
}

bool Tensor::is(std::initializer_list<int64_t> dims) const {
    if (static_cast<int>(dims.size()) != rank) return false;
    int i = 0;
    for (int64_t d : dims)
        if (shape[at(i++)] != d) return false;
    return true;
}

std::string Tensor::shape_string() const {
    return fmt::format("[{}]", fmt::join(shape.begin(), shape.begin() + rank, ", "));
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end) const {
    TNL_CHECK(dim >= 0 && dim < rank && begin >= 0 && begin <= end && end <= shape[at(dim)],
              "slice [{}, {}) of dimension {} of a tensor of shape {}", begin, end, dim,
              shape_string());
    Tensor out = *this;
    out.shape[at(dim)] = end - begin;
    out.data = data ? static_cast<char*>(data) + begin * stride[at(dim)] * size_of(dtype) : nullptr;
    return out;
}

Tensor Tensor::reshape(std::initializer_list<int64_t> dims) const {
    TNL_CHECK(contiguous(), "reshape of a tensor of shape {} that is not contiguous",
              shape_string());
    Tensor out(data, dtype, dims);
    TNL_CHECK(out.size() == size(), "reshape of {} to {}", shape_string(), out.shape_string());
    return out;
}

Tensor Tensor::split_last(int64_t a, int64_t b) const {
    TNL_CHECK(rank >= 1 && rank < kMaxRank && cols() == a * b,
              "split of the last dimension of {} into {} x {}", shape_string(), a, b);
    Tensor out = *this;
    out.rank = rank + 1;
    const int64_t step = stride[at(rank - 1)];
    out.shape[at(rank - 1)] = a;
    out.stride[at(rank - 1)] = b * step;
    out.shape[at(rank)] = b;
    out.stride[at(rank)] = step;
    return out;
}

Tensor Tensor::split_first(int64_t a, int64_t b) const {
    TNL_CHECK(rank >= 1 && rank < kMaxRank && shape[0] == a * b,
              "split of the first dimension of {} into {} x {}", shape_string(), a, b);
    Tensor out = *this;
    out.rank = rank + 1;
    for (int i = rank; i > 1; --i) {
        out.shape[at(i)] = shape[at(i - 1)];
        out.stride[at(i)] = stride[at(i - 1)];
    }
    out.shape[0] = a;
    out.stride[0] = b * stride[0];
    out.shape[1] = b;
    out.stride[1] = stride[0];
    return out;
}

Tensor Tensor::matrix() const {
    TNL_CHECK(rank >= 1, "a matrix view of a scalar");
    Tensor out = *this;
    out.rank = 2;
    out.shape = {rows(), cols(), 0, 0};
    out.stride = {rank == 1 ? cols() : stride[at(rank - 2)], stride[at(rank - 1)], 0, 0};
    for (int i = 0; i + 2 < rank; ++i)
        TNL_CHECK(shape[at(i)] == 1 || stride[at(i)] == shape[at(i + 1)] * stride[at(i + 1)],
                  "the rows of a tensor of shape {} are not evenly spaced", shape_string());
    return out;
}

} // namespace tnl
