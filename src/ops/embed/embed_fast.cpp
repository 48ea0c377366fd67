#include "ops/embed/embed.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {

void embed_forward(Stream& stream, Tensor y_, Tensor table_, Tensor ids_, float scale) {
    if (y_.dtype == DType::f64) return oracle::embed_forward(stream, y_, table_, ids_, scale);
    check_embed(y_, table_, ids_);
    dispatch_f32_bf16(y_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y"), table = rows_of<S>(table_, "table");
        const auto* ids = ids_.as<int32_t>();
        stream.threads->parallel_for(y.count, row_grain(y.cols), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n)
                loops<S>().scaled_copy(y[n], table[ids[n]], y.cols, scale);
        });
    });
}

// Each thread has some of the columns for all rows, so that repeated ids are summed in row order.
void embed_backward(Stream& stream, Tensor dtable_, Tensor dy_, Tensor ids_, float scale) {
    if (dy_.dtype == DType::f64) return oracle::embed_backward(stream, dtable_, dy_, ids_, scale);
    check_embed(dy_, dtable_, ids_);
    dispatch_f32_bf16(dy_.dtype, [&]<class S>() {
        const auto dtable = rows_of<float>(dtable_, "dtable");
        const auto dy = rows_of<S>(dy_, "dy");
        const auto* ids = ids_.as<int32_t>();
        const int64_t grain =
            std::max<int64_t>(16, kElementsPerThread / std::max<int64_t>(1, dy.count));
        stream.threads->parallel_for(dy.cols, grain, [&](int64_t begin, int64_t end) {
            for (int64_t n = 0; n < dy.count; ++n)
                loops<S>().accumulate(dtable[ids[n]] + begin, dy[n] + begin, end - begin, scale);
        });
    });
}

} // namespace tnl::fast
