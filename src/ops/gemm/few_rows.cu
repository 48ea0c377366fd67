#include "ops/gemm/few_rows.h"

#include "cuda/early.cuh"
#include "cuda/reduce.cuh"
#include "ops/act/act.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

constexpr int kWarps = FewRowsPlan::kWarps, kThreads = kWarps * kWarp;
constexpr int kAtOnce = 2; // packs of each row of a pair, asked for while as many are multiplied

// T is a device type; numbers as in ops/gemm/few_rows.h.
template <class T> struct Arguments {
    const T *a = nullptr, *b = nullptr, *g = nullptr;
    void* c = nullptr; // T, or float where wide
    int64_t lda = 0, ldb = 0, ldg = 0, ldc = 0;
    int M = 0, K = 0;
    int N = 0, pairs = 0; // rows of b
    int splits = 1, packs = 0, split_packs = 0;
    FewRows::Before before = FewRows::Before::nothing;
    FewRows::After after = FewRows::After::nothing;
    Activation gate_act = Activation::identity, act = Activation::identity;
    int acted = 0;
    float eps = 0;
    bool adds = false, wide = false;
};

// Where a warp is: the first pair of its block, and how many times it has asked for packs of it.
struct Place {
    int base, part;
};

template <class T, int V> struct Weights { Pack<T, V> w[2][kAtOnce]; };

template <class T, int V> struct Walker {
    const Arguments<T>& p;
    int step;            // pairs from one of this block's rounds to the next
    int own, begin, end; // this warp's pair of a round, and its packs
    int lane, parts;

    __device__ explicit Walker(const Arguments<T>& arguments) : p(arguments) {
        const int warp = static_cast<int>(threadIdx.x) / kWarp, per_block = kWarps / p.splits;
        lane = static_cast<int>(threadIdx.x) % kWarp;
        step = static_cast<int>(gridDim.x) * per_block;
        own = warp / p.splits;
        begin = warp % p.splits * p.split_packs;
        end = min(begin + p.split_packs, p.packs);
        parts = (p.split_packs + kWarp * kAtOnce - 1) / (kWarp * kAtOnce);
    }
    __device__ Place first() const {
        return {static_cast<int>(blockIdx.x) * (kWarps / p.splits), 0};
    }
    __device__ Place after(Place at) const {
        return at.part + 1 < parts ? Place{at.base, at.part + 1} : Place{at.base + step, 0};
    }
    // Row of b: the r-th of a pair.
    __device__ int row(int pair, int r) const {
        return p.after == FewRows::After::gate ? pair + r * p.pairs : 2 * pair + r;
    }
    __device__ int pack(int part, int u) const {
        return begin + (part * kAtOnce + u) * kWarp + lane;
    }
    __device__ void load(Weights<T, V>& out, Place at) const {
        const int pair = at.base + own;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int n = row(pair, r);
            const T* from = p.b + n * p.ldb;
#pragma unroll
            for (int u = 0; u < kAtOnce; ++u) {
                const int k = pack(at.part, u);
                if (pair < p.pairs && n < p.N && k < end)
                    out.w[r][u] = load_early<V>(from + int64_t{k} * V);
                else
                    out.w[r][u] = {};
            }
        }
    }
};

// before(a) into shared memory, by all threads. Warps share out the rows; a thread reads again only
// what it wrote itself until all are done.
template <class T, int V, int kRows> __device__ void prepare(const Arguments<T>& p, T* rows) {
    constexpr int kPerRow = kWarps / kRows; // warps
    __shared__ float squares[kWarps];
    const int warp = static_cast<int>(threadIdx.x) / kWarp,
              lane = static_cast<int>(threadIdx.x) % kWarp;
    const int m = warp / kPerRow, first = warp % kPerRow * kWarp + lane;
    const bool mine = m < p.M;
    T* out = rows + m * p.K;
    float square = 0;
    if (mine)
        for (int k = first; k < p.packs; k += kPerRow * kWarp) {
            const auto x = load_pack<V>(p.a + m * p.lda + int64_t{k} * V);
            for (int i = 0; i < V; ++i) square += to_acc(x.x[i]) * to_acc(x.x[i]);
            *reinterpret_cast<Pack<T, V>*>(out + k * V) = x;
        }
    if (p.before != FewRows::Before::nothing) {
        square = warp_sum(square);
        if (lane == 0) squares[warp] = square;
        __syncthreads();
        float total = 0;
        for (int w = 0; w < kPerRow; ++w) total += squares[m * kPerRow + w];
        const float rstd = 1.0f / sqrtf(total / static_cast<float>(p.K) + p.eps);
        const bool gated = p.before == FewRows::Before::srms_gate;
        if (mine)
            with_activation(p.gate_act, [&](auto act) {
                for (int k = first; k < p.packs; k += kPerRow * kWarp) {
                    auto& x = *reinterpret_cast<Pack<T, V>*>(out + k * V);
                    Pack<T, V> g{};
                    if (gated) g = load_pack<V>(p.g + m * p.ldg + int64_t{k} * V);
                    for (int i = 0; i < V; ++i) {
                        float value = to_acc(x.x[i]) * rstd;
                        if (gated) value *= act.value(to_acc(g.x[i]));
                        x.x[i] = from_acc<T>(value);
                    }
                }
            });
    }
    __syncthreads();
}

