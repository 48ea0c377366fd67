#include "ops/position/rope.h"

#include "ops/entries_cuda.h"
#include "ops/position/lrpe.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

constexpr int kThreads = 256;

template <class T> struct Rope { // y and x [N,H,D]
    T* y;
    const T* x;
    int64_t y_row, y_head, x_row, x_head; // strides
    const int32_t* positions;
    double base;
    int H, half;
    bool backward;
};

// One block a token: its angles once, in shared memory, for all heads.
template <class T> __global__ void __launch_bounds__(kThreads) rope_kernel(Rope<T> p) {
    using A = AccOf<T>;
    extern __shared__ __align__(16) unsigned char memory[];
    A* cosine = reinterpret_cast<A*>(memory);
    A* sine = cosine + p.half;
    const int64_t n = blockIdx.x;
    for (int i = static_cast<int>(threadIdx.x); i < p.half; i += kThreads) {
        const double rate = pow(p.base, -static_cast<double>(i) / p.half);
        double s = 0, c = 0;
        sincos(lrpe_angle(static_cast<A>(rate), p.positions[n]), &s, &c);
        cosine[i] = static_cast<A>(c);
        sine[i] = static_cast<A>(p.backward ? -s : s);
    }
    __syncthreads();
    const T* x = p.x + n * p.x_row;
    T* y = p.y + n * p.y_row;
    for (int at = static_cast<int>(threadIdx.x); at < p.H * p.half; at += kThreads) {
        const int h = at / p.half, i = at - h * p.half;
        const A a = to_acc(x[h * p.x_head + i]), b = to_acc(x[h * p.x_head + i + p.half]);
        y[h * p.y_head + i] = from_acc<T>(a * cosine[i] - b * sine[i]);
        y[h * p.y_head + i + p.half] = from_acc<T>(b * cosine[i] + a * sine[i]);
    }
}

} // namespace

void rope(Stream& s, Tensor y, Tensor x, Tensor positions, double base, bool backward) {
    check_rope(y, x, positions, base);
    CudaStream& stream = cuda_of(s);
    const int64_t N = x.shape[0], H = x.shape[1], D = x.shape[2];
    for (const Tensor* t : {&x, &y})
        TNL_CHECK(D <= 1 || t->stride[2] == 1, "rope: a last stride of {}, wanted 1", t->stride[2]);
    dispatch_float(x.dtype, [&]<class T>() {
        using V = DeviceType<T>;
        const Rope<V> p{device_data<T>(y),
                        device_data<T>(x),
                        y.stride[0],
                        y.stride[1],
                        x.stride[0],
                        x.stride[1],
                        positions.as<int32_t>(),
                        base,
                        static_cast<int>(H),
                        static_cast<int>(D / 2),
                        backward};
        launch(stream, rope_kernel<V>, dim3(blocks_for(N, 1)), dim3(kThreads),
               static_cast<size_t>(D) * sizeof(AccOf<V>), p);
    });
}

} // namespace tnl::cuda
