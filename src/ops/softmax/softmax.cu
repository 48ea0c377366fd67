// Softmax attention in tiles of 16 queries and 16 keys, one block of 16 x 16 threads for a tile of
// either; sums go in the order of the tokens. Tokens are numbered through the batch, 0 to N - 1,
// and a query sees the keys from its sequence's first token to itself, wherever tiles begin.
#include "ops/rows.cuh"
#include "ops/softmax/softmax_cuda.h"

#include <cmath>

namespace tnl {
namespace {

constexpr int kTile = 16;
constexpr int kThreads = kTile * kTile;

template <class T> struct Heads { // [B,T,heads,D]
    T* data = nullptr;
    int64_t batch = 0, token = 0, head = 0, T_ = 1; // strides; tokens of a row
    __device__ T* at(int64_t n, int64_t h) const {
        return data + n / T_ * batch + n % T_ * token + h * head;
    }
};
template <class T> Heads<DeviceType<T>> heads_of(const Tensor& x) {
    return {device_data<T>(x), x.stride[0], x.stride[1], x.stride[2], x.shape[1]};
}

struct Sequences {
    const int32_t* offsets; // [count + 1], or null: all of length T
    int64_t count, T, N;
    // The sequence of token n: where it begins and ends.
    __device__ int64_t find(int64_t n) const {
        int64_t low = 0, high = count; // offsets[low] <= n < offsets[high]
        while (high - low > 1) {
            const int64_t middle = (low + high) / 2;
            (offsets[middle] <= n ? low : high) = middle;
        }
        return low;
    }
    __device__ int64_t begin(int64_t n) const { return offsets ? offsets[find(n)] : n - n % T; }
    __device__ int64_t end(int64_t n) const {
        return offsets ? offsets[find(n) + 1] : n - n % T + T;
    }
};

template <class T> struct Forward {
    Heads<T> o, q, k, v;
    AccOf<T>* lse; // [N,H]
    Sequences sequences;
    int H, group, D;
    AccOf<T> scale;
};

template <class T> struct Backward {
    Heads<T> dq, dk, dv, q, k, v, o, dout;
    const AccOf<T>* lse;
    Sequences sequences;
    int H, group, D;
    AccOf<T> scale;
};

// Rows [first, first + kTile) of one head as [kTile][D + 1]; zeros at N and beyond.
template <class A, class T>
__device__ void load_tile(A* to, const Heads<T>& from, int64_t first, int64_t head, int64_t N,
                          int D) {
    for (int at = static_cast<int>(threadIdx.x); at < kTile * D; at += kThreads) {
        const int row = at / D, d = at - row * D;
        to[row * (D + 1) + d] =
            first + row < N ? static_cast<A>(to_acc(from.at(first + row, head)[d])) : A{0};
    }
}
template <class A> __device__ A dot(const A* a, const A* b, int D) {
    A sum = 0;
    for (int d = 0; d < D; ++d) sum += a[d] * b[d];
    return sum;
}
// Over the sixteen threads of a row of the tile.
template <class A> __device__ A row_sum(A x) {
    for (int offset = kTile / 2; offset > 0; offset /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, offset, kTile);
    return x;
}
template <class A> __device__ A row_max(A x) {
    for (int offset = kTile / 2; offset > 0; offset /= 2) {
        const A other = __shfl_xor_sync(0xffffffffu, x, offset, kTile);
        x = other > x ? other : x;
    }
    return x;
}

template <class A> __device__ A* shared_memory() {
    extern __shared__ __align__(16) unsigned char memory[];
    return reinterpret_cast<A*>(memory);
}

template <class T> __global__ void __launch_bounds__(kThreads) forward_kernel(Forward<T> p) {
    using A = AccOf<T>;
    const int size = kTile * (p.D + 1);
    A *q = shared_memory<A>(), *k = q + size, *v = k + size, *out = v + size, *s = out + size;
    const int64_t first = int64_t{blockIdx.x} * kTile, N = p.sequences.N;
    const int h = static_cast<int>(blockIdx.y), kv = h / p.group;
    const int i = static_cast<int>(threadIdx.x) / kTile, j = static_cast<int>(threadIdx.x) % kTile;
    const int64_t query = first + i < N ? first + i : N - 1, last = min(first + kTile, N);
    const int64_t begin = p.sequences.begin(query);
    load_tile(q, p.q, first, h, N, p.D);
    for (int d = j; d < p.D; d += kTile) out[i * (p.D + 1) + d] = 0;
    A max = static_cast<A>(-INFINITY), total = 0;
    for (int64_t keys = p.sequences.begin(first); keys < last; keys += kTile) {
        __syncthreads();
        load_tile(k, p.k, keys, kv, N, p.D);
        load_tile(v, p.v, keys, kv, N, p.D);
        __syncthreads();
        const bool seen = keys + j >= begin && keys + j <= query;
        const A score = seen ? p.scale * dot(q + i * (p.D + 1), k + j * (p.D + 1), p.D)
                             : static_cast<A>(-INFINITY);
        const A top = row_max(score), before = max;
        if (top > max) max = top;
        const A shrink = before == static_cast<A>(-INFINITY) ? A{0} : exp(before - max);
        const A e = seen ? exp(score - max) : A{0};
        total = total * shrink + row_sum(e);
        s[i * (kTile + 1) + j] = e;
        __syncwarp();
        for (int d = j; d < p.D; d += kTile) {
            A sum = out[i * (p.D + 1) + d] * shrink;
            for (int t = 0; t < kTile; ++t) sum += s[i * (kTile + 1) + t] * v[t * (p.D + 1) + d];
            out[i * (p.D + 1) + d] = sum;
        }
        __syncwarp();
    }
    if (first + i >= N) return;
    T* o = p.o.at(query, h);
    for (int d = j; d < p.D; d += kTile) o[d] = from_acc<T>(out[i * (p.D + 1) + d] / total);
    if (j == 0) p.lse[query * p.H + h] = max + log(total);
}

// P and dS of thread (i, j)'s query and key.
template <class A> struct Pair { A p, ds; };
template <class T, class A>
__device__ Pair<A> pair_of(const Backward<T>& p, bool seen, const A* q, const A* k, const A* v,
                           const A* dout, A lse, A delta) {
    if (!seen) return {0, 0};
    const A weight = exp(p.scale * dot(q, k, p.D) - lse);
    return {weight, p.scale * weight * (dot(dout, v, p.D) - delta)};
}

// sum over d of do_i o_i: thread (i, j) does every sixteenth d.
template <class T, class A>
__device__ A delta_of(const Backward<T>& p, const A* dout, int64_t query, int64_t h, int j) {
    const T* o = p.o.at(query, h);
    A sum = 0;
    for (int d = j; d < p.D; d += kTile) sum += dout[d] * static_cast<A>(to_acc(o[d]));
    return row_sum(sum);
}

template <class T> __global__ void __launch_bounds__(kThreads) query_kernel(Backward<T> p) {
    using A = AccOf<T>;
    const int width = p.D + 1, size = kTile * width;
    A *q = shared_memory<A>(), *k = q + size, *v = k + size, *dout = v + size, *dq = dout + size;
    A* ds = dq + size;
    const int64_t first = int64_t{blockIdx.x} * kTile, N = p.sequences.N;
    const int h = static_cast<int>(blockIdx.y), kv = h / p.group;
    const int i = static_cast<int>(threadIdx.x) / kTile, j = static_cast<int>(threadIdx.x) % kTile;
    const int64_t query = first + i < N ? first + i : N - 1, last = min(first + kTile, N);
    const int64_t begin = p.sequences.begin(query);
    load_tile(q, p.q, first, h, N, p.D);
    load_tile(dout, p.dout, first, h, N, p.D);
    for (int d = j; d < p.D; d += kTile) dq[i * width + d] = 0;
    __syncthreads();
    const A delta = delta_of(p, dout + i * width, query, h, j), lse = p.lse[query * p.H + h];
    for (int64_t keys = p.sequences.begin(first); keys < last; keys += kTile) {
        __syncthreads();
        load_tile(k, p.k, keys, kv, N, p.D);
        load_tile(v, p.v, keys, kv, N, p.D);
        __syncthreads();
        const bool seen = keys + j >= begin && keys + j <= query;
        ds[i * (kTile + 1) + j] = pair_of(p, seen, q + i * width, k + j * width, v + j * width,
                                          dout + i * width, lse, delta)
                                      .ds;
        __syncwarp();
        for (int d = j; d < p.D; d += kTile) {
            A sum = dq[i * width + d];
            for (int t = 0; t < kTile; ++t) sum += ds[i * (kTile + 1) + t] * k[t * width + d];
            dq[i * width + d] = sum;
        }
        __syncwarp();
    }
    if (first + i >= N) return;
    T* to = p.dq.at(query, h);
    for (int d = j; d < p.D; d += kTile) to[d] = from_acc<T>(dq[i * width + d]);
}

// One block a tile of keys: all queries that see any of them, of every head that reads this one.
template <class T> __global__ void __launch_bounds__(kThreads) key_kernel(Backward<T> p) {
    using A = AccOf<T>;
    const int width = p.D + 1, size = kTile * width;
    A *q = shared_memory<A>(), *k = q + size, *v = k + size, *dout = v + size, *dk = dout + size;
    A *dv = dk + size, *weight = dv + size, *ds = weight + kTile * (kTile + 1);
    const int64_t first = int64_t{blockIdx.x} * kTile, N = p.sequences.N;
    const int kv = static_cast<int>(blockIdx.y);
    const int i = static_cast<int>(threadIdx.x) / kTile, j = static_cast<int>(threadIdx.x) % kTile;
    const int64_t key = first + j, last = min(first + kTile, N) - 1;
    const int64_t end = p.sequences.end(last);
    load_tile(k, p.k, first, kv, N, p.D);
    load_tile(v, p.v, first, kv, N, p.D);
    for (int d = j; d < p.D; d += kTile) dk[i * width + d] = dv[i * width + d] = 0;
    for (int h = kv * p.group; h < (kv + 1) * p.group; ++h)
        for (int64_t queries = first; queries < end; queries += kTile) {
            __syncthreads();
            load_tile(q, p.q, queries, h, N, p.D);
            load_tile(dout, p.dout, queries, h, N, p.D);
            __syncthreads();
            const int64_t query = queries + i < N ? queries + i : N - 1;
            const A delta = delta_of(p, dout + i * width, query, h, j);
            const bool seen = queries + i < N && key >= p.sequences.begin(query) && key <= query;
            const Pair<A> pair = pair_of(p, seen, q + i * width, k + j * width, v + j * width,
                                         dout + i * width, p.lse[query * p.H + h], delta);
            weight[i * (kTile + 1) + j] = pair.p;
            ds[i * (kTile + 1) + j] = pair.ds;
            __syncthreads();
            // Now row i of the block is key first + i.
            for (int d = j; d < p.D; d += kTile) {
                A sum_k = dk[i * width + d], sum_v = dv[i * width + d];
                for (int t = 0; t < kTile; ++t) {
                    sum_k += ds[t * (kTile + 1) + i] * q[t * width + d];
                    sum_v += weight[t * (kTile + 1) + i] * dout[t * width + d];
                }
                dk[i * width + d] = sum_k;
                dv[i * width + d] = sum_v;
            }
        }
    if (first + i >= N) return;
    T *to_k = p.dk.at(first + i, kv), *to_v = p.dv.at(first + i, kv);
    for (int d = j; d < p.D; d += kTile) {
        to_k[d] = from_acc<T>(dk[i * width + d]);
        to_v[d] = from_acc<T>(dv[i * width + d]);
    }
}

template <class A> size_t bytes_of(int64_t D, int tiles, int scores) {
    return static_cast<size_t>(tiles * kTile * (D + 1) + scores * kTile * (kTile + 1)) * sizeof(A);
}

Sequences sequences_of(const SoftmaxShape& shape, const int32_t* offsets) {
    return {offsets, shape.sequences, shape.T, shape.B * shape.T};
}

void check_width(const SoftmaxShape& shape) {
    TNL_CHECK(shape.D <= kSoftmaxPlainWidth,
              "softmax attention: heads of {}, wanted at most {} for these kernels", shape.D,
              kSoftmaxPlainWidth);
}

} // namespace

void softmax_forward_plain(const CudaStream& stream, const SoftmaxForward& call,
                           const SoftmaxShape& shape, const int32_t* offsets) {
    check_width(shape);
    const dim3 grid(blocks_for(shape.B * shape.T, kTile), static_cast<unsigned>(shape.H));
    dispatch_float(shape.dtype, [&]<class T>() {
        using V = DeviceType<T>;
        const Forward<V> p{heads_of<T>(call.o),
                           heads_of<T>(call.q),
                           heads_of<T>(call.k),
                           heads_of<T>(call.v),
                           device_data<Accumulator<T>>(call.lse),
                           sequences_of(shape, offsets),
                           static_cast<int>(shape.H),
                           static_cast<int>(shape.H / shape.K),
                           static_cast<int>(shape.D),
                           static_cast<AccOf<V>>(call.scale)};
        launch(stream, forward_kernel<V>, grid, dim3(kThreads), bytes_of<AccOf<V>>(shape.D, 4, 1),
               p);
    });
}

void softmax_backward_plain(const CudaStream& stream, const SoftmaxBackward& call,
                            const SoftmaxShape& shape, const int32_t* offsets) {
    check_width(shape);
    const unsigned tiles = blocks_for(shape.B * shape.T, kTile);
    dispatch_float(shape.dtype, [&]<class T>() {
        using V = DeviceType<T>;
        const Backward<V> p{heads_of<T>(call.dq),
                            heads_of<T>(call.dk),
                            heads_of<T>(call.dv),
                            heads_of<T>(call.q),
                            heads_of<T>(call.k),
                            heads_of<T>(call.v),
                            heads_of<T>(call.o),
                            heads_of<T>(call.dout),
                            device_data<Accumulator<T>>(call.lse),
                            sequences_of(shape, offsets),
                            static_cast<int>(shape.H),
                            static_cast<int>(shape.H / shape.K),
                            static_cast<int>(shape.D),
                            static_cast<AccOf<V>>(call.scale)};
        launch(stream, query_kernel<V>, dim3(tiles, static_cast<unsigned>(shape.H)), dim3(kThreads),
               bytes_of<AccOf<V>>(shape.D, 5, 1), p);
        launch(stream, key_kernel<V>, dim3(tiles, static_cast<unsigned>(shape.K)), dim3(kThreads),
               bytes_of<AccOf<V>>(shape.D, 6, 2), p);
    });
}

} // namespace tnl
