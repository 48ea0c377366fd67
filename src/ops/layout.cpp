#include "ops/layout.h"

namespace tnl {
namespace {

size_t at(int i) { return static_cast<size_t>(i); }

bool same_shape(const Tensor& a, const Tensor& b) {
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; ++i)
        if (a.shape[at(i)] != b.shape[at(i)]) return false;
    return true;
}

// The last two dimensions lie one after the other.
bool mergeable(const Tensor& x) {
    return x.shape[at(x.rank - 2)] == 1 || x.stride[at(x.rank - 2)] == x.cols();
}

} // namespace

Layout::Layout(std::initializer_list<const Tensor*> tensors, bool keep_last) {
    const Tensor& first = **tensors.begin();
    TNL_CHECK(first.rank >= 1 && first.rank <= 3, "a tensor of shape {}, wanted rank 1 to 3",
              first.shape_string());
    TNL_CHECK(tensors.size() <= 6, "{} tensors in one layout", tensors.size());
    bool flat = !keep_last, merged = !keep_last && first.rank == 3;
    for (const Tensor* x : tensors) {
        if (!x->data) continue;
        TNL_CHECK(same_shape(first, *x), "tensors of shapes {} and {}, wanted equal ones",
                  first.shape_string(), x->shape_string());
        TNL_CHECK(x->cols() <= 1 || x->stride[at(x->rank - 1)] == 1,
                  "a tensor of shape {} has a last stride of {}, wanted 1", x->shape_string(),
                  x->stride[at(x->rank - 1)]);
        flat = flat && x->contiguous();
        merged = merged && mergeable(*x);
        tensors_[count_++] = x;
    }
    const int64_t size = first.size();
    flat_ = flat || first.rank == 1;
    if (flat_) {
        rows_ = size == 0 ? 0 : 1;
        cols_ = size;
        return;
    }
    cols_ = merged ? first.shape[1] * first.shape[2] : first.cols();
    rows_ = cols_ == 0 ? 0 : size / cols_;
    inner_ = first.rank == 3 && !merged ? first.shape[1] : 1;
}

Layout::Strides Layout::strides_of(const Tensor& x) const {
    if (flat_) return {};
    return {x.stride[0], inner_ > 1 ? x.stride[1] : 0};
}

bool Layout::packs_of(int V) const {
    if (cols_ % V != 0) return false;
    for (int i = 0; i < count_; ++i) {
        const Tensor& x = *tensors_[i];
        const int64_t size = size_of(x.dtype), align = size * V < 16 ? size * V : 16;
        const Strides s = strides_of(x);
        if (reinterpret_cast<uintptr_t>(x.data) % static_cast<uintptr_t>(align) != 0 ||
            s.outer * size % align != 0 || s.inner * size % align != 0)
            return false;
    }
    return true;
}

} // namespace tnl
