#include "ops/adam/adam.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {

void adamw(Stream& stream, Tensor weights, Tensor master, Tensor m_, Tensor v_, Tensor g_,
           const AdamW& a) {
    if (weights.dtype == DType::f64) return oracle::adamw(stream, weights, master, m_, v_, g_, a);
    check_adamw(weights, master, m_, v_, g_, a);
    const AdamWStep step(a);
    dispatch_f32_bf16(weights.dtype, [&]<class S>() {
        S* w = weights.as<S>();
        float *p = master.as<float>(), *m = m_.as<float>(), *v = v_.as<float>();
        const float* g = g_.as<float>();
        stream.threads->parallel_for(weights.size(), kElementsPerThread,
                                     [&](int64_t begin, int64_t end) {
                                         loops<S>().adamw(w + begin, p + begin, m + begin,
                                                          v + begin, g + begin, end - begin, step);
                                     });
    });
}

} // namespace tnl::fast
