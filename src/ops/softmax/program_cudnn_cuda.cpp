#include "ops/softmax/program_cudnn_cuda.h"

namespace tnl::cudnn {
namespace {

constexpr int64_t kNone = Graph::kNone;
using Kind = Graph::Kind;

// A graph under way.
class Builder {
  public:
    explicit Builder(const Key& key) : key_(key), scores_{key.B, key.H, key.T, key.T} {
        if (key.packed)
            ids_.lengths =
                graph_.tensor(Kind::memory, CUDNN_DATA_INT32, {key.B, 1, 1, 1}, {1, 1, 1, 1});
        ids_.scale = graph_.scalar();
        ids_.infinity = graph_.scalar();
    }

    Program forward(cudnnHandle_t handle) {
        ids_.q = heads(key_.q, key_.H, false);
        ids_.k = heads(key_.k, key_.K, true);
        ids_.v = heads(key_.v, key_.K, false);
        ids_.o = heads(key_.o, key_.H, false);
        ids_.stats = rows();
        const int64_t masked = causal(padded(scaled_scores()));
        const Four row{key_.B, key_.H, key_.T, 1};
        const int64_t max = graph_.virtual_float(row), sum = graph_.virtual_float(row);
        graph_.reduce(CUDNN_REDUCE_TENSOR_MAX, max, masked);
        const int64_t e =
            pointwise(CUDNN_POINTWISE_EXP, pointwise(CUDNN_POINTWISE_SUB, masked, max));
        graph_.reduce(CUDNN_REDUCE_TENSOR_ADD, sum, e);
        const int64_t log = graph_.virtual_float(row);
        graph_.pointwise(CUDNN_POINTWISE_LOG, log, sum);
        graph_.pointwise(CUDNN_POINTWISE_ADD, ids_.stats, max, log);
        const int64_t p = narrow(scores_, row_major(scores_));
        graph_.pointwise(CUDNN_POINTWISE_DIV, p, e, sum);
        graph_.matmul(ids_.o, p, ids_.v, ids_.lengths, kNone, ids_.lengths);
        return {ids_, graph_.plan(handle)};
    }

    Program backward(cudnnHandle_t handle) {
        ids_.q = heads(key_.q, key_.H, false);
        ids_.k = heads(key_.k, key_.K, true);
        ids_.v = heads(key_.v, key_.K, true);
        ids_.o = heads(key_.o, key_.H, false);
        ids_.dout = heads(key_.dout, key_.H, false);
        ids_.stats = rows();
        ids_.dq = heads(key_.dq, key_.H, false);
        ids_.dk = heads(key_.dk, key_.K, false);
        ids_.dv = heads(key_.dv, key_.K, false);
        ids_.one = graph_.scalar();
        output_products();
        // P = exp(S - L), dV = P^T dO
        const int64_t e =
            pointwise(CUDNN_POINTWISE_EXP,
                      causal(pointwise(CUDNN_POINTWISE_SUB, padded(scaled_scores()), ids_.stats)));
        transposed_product(ids_.dv, e, ids_.dout);
        // dS = scale P (dO V^T - sum), dK = dS^T Q
        const int64_t dp = graph_.virtual_float(scores_);
        graph_.matmul(dp, ids_.dout, ids_.v, ids_.lengths, ids_.lengths);
        const int64_t ds = pointwise(
            CUDNN_POINTWISE_MUL,
            pointwise(CUDNN_POINTWISE_MUL, pointwise(CUDNN_POINTWISE_SUB, dp, ids_.sum), e),
            ids_.scale);
        transposed_product(ids_.dk, ds, ids_.q);
        query_gradient(ds);
        return {ids_, graph_.plan(handle)};
    }

  private:
    int64_t pointwise(cudnnPointwiseMode_t mode, int64_t a, int64_t b = kNone) {
        const int64_t out = graph_.virtual_float(scores_);
        graph_.pointwise(mode, out, a, b);
        return out;
    }
    int64_t narrow(const Four& dims, const Four& strides, int64_t offsets = kNone) {
        return graph_.tensor(Kind::virtual_, CUDNN_DATA_BFLOAT16, dims, strides, offsets);
    }
    // The tensor of where each sequence begins, times `multiple`, for packed sequences.
    int64_t offsets(int64_t multiple) {
        if (!key_.packed) return kNone;
        for (const auto& [known, id] : ids_.offsets)
            if (known == multiple) return id;
        const int64_t id =
            graph_.tensor(Kind::memory, CUDNN_DATA_INT64, {key_.B + 1, 1, 1, 1}, {1, 1, 1, 1});
        ids_.offsets.emplace_back(multiple, id);
        return id;
    }
    // [B,heads,T,D], or its last two dimensions exchanged.
    int64_t heads(const Strides& s, int64_t count, bool transposed) {
        Four dims{key_.B, count, key_.T, key_.D}, strides{s.batch, s.head, s.token, 1};
        if (transposed) {
            std::swap(dims[2], dims[3]);
            std::swap(strides[2], strides[3]);
        }
        return graph_.tensor(Kind::memory, CUDNN_DATA_BFLOAT16, dims, strides, offsets(s.token));
    }
    // A number for each query, [B,H,T,1] f32.
    int64_t rows() {
        const Four dims{key_.B, key_.H, key_.T, 1};
        const Four packed{key_.T * key_.H, 1, key_.H, 1};
        return graph_.tensor(Kind::memory, CUDNN_DATA_FLOAT, dims,
                             key_.packed ? packed : row_major(dims), offsets(key_.H));
    }