// What comes after the sums of one pair and row of c.
template <class T>
__device__ void finish(const Arguments<T>& p, int m, int pair, float s0, float s1) {
    const auto rounded = [](float x) { return to_acc(from_acc<T>(x)); };
    const auto put = [&](int n, float value) {
        const int64_t at = m * p.ldc + n;
        if (p.wide) {
            auto* c = static_cast<float*>(p.c) + at;
            *c = p.adds ? value + *c : value;
        } else {
            auto* c = static_cast<T*>(p.c) + at;
            *c = from_acc<T>(p.adds ? value + to_acc(*c) : value);
        }
    };
    if (p.after == FewRows::After::gate) {
        with_activation(p.act, [&](auto act) { put(pair, act.value(rounded(s0)) * rounded(s1)); });
        return;
    }
    for (int r = 0; r < 2; ++r) {
        const int n = 2 * pair + r;
        float value = r == 0 ? s0 : s1;
        if (n >= p.N) return;
        if (p.after == FewRows::After::activation) {
            value = rounded(value);
            if (n < p.acted) with_activation(p.act, [&](auto act) { value = act.value(value); });
        }
        put(n, value);
    }
}

template <class T, int V, int kRows>
__global__ void __launch_bounds__(kThreads, FewRowsPlan::resident(kRows))
    few_rows_kernel(Arguments<T> p) {
    extern __shared__ uint4 memory[];
    __shared__ float partial[kWarps][2][kRows];
    T* const rows = reinterpret_cast<T*>(memory);
    const Walker<T, V> walk(p);
    Place at = walk.first(), ahead = walk.after(at);
    Weights<T, V> now, next;
    walk.load(now, at);
    walk.load(next, ahead);
    wait_for_previous();
    let_next_begin();
    prepare<T, V, kRows>(p, rows);
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = walk.lane;
    float sum[2][kRows] = {};
    while (at.base < p.pairs) {
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
            const int k = walk.pack(at.part, u);
            if (k >= walk.end) continue;
#pragma unroll
            for (int m = 0; m < kRows; ++m) {
                const auto x = load_pack<V>(rows + min(m, p.M - 1) * p.K + k * V);
#pragma unroll
                for (int i = 0; i < V; ++i) {
                    sum[0][m] += to_acc(now.w[0][u].x[i]) * to_acc(x.x[i]);
                    sum[1][m] += to_acc(now.w[1][u].x[i]) * to_acc(x.x[i]);
                }
            }
        }
        const Place done = at;
        at = ahead;
        ahead = walk.after(at);
        now = next;
        walk.load(next, ahead);
        if (at.base == done.base) continue; // of every warp of the block alike
        float mine[2] = {0, 0};
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
            for (int m = 0; m < kRows; ++m) {
                const float total = warp_sum(sum[r][m]);
                if (lane == m) mine[r] = total;
                sum[r][m] = 0;
            }
        if (p.splits > 1) {
            if (lane < kRows)
                for (int r = 0; r < 2; ++r) partial[warp][r][lane] = mine[r];
            __syncthreads();
            if (lane < kRows && warp % p.splits == 0)
                for (int w = 1; w < p.splits; ++w)
                    for (int r = 0; r < 2; ++r) mine[r] += partial[warp + w][r][lane];
            __syncthreads();
        }
        const int pair = done.base + walk.own;
        if (lane < p.M && warp % p.splits == 0 && pair < p.pairs)
            finish(p, lane, pair, mine[0], mine[1]);
    }
}

