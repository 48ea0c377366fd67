// How the tensors of one elementwise GPU call are walked: as rows of columns, merged into as few
// and as long rows as the strides of all of them allow. Plain host code.
#pragma once

#include "tensor/tensor.h"

#include <initializer_list>

namespace tnl {

class Layout {
  public:
    // Tensors of one shape, rank 1 to 3, unit last stride; those without data are passed over.
    // keep_last: a row is exactly the last dimension (for operations that reduce over it).
    explicit Layout(std::initializer_list<const Tensor*> tensors, bool keep_last = false);

    int64_t rows() const { return rows_; }
    int64_t cols() const { return cols_; }
    // Row r lies at (r / inner) * outer stride + (r % inner) * inner stride.
    int64_t inner() const { return inner_; }
    struct Strides {
        int64_t outer = 0, inner = 0;
    };
    Strides strides_of(const Tensor& x) const;
    // True if V columns of every tensor may move as aligned packs of up to 16 bytes.
    bool packs_of(int V) const;

  private:
    int64_t rows_ = 0, cols_ = 0, inner_ = 1;
    bool flat_ = false; // one row holds all
    const Tensor* tensors_[6] = {};
    int count_ = 0;
};

} // namespace tnl
