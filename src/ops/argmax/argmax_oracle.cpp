#include "ops/argmax/argmax.h"
#include "ops/rows.h"

#include <cmath>

namespace tnl {

void check_argmax(const Tensor& ids, const Tensor& x) {
    const auto [N, V] = x.dims<2>("argmax: x");
    TNL_CHECK(V <= INT32_MAX / 4, "argmax: {} columns, wanted at most {}", V, INT32_MAX / 4);
    TNL_CHECK(ids.is({N}) && ids.dtype == DType::i32 && ids.contiguous(),
              "argmax: ids are {} {}, wanted i32 [{}]", name_of(ids.dtype), ids.shape_string(), N);
}

namespace oracle {

void argmax(Stream&, Tensor ids_, Tensor x_) {
    check_argmax(ids_, x_);
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto x = rows_of<T>(x_, "x");
        auto* ids = ids_.as<int32_t>();
        for (int64_t n = 0; n < x.count; ++n) {
            A best = -std::numeric_limits<A>::infinity();
            bool finite = true;
            ids[n] = -1;
            for (int64_t c = 0; c < x.cols; ++c) {
                const A value = A(x[n][c]);
                finite = finite && !std::isnan(value) && value < std::numeric_limits<A>::infinity();
                if (!(value > best)) continue;
                best = value;
                ids[n] = static_cast<int32_t>(c);
            }
            if (!finite) ids[n] = -1;
        }
    });
}

} // namespace oracle
} // namespace tnl
