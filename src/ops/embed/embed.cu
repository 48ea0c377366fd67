#include "ops/embed/embed.h"

#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

#include <cub/device/device_radix_sort.cuh>

#include <bit>
#include <limits>

namespace tnl::cuda {
namespace {

template <class T, int V> struct Lookup {
    DeviceRows<T> y, table;
    const int32_t* ids;
    AccOf<T> scale;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto a = load_pack<V>(table.row(ids[r]) + c);
        for (int i = 0; i < V; ++i) a.x[i] = from_acc<T>(scale * to_acc(a.x[i]));
        store_pack(y.row(r) + c, a);
    }
};

__global__ void __launch_bounds__(256) count_up(int32_t* out, int32_t n) {
    const int64_t i = int64_t{blockIdx.x} * 256 + threadIdx.x;
    if (i < n) out[i] = static_cast<int32_t>(i);
}

// One block for each place of the sorted ids; the first of every run of equal ids does the run, in
// row order since the sort is stable.
template <class T>
__global__ void __launch_bounds__(128)
    add_runs(DeviceRows<AccOf<T>> dtable, DeviceRows<T> dy, const int32_t* ids, const int32_t* rows,
             int64_t n, int64_t cols, AccOf<T> scale) {
    const int64_t begin = blockIdx.x;
    const int32_t id = ids[begin];
    if (begin > 0 && ids[begin - 1] == id) return;
    int64_t end = begin + 1;
    while (end < n && ids[end] == id) ++end;
    AccOf<T>* out = dtable.row(id);
    for (int64_t c = int64_t{blockIdx.y} * 128 + threadIdx.x; c < cols;
         c += int64_t{gridDim.y} * 128) {
        AccOf<T> sum = out[c];
        for (int64_t i = begin; i < end; ++i) sum += scale * to_acc(dy.row(rows[i])[c]);
        out[c] = sum;
    }
}

struct Sorted {
    const int32_t* ids;
    const int32_t* rows;
};

// The ids in increasing order beside their rows; equal ids keep the order of their rows.
Sorted sort_ids(CudaStream& stream, const int32_t* ids, int n, int64_t vocabulary) {
    const int bits =
        std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(vocabulary - 1))));
    const size_t part = (static_cast<size_t>(n) * sizeof(int32_t) + 255) / 256 * 256;
    size_t temporary = 0;
    check_cuda(
        cub::DeviceRadixSort::SortPairs(nullptr, temporary, ids, static_cast<int32_t*>(nullptr),
                                        static_cast<const int32_t*>(nullptr),
                                        static_cast<int32_t*>(nullptr), n, 0, bits, stream.stream),
        "sizing the sort of ids");
    auto* memory = static_cast<char*>(stream.scratch(3 * part + temporary));
    auto* sorted_ids = reinterpret_cast<int32_t*>(memory);
    auto* order = reinterpret_cast<int32_t*>(memory + part);
    auto* sorted_order = reinterpret_cast<int32_t*>(memory + 2 * part);
    launch(stream, count_up, dim3(blocks_for(n, 256)), dim3(256), 0, order, n);
    check_cuda(cub::DeviceRadixSort::SortPairs(memory + 3 * part, temporary, ids, sorted_ids,
                                               static_cast<const int32_t*>(order), sorted_order, n,
                                               0, bits, stream.stream),
               "sort of ids");
    return {sorted_ids, sorted_order};
}

} // namespace

void embed_forward(Stream& s, Tensor y, Tensor table, Tensor ids, float scale) {
    check_embed(y, table, ids);
    TNL_CHECK(ids.contiguous(), "ids are not contiguous");
    CudaStream& stream = cuda_of(s);
    const Layout layout({&y}, true), table_layout({&table}, true);
    dispatch_float(y.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto make = [&](auto v) {
            return Lookup<D, v()>{device_rows<T>(layout, y), device_rows<T>(table_layout, table),
                                  ids.as<int32_t>(), scale};
        };
        if (layout.packs_of(kVec<D>) && table_layout.packs_of(kVec<D>))
            launch_map<kVec<D>>(stream, layout.rows(), layout.cols(),
                                make(std::integral_constant<int, kVec<D>>{}));
        else
            launch_map<1>(stream, layout.rows(), layout.cols(),
                          make(std::integral_constant<int, 1>{}));
    });
}

void embed_backward(Stream& s, Tensor dtable, Tensor dy, Tensor ids, float scale) {
    check_embed(dy, dtable, ids);
    TNL_CHECK(ids.contiguous(), "ids are not contiguous");
    CudaStream& stream = cuda_of(s);
    const Layout layout({&dy}, true), table_layout({&dtable}, true);
    const int64_t n = layout.rows(), cols = layout.cols();
    if (n == 0 || cols == 0) return;
    TNL_CHECK(n <= std::numeric_limits<int32_t>::max(), "{} rows are too many to sort", n);
    const Sorted sorted = sort_ids(stream, ids.as<int32_t>(), static_cast<int>(n), dtable.shape[0]);
    const auto tiles = static_cast<unsigned>(std::min<int64_t>((cols + 127) / 128, 64));
    dispatch_float(dy.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        launch(stream, add_runs<D>, dim3(static_cast<unsigned>(n), tiles), dim3(128), 0,
               device_rows<Accumulator<T>>(table_layout, dtable), device_rows<T>(layout, dy),
               sorted.ids, sorted.rows, n, cols, static_cast<Accumulator<T>>(scale));
    });
}

} // namespace tnl::cuda
