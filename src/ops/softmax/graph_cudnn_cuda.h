// Graphs of operations for cuDNN's backend, and the plans that it makes of them. Tensors have four
// dimensions; one is known by its number, which is also its unique id.
#pragma once

#include "ops/softmax/library_cudnn_cuda.h"

#include <array>
#include <initializer_list>
#include <vector>

namespace tnl::cudnn {

using Four = std::array<int64_t, 4>;

// The strides of a contiguous tensor.
inline Four row_major(const Four& dims) {
    return {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
}

class Plan {
  public:
    Plan(Descriptor plan, int64_t workspace) : plan_(std::move(plan)), workspace_(workspace) {}
    int64_t workspace() const { return workspace_; } // bytes
    // ids and pointers of all tensors that are not virtual; by-value ones in host memory.
    void execute(cudnnHandle_t handle, const std::vector<int64_t>& ids,
                 const std::vector<void*>& pointers, void* workspace) const;

  private:
    Descriptor plan_;
    int64_t workspace_;
};

class Graph {
  public:
    enum class Kind { memory, virtual_, value };
    static constexpr int64_t kNone = -1;

    // offsets: of a packed tensor, the tensor of each sequence's first element.
    int64_t tensor(Kind kind, cudnnDataType_t type, const Four& dims, const Four& strides,
                   int64_t offsets = kNone);
    int64_t virtual_float(const Four& dims) {
        return tensor(Kind::virtual_, CUDNN_DATA_FLOAT, dims, row_major(dims));
    }
    int64_t scalar() { return tensor(Kind::value, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}); }

    // out = mode(a, b, t), element by element
    void pointwise(cudnnPointwiseMode_t mode, int64_t out, int64_t a, int64_t b = kNone,
                   int64_t t = kNone, cudnnDataType_t math = CUDNN_DATA_FLOAT);
    // out = the index along `axis`, for elements of the shape of a
    void index(int64_t out, int64_t a, int64_t axis, cudnnDataType_t math);
    void reduce(cudnnReduceTensorOp_t mode, int64_t out, int64_t a);
    void reshape(int64_t out, int64_t a);
    // c = a b; m, n, k: tensors of each sequence's true sizes
    void matmul(int64_t c, int64_t a, int64_t b, int64_t m = kNone, int64_t n = kNone,
                int64_t k = kNone);

    // Throws where cuDNN cannot compute the graph.
    Plan plan(cudnnHandle_t handle);

  private:
    const Descriptor& at(int64_t id) const { return tensors_[static_cast<size_t>(id)]; }
    std::vector<Descriptor> tensors_, operations_, parts_;
};

} // namespace tnl::cudnn