    int64_t scaled_scores() {
        const int64_t s = graph_.virtual_float(scores_);
        graph_.matmul(s, ids_.q, ids_.k, ids_.lengths, ids_.lengths);
        return pointwise(CUDNN_POINTWISE_MUL, s, ids_.scale);
    }
    int64_t integers() {
        return graph_.tensor(Kind::virtual_, CUDNN_DATA_INT32, scores_, row_major(scores_));
    }
    int64_t compared(cudnnPointwiseMode_t mode, int64_t a, int64_t b) {
        const int64_t out =
            graph_.tensor(Kind::virtual_, CUDNN_DATA_BOOLEAN, scores_, row_major(scores_));
        graph_.pointwise(mode, out, a, b, kNone, CUDNN_DATA_BOOLEAN);
        return out;
    }
    // x where `seen`, else minus infinity
    int64_t where(int64_t seen, int64_t x) {
        const int64_t out = graph_.virtual_float(scores_);
        graph_.pointwise(CUDNN_POINTWISE_BINARY_SELECT, out, x, ids_.infinity, seen);
        return out;
    }
    int64_t padded(int64_t x) {
        if (!key_.packed) return x;
        const int64_t row = integers(), column = integers();
        graph_.index(row, x, 2, CUDNN_DATA_INT32);
        graph_.index(column, x, 3, CUDNN_DATA_INT32);
        const int64_t in_rows = compared(CUDNN_POINTWISE_CMP_LT, row, ids_.lengths);
        const int64_t in_columns = compared(CUDNN_POINTWISE_CMP_LT, column, ids_.lengths);
        return where(compared(CUDNN_POINTWISE_LOGICAL_AND, in_rows, in_columns), x);
    }
    int64_t causal(int64_t x) {
        const int64_t row = integers(), column = integers();
        graph_.index(row, x, 2, CUDNN_DATA_FLOAT);
        graph_.index(column, x, 3, CUDNN_DATA_FLOAT);
        return where(compared(CUDNN_POINTWISE_CMP_GE, row, column), x);
    }

    // sum_i = dO_i o_i, into memory
    void output_products() {
        const Four all{key_.B, key_.H, key_.T, key_.D}, row{key_.B, key_.H, key_.T, 1};
        const int64_t product =
            graph_.tensor(Kind::virtual_, CUDNN_DATA_FLOAT, all,
                          {key_.H * key_.T * key_.D, key_.T * key_.D, key_.H * key_.D, 1});
        graph_.pointwise(CUDNN_POINTWISE_MUL, product, ids_.dout, ids_.o);
        const int64_t sum = graph_.virtual_float(row);
        graph_.reduce(CUDNN_REDUCE_TENSOR_ADD, sum, product);
        ids_.sum = rows();
        graph_.pointwise(CUDNN_POINTWISE_MUL, ids_.sum, sum, ids_.one);
    }
    // out = x^T b, summed over the heads of q that share one of k and v
    void transposed_product(int64_t out, int64_t x, int64_t b) {
        const int64_t T = key_.T;
        const int64_t turned = narrow(scores_, {key_.H * T * T, T * T, 1, T});
        graph_.reshape(turned, x);
        if (key_.H == key_.K)
            return graph_.matmul(out, turned, b, ids_.lengths, kNone, ids_.lengths);
        const Four all{key_.B, key_.H, T, key_.D};
        const int64_t each = narrow(all, row_major(all));
        graph_.matmul(each, turned, b, ids_.lengths, kNone, ids_.lengths);
        graph_.reduce(CUDNN_REDUCE_TENSOR_ADD, out, each);
    }
    // dQ = dS K
    void query_gradient(int64_t ds) {
        const Strides& s = key_.k;
        const int64_t k =
            graph_.tensor(Kind::virtual_, CUDNN_DATA_FLOAT, {key_.B, key_.K, key_.T, key_.D},
                          {s.batch, s.head, s.token, 1}, offsets(s.token));
        graph_.reshape(k, ids_.k);
        if (key_.repeatable)
            return graph_.matmul(ids_.dq, ds, k, ids_.lengths, kNone, ids_.lengths);
        const Four dims{key_.B, key_.H, key_.T, key_.D};
        const Strides& q = key_.dq;
        ids_.dq_sum = key_.packed
                          ? graph_.tensor(Kind::memory, CUDNN_DATA_FLOAT, dims,
                                          {q.batch, q.head, q.token, 1}, offsets(q.token))
                          : graph_.tensor(Kind::memory, CUDNN_DATA_FLOAT, dims, row_major(dims));
        graph_.matmul(ids_.dq_sum, ds, k, ids_.lengths, kNone, ids_.lengths);
        graph_.pointwise(CUDNN_POINTWISE_IDENTITY, ids_.dq, ids_.dq_sum);
    }

    const Key& key_;
    Four scores_;
    Graph graph_;
    Ids ids_;
};

} // namespace

Program make_program(const Key& key, cudnnHandle_t handle) {
    Builder builder(key);
    return key.backward ? builder.backward(handle) : builder.forward(handle);
}

} // namespace tnl::cudnn
