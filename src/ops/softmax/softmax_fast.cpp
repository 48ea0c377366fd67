// Every item (a block of queries of one head, or of keys) is one thread's from beginning to end, so
// that no result depends on who computed it. Numbers are f32 from the tensors on.
#include "ops/gemm/gemm.h"
#include "ops/rows.h"
#include "ops/simd/simd.h"
#include "ops/softmax/softmax.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

namespace tnl::fast {
namespace {

constexpr int64_t kQueries = 64, kKeys = 256; // of a block of scores

// Tokens [begin, end) of one sequence.
struct Span {
    SoftmaxSequence sequence;
    int64_t begin = 0, end = 0;
    int64_t size() const { return end - begin; }
};

struct Item {
    Span span;
    int64_t head = 0;
};
// Blocks of `size` tokens of every sequence and head.
std::vector<Item> items_of(const SoftmaxShape& shape, const Tensor& cu_seqlens, int64_t heads,
                           int64_t size) {
    std::vector<Item> out;
    for (int64_t i = 0; i < shape.sequences; ++i) {
        const SoftmaxSequence s = sequence_of(shape, cu_seqlens, i);
        for (int64_t begin = 0; begin < s.length; begin += size)
            for (int64_t h = 0; h < heads; ++h)
                out.push_back({{s, begin, std::min(begin + size, s.length)}, h});
    }
    return out;
}

template <class F> void for_items(Stream& stream, const std::vector<Item>& items, F&& f) {
    std::atomic<size_t> next{0};
    stream.threads->run([&](int) {
        for (size_t i = next++; i < items.size(); i = next++) f(items[i]);
    });
}

template <class T> T* row(const Tensor& t, const SoftmaxSequence& s, int64_t token, int64_t head) {
    return t.as<T>() + s.row * t.stride[0] + (s.begin + token) * t.stride[1] + head * t.stride[2];
}
float& lse_at(const Tensor& lse, const SoftmaxSequence& s, int64_t token, int64_t head) {
    return lse.as<float>()[s.row * lse.stride[0] + (s.begin + token) * lse.stride[1] + head];
}

void convert(float* to, const float* from, int64_t n) { std::copy_n(from, n, to); }
void convert(float* to, const bf16* from, int64_t n) { simd().widen(to, from, n); }
void convert(bf16* to, const float* from, int64_t n) { simd().narrow(to, from, n); }

template <class T> void load(float* to, const Tensor& t, const Span& s, int64_t head, int64_t D) {
    for (int64_t i = 0; i < s.size(); ++i)
        convert(to + i * D, row<T>(t, s.sequence, s.begin + i, head), D);
}
template <class T>
void store(const Tensor& t, const Span& s, int64_t head, int64_t D, const float* from) {
    for (int64_t i = 0; i < s.size(); ++i)
        convert(row<T>(t, s.sequence, s.begin + i, head), from + i * D, D);
}

// c [M,N] (leading dimension N, as a's and b's are their widths) = op(a) op(b) + beta c
void multiply(float* c, const float* a, const float* b, int64_t M, int64_t N, int64_t K,
              bool transpose_a, bool transpose_b, float beta) {
    blas_gemm(GemmBlock<float, float>{M, N, K, a, b, c, transpose_a ? M : K, transpose_b ? K : N, N,
                                      transpose_a, transpose_b, 1, beta});
}

// Keys of a block that query i of the sequence sees, of those from `begin` to `end`.
int64_t seen(int64_t i, int64_t begin, int64_t end) {
    return std::clamp<int64_t>(i + 1 - begin, 0, end - begin);
}

template <class T>
void forward_item(const SoftmaxForward& call, const SoftmaxShape& shape, const Item& item) {
    const int64_t D = shape.D, kv = item.head / (shape.H / shape.K);
    const Span q = item.span;
    thread_local std::vector<float> memory;
    memory.resize(static_cast<size_t>((2 * kQueries + 2 * kKeys) * D + kQueries * (kKeys + 2)));
    float *queries = memory.data(), *out = queries + kQueries * D, *keys = out + kQueries * D;
    float *values = keys + kKeys * D, *scores = values + kKeys * D;
    float *max = scores + kQueries * kKeys, *sum = max + kQueries;
    load<T>(queries, call.q, q, item.head, D);
    std::fill_n(out, q.size() * D, 0.0f);
    std::fill_n(max, kQueries, -INFINITY);
    std::fill_n(sum, kQueries, 0.0f);
    for (int64_t begin = 0; begin < q.end; begin += kKeys) {
        const Span k{q.sequence, begin, std::min(begin + kKeys, q.end)};
        load<T>(keys, call.k, k, kv, D);
        load<T>(values, call.v, k, kv, D);
        multiply(scores, queries, keys, q.size(), k.size(), D, false, true, 0);
        for (int64_t i = 0; i < q.size(); ++i) {
            float* s = scores + i * k.size();
            const int64_t n = seen(q.begin + i, k.begin, k.end);
            std::fill(s + n, s + k.size(), 0.0f);
            if (n == 0) continue;
            const float shrink = simd().softmax_more(s, n, call.scale, max + i, sum + i);
            for (int64_t d = 0; d < D; ++d) out[i * D + d] *= shrink;
        }
        multiply(out, scores, values, q.size(), D, k.size(), false, false, 1);
    }
    for (int64_t i = 0; i < q.size(); ++i) {
        for (int64_t d = 0; d < D; ++d) out[i * D + d] /= sum[i];
        lse_at(call.lse, q.sequence, q.begin + i, item.head) = max[i] + std::log(sum[i]);
    }
    store<T>(call.o, q, item.head, D, out);
}

// What both halves of the backward read of a block of queries, and what they make of it and a block
// of keys: P and dS, [queries, keys].
template <class T> struct BackwardBlock {
    const SoftmaxBackward& call;
    int64_t D;
    std::vector<float> q, dout, lse, delta, keys, values, p, ds;

    BackwardBlock(const SoftmaxBackward& c, const SoftmaxShape& shape) : call(c), D(shape.D) {
        for (auto* rows : {&q, &dout}) rows->resize(static_cast<size_t>(kQueries * D));
        for (auto* rows : {&keys, &values}) rows->resize(static_cast<size_t>(kKeys * D));
        for (auto* scores : {&p, &ds}) scores->resize(static_cast<size_t>(kQueries * kKeys));
        lse.resize(kQueries);
        delta.resize(kQueries);
    }
    void load_queries(const Span& s, int64_t head) {
        load<T>(q.data(), call.o, s, head, D); // o, until delta is made of it
        load<T>(dout.data(), call.dout, s, head, D);
        for (int64_t i = 0; i < s.size(); ++i) {
            float dot = 0;
            for (int64_t d = i * D; d < (i + 1) * D; ++d)
                dot += q[static_cast<size_t>(d)] * dout[static_cast<size_t>(d)];
            delta[static_cast<size_t>(i)] = dot;
            lse[static_cast<size_t>(i)] = lse_at(call.lse, s.sequence, s.begin + i, head);
        }
        load<T>(q.data(), call.q, s, head, D);
    }
    void load_keys(const Span& s, int64_t kv) {
        load<T>(keys.data(), call.k, s, kv, D);
        load<T>(values.data(), call.v, s, kv, D);
    }
    void scores(const Span& queries, const Span& k) {
        const int64_t M = queries.size(), N = k.size();
        multiply(p.data(), q.data(), keys.data(), M, N, D, false, true, 0);
        multiply(ds.data(), dout.data(), values.data(), M, N, D, false, true, 0);
        for (int64_t i = 0; i < M; ++i) {
            float *row_p = p.data() + i * N, *row_ds = ds.data() + i * N;
            const int64_t n = seen(queries.begin + i, k.begin, k.end);
            const auto at = static_cast<size_t>(i);
            simd().softmax_exp(row_p, n, call.scale, lse[at]);
            simd().softmax_slope(row_ds, row_p, n, delta[at], call.scale);
            std::fill(row_p + n, row_p + N, 0.0f);
            std::fill(row_ds + n, row_ds + N, 0.0f);
        }
    }
};

template <class T>
void backward_queries(const SoftmaxBackward& call, const SoftmaxShape& shape, const Item& item) {
    const int64_t D = shape.D, kv = item.head / (shape.H / shape.K);
    const Span q = item.span;
    BackwardBlock<T> block(call, shape);
    std::vector<float> dq(static_cast<size_t>(kQueries * D));
    block.load_queries(q, item.head);
    for (int64_t begin = 0; begin < q.end; begin += kKeys) {
        const Span k{q.sequence, begin, std::min(begin + kKeys, q.end)};
        block.load_keys(k, kv);
        block.scores(q, k);
        multiply(dq.data(), block.ds.data(), block.keys.data(), q.size(), D, k.size(), false, false,
                 begin > 0 ? 1 : 0);
    }
    store<T>(call.dq, q, item.head, D, dq.data());
}

template <class T>
void backward_keys(const SoftmaxBackward& call, const SoftmaxShape& shape, const Item& item) {
    const int64_t D = shape.D, group = shape.H / shape.K, kv = item.head;
    const Span k = item.span;
    BackwardBlock<T> block(call, shape);
    std::vector<float> dk(static_cast<size_t>(kKeys * D)), dv = dk;
    block.load_keys(k, kv);
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h)
        for (int64_t begin = k.begin / kQueries * kQueries; begin < k.sequence.length;
             begin += kQueries) {
            const Span q{k.sequence, begin, std::min(begin + kQueries, k.sequence.length)};
            const Span some{k.sequence, k.begin, std::min(k.end, q.end)}; // that any of q sees
            block.load_queries(q, h);
            block.scores(q, some);
            multiply(dv.data(), block.p.data(), block.dout.data(), some.size(), D, q.size(), true,
                     false, 1);
            multiply(dk.data(), block.ds.data(), block.q.data(), some.size(), D, q.size(), true,
                     false, 1);
        }
    store<T>(call.dk, k, kv, D, dk.data());
    store<T>(call.dv, k, kv, D, dv.data());
}

} // namespace

void softmax_forward(Stream& stream, const SoftmaxForward& call) {
    const SoftmaxShape shape = check(call);
    if (shape.dtype == DType::f64) return oracle::softmax_forward(stream, call);
    dispatch_f32_bf16(shape.dtype, [&]<class T>() {
        for_items(stream, items_of(shape, call.cu_seqlens, shape.H, kQueries),
                  [&](const Item& item) { forward_item<T>(call, shape, item); });
    });
}

void softmax_backward(Stream& stream, const SoftmaxBackward& call) {
    const SoftmaxShape shape = check(call);
    if (shape.dtype == DType::f64) return oracle::softmax_backward(stream, call);
    dispatch_f32_bf16(shape.dtype, [&]<class T>() {
        for_items(stream, items_of(shape, call.cu_seqlens, shape.H, kQueries),
                  [&](const Item& item) { backward_queries<T>(call, shape, item); });
        for_items(stream, items_of(shape, call.cu_seqlens, shape.K, kKeys),
                  [&](const Item& item) { backward_keys<T>(call, shape, item); });
    });
}

} // namespace tnl::fast
