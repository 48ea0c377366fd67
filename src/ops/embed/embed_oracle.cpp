#include "ops/embed/embed.h"
#include "ops/rows.h"

namespace tnl {

void check_embed(const Tensor& rows, const Tensor& table, const Tensor& ids) {
    const auto [N, C] = rows.dims<2>("embedded rows");
    const auto [V, width] = table.dims<2>("embedding table");
    TNL_CHECK(width == C, "embedding table has shape {}, wanted [V, {}]", table.shape_string(), C);
    TNL_CHECK(ids.is({N}) && ids.dtype == DType::i32, "ids are {} {}, wanted i32 [{}]",
              name_of(ids.dtype), ids.shape_string(), N);
}

namespace oracle {

void embed_forward(Stream&, Tensor y_, Tensor table_, Tensor ids_, float scale) {
    check_embed(y_, table_, ids_);
    dispatch_float(y_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), table = rows_of<T>(table_, "table");
        const auto* ids = ids_.as<int32_t>();
        for (int64_t n = 0; n < y.count; ++n)
            for (int64_t c = 0; c < y.cols; ++c)
                y[n][c] = T(static_cast<A>(scale) * A(table[ids[n]][c]));
    });
}

void embed_backward(Stream&, Tensor dtable_, Tensor dy_, Tensor ids_, float scale) {
    check_embed(dy_, dtable_, ids_);
    dispatch_float(dy_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dtable = rows_of<A>(dtable_, "dtable");
        const auto dy = rows_of<T>(dy_, "dy");
        const auto* ids = ids_.as<int32_t>();
        for (int64_t n = 0; n < dy.count; ++n)
            for (int64_t c = 0; c < dy.cols; ++c)
                dtable[ids[n]][c] += static_cast<A>(scale) * A(dy[n][c]);
    });
}

} // namespace oracle
} // namespace tnl
