#include "ops/columns.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

template <class T, int V> struct AddBias {
    DeviceRows<T> y;
    const T* bias;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto a = load_pack<V>(y.row(r) + c);
        for (int i = 0; i < V; ++i) a.x[i] = from_acc<T>(to_acc(a.x[i]) + to_acc(bias[c + i]));
        store_pack(y.row(r) + c, a);
    }
};

template <class T> struct ColumnValue {
    DeviceRows<T> x;
    __device__ AccOf<T> operator()(int64_t r, int64_t c) const { return to_acc(x.row(r)[c]); }
};

} // namespace

void bias_forward(Stream& s, Tensor y, Tensor bias) {
    CudaStream& stream = cuda_of(s);
    TNL_CHECK(y.rank == 2 && bias.is({y.cols()}) && bias.contiguous(),
              "bias has shape {} for rows of shape {}", bias.shape_string(), y.shape_string());
    const Layout layout({&y}, true);
    dispatch_float(y.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return AddBias<D, v()>{device_rows<T>(layout, y), device_data<T>(bias)};
        });
    });
}

void bias_backward(Stream& s, Tensor dbias, Tensor dy) {
    CudaStream& stream = cuda_of(s);
    TNL_CHECK(dy.rank == 2 && dbias.is({dy.cols()}) && dbias.contiguous(),
              "dbias has shape {} for rows of shape {}", dbias.shape_string(), dy.shape_string());
    const Layout layout({&dy}, true);
    dispatch_float(dy.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        add_column_sums(stream, dbias.as<Accumulator<T>>(), layout.rows(), layout.cols(),
                        ColumnValue<D>{device_rows<T>(layout, dy)});
    });
}

} // namespace tnl::cuda
