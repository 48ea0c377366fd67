#include "ops/position/lrpe.h"

#include "ops/columns.cuh"
#include "ops/entries_cuda.h"
#include "ops/position/position.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

// theta [H,D] of any float dtype.
struct Theta {
    const void* data;
    DType dtype;
    int64_t stride;

    __device__ double at(int64_t h, int64_t d) const {
        const int64_t i = h * stride + d;
        if (dtype == DType::f64) return static_cast<const double*>(data)[i];
        if (dtype == DType::f32) return static_cast<const float*>(data)[i];
        return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
    }
};

struct SineCosine {
    double sine, cosine;
};

// T says how: in f64 throughout for f64 tensors, see lrpe.h. For bf16 the angle alone is brought
// into
// [-pi, pi] in f64, where the fast sine of f32 errs by 2^-21 (CUDA programming guide, table of
// intrinsic functions); the sine of f64 took five times as long as the tensors to move.
template <class T>
__device__ SineCosine sine_cosine(const Theta& theta, int64_t h, int64_t d, int32_t position) {
    using A = AccOf<T>;
    const double angle = lrpe_angle(static_cast<A>(theta.at(h, d)), position);
    SineCosine out;
    if constexpr (sizeof(T) == 2) {
        constexpr double kTurn = 6.283185307179586;
        float sine, cosine;
        __sincosf(static_cast<float>(fma(-kTurn, rint(angle * (1 / kTurn)), angle)), &sine,
                  &cosine);
        out = {sine, cosine};
    } else {
        sincos(angle, &out.sine, &out.cosine);
    }
    return out;
}

template <class T> struct Heads { // [N,H,D]
    T* data;
    int64_t row, head; // strides
    __device__ T* at(int64_t n, int64_t h) const { return data + n * row + h * head; }
};

template <class T> Heads<DeviceType<T>> heads_of(const Tensor& x, const char* what) {
    TNL_CHECK(x.cols() <= 1 || x.stride[2] == 1, "{} has a last stride of {}, wanted 1", what,
              x.stride[2]);
    return {device_data<T>(x), x.stride[0], x.stride[1]};
}

Theta theta_of(const Tensor& theta) {
    TNL_CHECK(is_float(theta.dtype) && theta.dtype != DType::f16,
              "theta is {}, wanted f64, f32 or bf16", name_of(theta.dtype));
    TNL_CHECK(theta.cols() <= 1 || theta.stride[1] == 1, "theta has a last stride of {}, wanted 1",
              theta.stride[1]);
    return {theta.data, theta.dtype, theta.stride[0]};
}

template <class T, int V> struct LrpeForward {
    Heads<T> y, x;
    Theta theta;
    const int32_t* positions;
    int64_t D;
    __device__ void operator()(int64_t n, int64_t c) const { // c = h D + d
        const int64_t h = c / D, d = c - h * D;
        const int32_t position = positions[n];
        const auto from = load_pack<V>(x.at(n, h) + d);
        Pack<T, V> cosines, sines;
#pragma unroll
        for (int i = 0; i < V; ++i) {
            const auto [sine, cosine] = sine_cosine<T>(theta, h, d + i, position);
            const AccOf<T> value = to_acc(from.x[i]);
            cosines.x[i] = from_acc<T>(value * static_cast<AccOf<T>>(cosine));
            sines.x[i] = from_acc<T>(value * static_cast<AccOf<T>>(sine));
        }
        T* out = y.at(n, h) + d;
        store_pack(out, cosines);
        store_pack(out + D, sines);
    }
};

// Whether the heads' rows of D numbers are whole packs of V, at places for them.
template <class T> bool packs_of(int V, const Heads<T>& heads, int64_t D) {
    return D % V == 0 && heads.row % V == 0 && heads.head % V == 0 &&
           reinterpret_cast<uintptr_t>(heads.data) % (sizeof(T) * static_cast<size_t>(V)) == 0;
}

// Writes dx and returns this row's part of dtheta.
template <class T> struct LrpeBackward {
    Heads<T> dx, dy, x;
    Theta theta;
    const int32_t* positions;
    int64_t D;
    __device__ AccOf<T> operator()(int64_t n, int64_t c) const {
        using A = AccOf<T>;
        const int64_t h = c / D, d = c - h * D;
        const auto sc = sine_cosine<T>(theta, h, d, positions[n]);
        const A sine = static_cast<A>(sc.sine), cosine = static_cast<A>(sc.cosine);
        const A dc = to_acc(dy.at(n, h)[d]), ds = to_acc(dy.at(n, h)[d + D]);
        const A value = to_acc(x.at(n, h)[d]);
        dx.at(n, h)[d] = from_acc<T>(dc * cosine + ds * sine);
        return static_cast<A>(positions[n]) * value * (ds * cosine - dc * sine);
    }
};

void check_more(const Tensor& positions) {
    TNL_CHECK(positions.contiguous(), "positions are not contiguous");
}

} // namespace

void lrpe_forward(Stream& s, Tensor y, Tensor x, Tensor theta, Tensor positions) {
    check_lrpe(y, x, theta, positions);
    check_more(positions);
    CudaStream& stream = cuda_of(s);
    const int64_t N = x.shape[0], H = x.shape[1], D = x.shape[2];
    dispatch_float(x.dtype, [&]<class T>() {
        using U = DeviceType<T>;
        constexpr int kPack = kVec<U>;
        const auto to = heads_of<T>(y, "y"), from = heads_of<T>(x, "x");
        const auto run = [&]<int V>(std::integral_constant<int, V>) {
            launch_map<V>(stream, N, H * D,
                          LrpeForward<U, V>{to, from, theta_of(theta), positions.as<int32_t>(), D});
        };
        if (packs_of(kPack, to, D) && packs_of(kPack, from, D))
            run(std::integral_constant<int, kPack>{});
        else
            run(std::integral_constant<int, 1>{});
    });
}

void lrpe_backward(Stream& s, Tensor dx, Tensor dtheta, Tensor dy, Tensor x, Tensor theta,
                   Tensor positions) {
    check_lrpe(dy, x, theta, positions);
    check_more(positions);
    const int64_t N = x.shape[0], H = x.shape[1], D = x.shape[2];
    TNL_CHECK(dx.is({N, H, D}), "dx has shape {}, wanted {}", dx.shape_string(), x.shape_string());
    if (dtheta.data)
        TNL_CHECK(dtheta.is({H, D}) && dtheta.contiguous(), "dtheta has shape {}, wanted [{}, {}]",
                  dtheta.shape_string(), H, D);
    CudaStream& stream = cuda_of(s);
    dispatch_float(x.dtype, [&]<class T>() {
        const LrpeBackward<DeviceType<T>> f{heads_of<T>(dx, "dx"),   heads_of<T>(dy, "dy"),
                                            heads_of<T>(x, "x"),     theta_of(theta),
                                            positions.as<int32_t>(), D};
        add_column_sums(stream, device_data<Accumulator<T>>(dtheta), N, H * D, f);
    });
}

} // namespace tnl::cuda
