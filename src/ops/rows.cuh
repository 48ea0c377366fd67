// Rows of tensors on the device, and the map kernel over them that the elementwise operations
// share.
#pragma once

#include "cuda/launch.h"
#include "cuda/vec.cuh"
#include "ops/layout.h"
#include "tensor/device_cuda.h"

#include <cstdint>
#include <type_traits>

namespace tnl {

// tnl::bf16 of the host is __nv_bfloat16 on the device.
template <class T> struct DeviceTypeOf { using type = T; };
template <> struct DeviceTypeOf<bf16> { using type = __nv_bfloat16; };
template <> struct DeviceTypeOf<f16> { using type = __half; };
template <class T> using DeviceType = typename DeviceTypeOf<T>::type;

// The data of a tensor that must be of host type T; null stays null.
template <class T> DeviceType<T>* device_data(const Tensor& x) {
    return x.data ? reinterpret_cast<DeviceType<T>*>(x.as<T>()) : nullptr;
}

// A row of the tensors of one call, taken apart once for all of them: row / inner_count and the
// rest.
struct RowIndex {
    int64_t index, outer, inner;
    __device__ operator int64_t() const { return index; }
};

// T is a device type.
template <class T> struct DeviceRows {
    T* data = nullptr;
    int64_t outer = 0, inner = 0; // strides in elements
    int64_t inner_count = 1;      // rows per outer step

    __device__ T* row(int64_t r) const {
        if (inner_count == 1) return data + r * outer;
        return data + r / inner_count * outer + r % inner_count * inner;
    }
    __device__ T* row(RowIndex r) const { return data + r.outer * outer + r.inner * inner; }
    __device__ explicit operator bool() const { return data != nullptr; }
};

// T is a host type.
template <class T> DeviceRows<DeviceType<T>> device_rows(const Layout& layout, const Tensor& x) {
    const Layout::Strides s = layout.strides_of(x);
    return {device_data<T>(x), s.outer, s.inner, layout.inner()};
}

// f(row, first column) for each pack of V columns; inner: rows of one step of the first dimension.
template <int V, class F>
__global__ void __launch_bounds__(256) map_kernel(int64_t rows, int64_t packs, int64_t inner, F f) {
    const int64_t total = rows * packs, step = int64_t{gridDim.x} * blockDim.x;
    const bool small = total < (int64_t{1} << 31);
    const auto divide = [small](int64_t x, int64_t by) -> int64_t { // in 32 bits far cheaper
        return small ? static_cast<uint32_t>(x) / static_cast<uint32_t>(by) : x / by;
    };
    for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < total; i += step) {
        const int64_t row = rows > 1 ? divide(i, packs) : 0;
        RowIndex at{row, row, 0};
        if (inner > 1) {
            at.outer = divide(row, inner);
            at.inner = row - at.outer * inner;
        }
        f(at, (i - row * packs) * V);
    }
}

template <int V, class F>
void launch_map(const CudaStream& stream, int64_t rows, int64_t cols, F f, int64_t inner = 1) {
    const int64_t packs = cols / V, blocks = (rows * packs + 255) / 256;
    const int64_t limit = int64_t{stream.props.multiProcessorCount} * 32;
    launch(stream, map_kernel<V, F>, dim3(static_cast<unsigned>(blocks < limit ? blocks : limit)),
           dim3(256), 0, rows, packs, inner, f);
}

// make(std::integral_constant<int, V>) builds the functor for packs of V columns; V is kWidest
// where the layout allows, else 1.
template <int kWidest, class Make>
void map_rows(const CudaStream& stream, const Layout& layout, Make make) {
    if (layout.packs_of(kWidest))
        launch_map<kWidest>(stream, layout.rows(), layout.cols(),
                            make(std::integral_constant<int, kWidest>{}), layout.inner());
    else
        launch_map<1>(stream, layout.rows(), layout.cols(), make(std::integral_constant<int, 1>{}),
                      layout.inner());
}

} // namespace tnl
