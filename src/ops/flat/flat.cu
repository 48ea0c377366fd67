#include "ops/entries_cuda.h"

#include "cuda/reduce.cuh"
#include "ops/rows.cuh"

#include <algorithm>

namespace tnl::cuda {
namespace {

template <class T, int V> struct Add {
    DeviceRows<T> y, x;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto a = load_pack<V>(y.row(r) + c);
        const auto b = load_pack<V>(x.row(r) + c);
        for (int i = 0; i < V; ++i) a.x[i] = from_acc<T>(to_acc(a.x[i]) + to_acc(b.x[i]));
        store_pack(y.row(r) + c, a);
    }
};

template <class T, int V> struct Scale {
    DeviceRows<T> y;
    AccOf<T> factor;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto a = load_pack<V>(y.row(r) + c);
        for (int i = 0; i < V; ++i) a.x[i] = from_acc<T>(to_acc(a.x[i]) * factor);
        store_pack(y.row(r) + c, a);
    }
};

template <class To, class From, int V> struct Cast {
    DeviceRows<To> y;
    DeviceRows<From> x;
    __device__ void operator()(RowIndex r, int64_t c) const {
        const auto a = load_pack<V>(x.row(r) + c);
        Pack<To, V> b;
        for (int i = 0; i < V; ++i) b.x[i] = from_acc<To>(to_acc(a.x[i]));
        store_pack(y.row(r) + c, b);
    }
};

template <class T, int V> struct ZeroMasked {
    DeviceRows<T> y;
    const int32_t* mask;
    __device__ void operator()(RowIndex r, int64_t c) const {
        if (mask[r.outer] != 0) return;
        Pack<T, V> zero;
        for (int i = 0; i < V; ++i) zero.x[i] = from_acc<T>(AccOf<T>{0});
        store_pack(y.row(r) + c, zero);
    }
};

// Sums in f64 in two stages of fixed shape: blocks over equal ranges, then one block over those.
constexpr int kSumBlocks = 512, kSumThreads = 256;

template <class T, bool kSquare>
__global__ void __launch_bounds__(kSumThreads)
    partial_sums(double* partial, DeviceRows<T> x, int64_t rows, int64_t cols) {
    const int64_t total = rows * cols, step = int64_t{gridDim.x} * kSumThreads;
    double sum = 0;
    for (int64_t i = int64_t{blockIdx.x} * kSumThreads + threadIdx.x; i < total; i += step) {
        const int64_t r = rows == 1 ? 0 : i / cols;
        const double e = static_cast<double>(to_acc(x.row(r)[i - r * cols]));
        sum += kSquare ? e * e : e;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kSumThreads)
    finish_sum(double* out, const double* partial, int count) {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSumThreads) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *out = sum;
}

template <bool kSquare> void sum_to(Stream& s, const Tensor& out, const Tensor& x) {
    CudaStream& stream = cuda_of(s);
    TNL_CHECK(out.size() == 1, "a sum's out has shape {}, wanted [1]", out.shape_string());
    double* result = out.as<double>();
    const Layout layout({&x});
    const int64_t n = layout.rows() * layout.cols();
    const auto blocks = static_cast<int>(std::min<int64_t>(kSumBlocks, (n + 2047) / 2048));
    auto* partial = static_cast<double*>(stream.scratch(kSumBlocks * sizeof(double)));
    dispatch_float(x.dtype, [&]<class T>() {
        launch(stream, partial_sums<DeviceType<T>, kSquare>, dim3(static_cast<unsigned>(blocks)),
               dim3(kSumThreads), 0, partial, device_rows<T>(layout, x), layout.rows(),
               layout.cols());
    });
    launch(stream, finish_sum, dim3(1), dim3(kSumThreads), 0, result, partial, blocks);
}

template <class F> void dispatch_any_float(DType dtype, F&& f) {
    if (dtype == DType::f16)
        f.template operator()<f16>();
    else
        dispatch_float(dtype, f);
}

} // namespace

void add(Stream& s, Tensor y, Tensor x) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&y, &x});
    dispatch_float(y.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return Add<D, v()>{device_rows<T>(layout, y), device_rows<T>(layout, x)};
        });
    });
}

void scale(Stream& s, Tensor y, float factor) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&y});
    dispatch_float(y.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return Scale<D, v()>{device_rows<T>(layout, y), factor};
        });
    });
}

void cast(Stream& s, Tensor y, Tensor x) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&y, &x});
    dispatch_any_float(y.dtype, [&]<class To>() {
        dispatch_any_float(x.dtype, [&]<class From>() {
            map_rows<4>(stream, layout, [&](auto v) {
                return Cast<DeviceType<To>, DeviceType<From>, v()>{device_rows<To>(layout, y),
                                                                   device_rows<From>(layout, x)};
            });
        });
    });
}

void mask_rows(Stream& s, Tensor y, Tensor mask) {
    CudaStream& stream = cuda_of(s);
    TNL_CHECK(mask.is({y.shape[0]}) && mask.contiguous(), "mask has shape {}, wanted [{}]",
              mask.shape_string(), y.shape[0]);
    TNL_CHECK(y.rank == 2 || y.rank == 3, "mask_rows of shape {}", y.shape_string());
    const Layout layout({&y}, true);
    dispatch_float(y.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return ZeroMasked<D, v()>{device_rows<T>(layout, y), mask.as<int32_t>()};
        });
    });
}

void sum_squares(Stream& s, Tensor out, Tensor x) { sum_to<true>(s, out, x); }
void sum(Stream& s, Tensor out, Tensor x) { sum_to<false>(s, out, x); }

} // namespace tnl::cuda
