#include "ops/softmax/graph_cudnn_cuda.h"

#include <algorithm>

namespace tnl::cudnn {

void Plan::execute(cudnnHandle_t handle, const std::vector<int64_t>& ids,
                   const std::vector<void*>& pointers, void* workspace) const {
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers)
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
        .finalize("a variant pack");
    check(library()->execute(handle, plan_.raw(), pack.raw()), "cudnnBackendExecute");
}

int64_t Graph::tensor(Kind kind, cudnnDataType_t type, const Four& dims, const Four& strides,
                      int64_t offsets) {
    const auto id = static_cast<int64_t>(tensors_.size());
    Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
        .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::vector<int64_t>(dims.begin(), dims.end()))
        .set(CUDNN_ATTR_TENSOR_STRIDES, std::vector<int64_t>(strides.begin(), strides.end()))
        .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16})
        .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, kind == Kind::virtual_)
        .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, kind == Kind::value);
    if (offsets != kNone) t.set(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, at(offsets));
    t.finalize("a tensor");
    tensors_.push_back(std::move(t));
    return id;
}

void Graph::pointwise(cudnnPointwiseMode_t mode, int64_t out, int64_t a, int64_t b, int64_t t,
                      cudnnDataType_t math) {
    Descriptor part(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    part.set(CUDNN_ATTR_POINTWISE_MODE, mode)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, math)
        .finalize("a pointwise operation");
    Descriptor op(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, part)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(a))
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(out));
    if (b != kNone) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, at(b));
    if (t != kNone) op.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, at(t));
    operations_.push_back(std::move(op.finalize("a pointwise operation")));
    parts_.push_back(std::move(part));
}

void Graph::index(int64_t out, int64_t a, int64_t axis, cudnnDataType_t math) {
    Descriptor part(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    part.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_GEN_INDEX)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, math)
        .set(CUDNN_ATTR_POINTWISE_AXIS, axis)
        .finalize("an index");
    Descriptor op(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, part)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(a))
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(out))
        .finalize("an index");
    operations_.push_back(std::move(op));
    parts_.push_back(std::move(part));
}

void Graph::reduce(cudnnReduceTensorOp_t mode, int64_t out, int64_t a) {
    Descriptor part(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    part.set(CUDNN_ATTR_REDUCTION_OPERATOR, mode)
        .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT)
        .finalize("a reduction");
    Descriptor op(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, part)
        .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(a))
        .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(out))
        .finalize("a reduction");
    operations_.push_back(std::move(op));
    parts_.push_back(std::move(part));
}

void Graph::reshape(int64_t out, int64_t a) {
    Descriptor op(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(a))
        .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(out))
        .finalize("a reshape");
    operations_.push_back(std::move(op));
}

void Graph::matmul(int64_t c, int64_t a, int64_t b, int64_t m, int64_t n, int64_t k) {
    Descriptor part(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    part.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finalize("a product");
    Descriptor op(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, part)
        .set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(a))
        .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(b))
        .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(c));
    if (m != kNone) op.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, at(m));
    if (n != kNone) op.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, at(n));
    if (k != kNone) op.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, at(k));
    operations_.push_back(std::move(op.finalize("a product")));
    parts_.push_back(std::move(part));
}

Plan Graph::plan(cudnnHandle_t handle) {
    std::vector<cudnnBackendDescriptor_t> operations;
    for (const Descriptor& op : operations_) operations.push_back(op.raw());
    Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle)
        .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
             static_cast<int64_t>(operations.size()), operations.data())
        .finalize("a graph");
    Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A)
        .finalize("the choice of an engine");
    constexpr int64_t kMost = 8;
    std::vector<Descriptor> configs;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (int64_t i = 0; i < kMost; ++i)
        raw.push_back(configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw());
    int64_t count = 0;
    check(library()->get_attribute(heuristic.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, kMost, &count, raw.data()),
          "the choice of an engine");
    for (size_t i = 0; i < static_cast<size_t>(std::min(count, kMost)); ++i) {
        Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle)
            .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configs[i]);
        if (!plan.try_finalize()) continue;
        int64_t workspace = 0, got = 0;
        check(library()->get_attribute(plan.raw(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                       CUDNN_TYPE_INT64, 1, &got, &workspace),
              "a plan's workspace");
        return {std::move(plan), workspace};
    }
    char words[1024] = "";
    library()->last_error(words, sizeof(words));
    throw DeviceError(
        fmt::format("cuDNN: none of {} engines computes this attention: {}", count, words));
}

} // namespace tnl::cudnn
