#include "capi/tail.cuh"

#include "cuda/launch.h"

namespace tnl::capi {
namespace {

constexpr int kMost = 3, kThreads = 256, kBlocks = 128;

struct Rows {
    char* data = nullptr;
    int64_t token = 0, head = 0; // strides, bytes
    int width = 0, size = 0;     // elements of a row, bytes of one
};
struct Tail {
    const int32_t* end = nullptr;
    int64_t tokens = 0;
    int heads = 0, count = 0;
    Rows rows[kMost];
};

__device__ void zero(char* p, int size) {
    if (size == 2)
        *reinterpret_cast<uint16_t*>(p) = 0;
    else if (size == 4)
        *reinterpret_cast<uint32_t*>(p) = 0;
    else
        *reinterpret_cast<uint64_t*>(p) = 0;
}

__global__ void __launch_bounds__(kThreads) tail_kernel(const Tail p) {
    for (int64_t t = *p.end + static_cast<int64_t>(blockIdx.x); t < p.tokens; t += gridDim.x)
        for (int i = 0; i < p.count; ++i) {
            const Rows& rows = p.rows[i];
            const int n = p.heads * rows.width;
            for (int e = static_cast<int>(threadIdx.x); e < n; e += kThreads)
                zero(rows.data + t * rows.token + e / rows.width * rows.head +
                         static_cast<int64_t>(e % rows.width) * rows.size,
                     rows.size);
        }
}

} // namespace

void zero_tail(const CudaStream& stream, const int32_t* end,
               std::initializer_list<Tensor> tensors) {
    Tail p;
    p.end = end;
    for (const Tensor& x : tensors) {
        if (!x.data) continue;
        TNL_CHECK(p.count < kMost, "{} tensors with a tail, at most {}", tensors.size(), kMost);
        const auto size = static_cast<int>(size_of(x.dtype));
        p.tokens = x.shape[1];
        p.heads = static_cast<int>(x.shape[2]);
        p.rows[p.count++] = {static_cast<char*>(x.data), x.stride[1] * size, x.stride[2] * size,
                             static_cast<int>(x.shape[3]), size};
    }
    if (p.count > 0) launch(stream, tail_kernel, dim3(kBlocks), dim3(kThreads), 0, p);
}

} // namespace tnl::capi