template <class T, int V>
void run(const CudaStream& stream, const Arguments<T>& p, const FewRowsPlan& plan, bool early) {
    const auto with = [&](auto rows) {
        const auto go = [&](auto&& start) {
            start(stream, few_rows_kernel<T, V, rows()>, dim3(static_cast<unsigned>(plan.blocks)),
                  dim3(kThreads), static_cast<size_t>(plan.shared), p);
        };
        if (early)
            go([](auto&&... x) { launch_early(x...); });
        else
            go([](auto&&... x) { launch(x...); });
    };
    if (p.M == 1) return with(std::integral_constant<int, 1>{});
    if (p.M == 2) return with(std::integral_constant<int, 2>{});
    if (p.M <= 4) return with(std::integral_constant<int, 4>{});
    with(std::integral_constant<int, 8>{});
}

// In packs of V.
bool packs_of(const FewRows& call, int V) {
    const Layout a({&call.a, &call.g}, true), b({&call.b}, true);
    return a.packs_of(V) && b.packs_of(V);
}

template <class T>
void run_typed(const CudaStream& stream, const FewRows& call, const FewRowsShape& s, bool early) {
    using D = DeviceType<T>;
    const bool gate = call.after == FewRows::After::gate, packed = packs_of(call, kVec<D>);
    const int V = packed ? kVec<D> : 1;
    const FewRowsPlan plan =
        plan_few_rows(s, gate, V, size_of(call.a.dtype), stream.props.multiProcessorCount);
    Arguments<D> p;
    p.a = device_data<T>(call.a);
    p.b = device_data<T>(call.b);
    if (call.before == FewRows::Before::srms_gate) p.g = device_data<T>(call.g);
    p.c = call.c.data;
    p.lda = call.a.stride[0];
    p.ldb = call.b.stride[0];
    p.ldg = call.g.rank == 2 ? call.g.stride[0] : 0;
    p.ldc = call.c.stride[0];
    p.M = static_cast<int>(s.M);
    p.K = static_cast<int>(s.K);
    p.N = static_cast<int>(s.N);
    p.pairs = static_cast<int>(plan.pairs);
    p.splits = plan.splits;
    p.packs = static_cast<int>(s.K / V);
    p.split_packs = static_cast<int>(plan.split_packs);
    p.before = call.before;
    p.after = call.after;
    p.gate_act = call.before == FewRows::Before::srms_gate ? call.gate_act : Activation::identity;
    p.act = call.act;
    p.acted = static_cast<int>(call.acted);
    p.eps = call.eps;
    p.adds = call.beta != 0;
    p.wide = call.c.dtype != call.a.dtype;
    if (packed)
        run<D, kVec<D>>(stream, p, plan, early);
    else
        run<D, 1>(stream, p, plan, early);
}

void run_any(const CudaStream& stream, const FewRows& call, const FewRowsShape& s, bool early) {
    if (call.a.dtype == DType::bf16) return run_typed<bf16>(stream, call, s, early);
    run_typed<float>(stream, call, s, early);
}

bool serves(int64_t M, int64_t K, DType dtype) {
    return (dtype == DType::bf16 || dtype == DType::f32) && fits_few_rows(M, K, size_of(dtype));
}

} // namespace

// Beyond two rows cuBLAS is so much faster that what is fused does not make up for it
// (bench/h100.md). Rows that are no whole packs are read one element at a time.
bool few_rows_pays(int64_t M, int64_t K, DType dtype) {
    constexpr int64_t kMostRows = 2;
    return M <= kMostRows && serves(M, K, dtype) && K * size_of(dtype) % 16 == 0;
}

void few_rows(Stream& s, const FewRows& call) {
    const FewRowsShape shape = check_few_rows(call);
    CudaStream& stream = cuda_of(s);
    if (shape.M == 0 || shape.N == 0) return;
    TNL_CHECK(serves(shape.M, shape.K, call.a.dtype),
              "few_rows on a GPU: {} rows of {} {}, wanted f32 or bf16, and few enough for a "
              "block's memory",
              shape.M, shape.K, name_of(call.a.dtype));
    run_any(stream, call, shape, true);
}

} // namespace tnl::cuda
