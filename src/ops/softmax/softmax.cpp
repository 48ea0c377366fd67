#include "ops/softmax/softmax.h"

namespace tnl {
namespace {

struct Checker {
    SoftmaxShape shape;

    Checker(const Tensor& q, const Tensor& k, const Tensor& cu, float scale) {
        TNL_CHECK(scale > 0, "softmax attention: scale is {}, wanted above 0", scale);
        const auto [B, T, H, D] = q.dims<4>("softmax attention: q");
        const auto [Bk, Tk, K, Dk] = k.dims<4>("softmax attention: k");
        TNL_CHECK(K >= 1 && H % K == 0,
                  "softmax attention: {} heads of k and v, wanted a divisor of q's {}", K, H);
        if (cu.rank)
            TNL_CHECK(cu.rank == 1 && cu.shape[0] >= 1,
                      "softmax attention: cu_seqlens has shape {}, wanted [sequences+1]",
                      cu.shape_string());
        shape = {B, T, H, K, D, cu.rank ? cu.shape[0] - 1 : B, q.dtype};
        if (cu.rank) offsets(cu);
    }
    void offsets(const Tensor& cu) const {
        const int32_t* at = cu.as<int32_t>();
        TNL_CHECK(shape.B == 1, "softmax attention: packed sequences want B = 1, got B = {}",
                  shape.B);
        TNL_CHECK(at[0] == 0 && at[shape.sequences] == shape.T,
                  "softmax attention: cu_seqlens goes from {} to {}, wanted 0 to T = {}", at[0],
                  at[shape.sequences], shape.T);
        for (int64_t i = 0; i < shape.sequences; ++i)
            TNL_CHECK(at[i] <= at[i + 1],
                      "softmax attention: cu_seqlens decreases from {} to {} at {}", at[i],
                      at[i + 1], i);
    }
    void tensor(const Tensor& t, const char* name, int64_t heads) const {
        TNL_CHECK(t.rank == 4 && t.is({shape.B, shape.T, heads, shape.D}),
                  "softmax attention: {} has shape {}, wanted [B={}, T={}, {}, D={}]", name,
                  t.shape_string(), shape.B, shape.T, heads, shape.D);
        TNL_CHECK(t.dtype == shape.dtype, "softmax attention: {} is {}, wanted {} as q", name,
                  name_of(t.dtype), name_of(shape.dtype));
        TNL_CHECK(shape.D <= 1 || t.stride[3] == 1,
                  "softmax attention: the last stride of {} is {}, wanted 1", name, t.stride[3]);
    }
    void lse(const Tensor& t) const {
        const DType acc = shape.dtype == DType::f64 ? DType::f64 : DType::f32;
        TNL_CHECK(t.is({shape.B, shape.T, shape.H}) && t.dtype == acc && t.contiguous(),
                  "softmax attention: lse is {} {}, wanted {} [B={}, T={}, H={}], contiguous",
                  name_of(t.dtype), t.shape_string(), name_of(acc), shape.B, shape.T, shape.H);
    }
};

} // namespace

SoftmaxShape check(const SoftmaxForward& call) {
    const Checker c(call.q, call.k, call.cu_seqlens, call.scale);
    c.tensor(call.q, "q", c.shape.H);
    c.tensor(call.k, "k", c.shape.K);
    c.tensor(call.v, "v", c.shape.K);
    c.tensor(call.o, "o", c.shape.H);
    c.lse(call.lse);
    return c.shape;
}

SoftmaxShape check(const SoftmaxBackward& call) {
    const Checker c(call.q, call.k, call.cu_seqlens, call.scale);
    for (const auto& [tensor, name] :
         {std::pair{&call.q, "q"}, {&call.o, "o"}, {&call.dout, "dout"}, {&call.dq, "dq"}})
        c.tensor(*tensor, name, c.shape.H);
    for (const auto& [tensor, name] :
         {std::pair{&call.k, "k"}, {&call.v, "v"}, {&call.dk, "dk"}, {&call.dv, "dv"}})
        c.tensor(*tensor, name, c.shape.K);
    c.lse(call.lse);
    return c.shape;
}

SoftmaxSequence sequence_of(const SoftmaxShape& shape, const Tensor& cu_seqlens, int64_t i) {
    if (!cu_seqlens.rank) return {i, 0, shape.T};
    const int32_t* offsets = cu_seqlens.as<int32_t>();
    return {0, offsets[i], offsets[i + 1] - offsets[i]};
}

int64_t equal_length(const SoftmaxShape& shape, const Tensor& cu_seqlens) {
    if (!cu_seqlens.rank) return shape.T;
    if (shape.sequences == 0) return 0;
    const int32_t* offsets = cu_seqlens.as<int32_t>();
    for (int64_t i = 1; i <= shape.sequences; ++i)
        if (offsets[i] != i * offsets[1]) return 0;
    return offsets[1];
}

} // namespace tnl
