// Lightning Attention (2405.17381) for C++17: the C interface (lightning_c.h, where everything is
// explained) with exceptions and types.
//
//   using namespace tnl::lightning;
//   Call call = attention<float>({.B = 2, .T = 1024, .H = 8, .D = 128, .E = 128}, q, k, v, decay);
//   forward(call, o);
#pragma once

#include <transnormer/lightning_c.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace tnl::lightning {

class Error : public std::runtime_error {
  public:
    Error(tnl_status status, const std::string& message)
        : std::runtime_error(message), status_(status) {}
    tnl_status status() const { return status_; }

  private:
    tnl_status status_;
};

inline void check(tnl_status status) {
    if (status != TNL_OK) throw Error(status, tnl_last_error());
}

// The storage types that C++ lacks, as bits; __nv_bfloat16 and __half cast to them.
struct BFloat16 {
    uint16_t bits;
};
struct Half {
    uint16_t bits;
};

template <class T> constexpr tnl_dtype dtype_of() {
    static_assert(std::is_same_v<T, double> || std::is_same_v<T, float> ||
                      std::is_same_v<T, BFloat16> || std::is_same_v<T, Half>,
                  "wanted double, float, BFloat16 or Half");
    return std::is_same_v<T, double>     ? TNL_F64
           : std::is_same_v<T, float>    ? TNL_F32
           : std::is_same_v<T, BFloat16> ? TNL_BF16
                                         : TNL_F16;
}
template <class T> using Accumulator = std::conditional_t<std::is_same_v<T, double>, double, float>;

struct Shape {
    int64_t B = 0, T = 0, H = 0, D = 0, E = 0;
};

using Call = tnl_lightning;

// A call on contiguous [B,T,H,D] and [B,T,H,E] on the CPU; change its fields for anything else.
template <class T>
Call attention(const Shape& shape, const T* q, const T* k, const T* v,
               const Accumulator<T>* decay) {
    Call call = tnl_lightning_init();
    call.dtype = dtype_of<T>();
    call.B = shape.B;
    call.T = shape.T;
    call.H = shape.H;
    call.D = shape.D;
    call.E = shape.E;
    call.q = tnl_contiguous(q, shape.T, shape.H, shape.D);
    call.k = tnl_contiguous(k, shape.T, shape.H, shape.D);
    call.v = tnl_contiguous(v, shape.T, shape.H, shape.E);
    call.decay = decay;
    return call;
}

inline void forward(const Call& call) { check(tnl_lightning_forward(&call)); }
inline void backward(const Call& call) { check(tnl_lightning_backward(&call)); }

// Into a contiguous o [B,T,H,E].
template <class T> void forward(Call call, T* o) {
    call.o = tnl_contiguous(o, call.T, call.H, call.E);
    forward(call);
}

// From a contiguous dout into contiguous gradients.
template <class T> void backward(Call call, const T* dout, T* dq, T* dk, T* dv) {
    call.dout = tnl_contiguous(dout, call.T, call.H, call.E);
    call.dq = tnl_contiguous(dq, call.T, call.H, call.D);
    call.dk = tnl_contiguous(dk, call.T, call.H, call.D);
    call.dv = tnl_contiguous(dv, call.T, call.H, call.E);
    backward(call);
}

inline size_t workspace(const Call& call, bool is_backward) {
    size_t bytes = 0;
    check(tnl_lightning_workspace(&call, is_backward ? 1 : 0, &bytes));
    return bytes;
}

inline std::string plan(const Call& call, bool is_backward) {
    char text[512];
    check(tnl_lightning_plan(&call, is_backward ? 1 : 0, text, sizeof text));
    return text;
}

} // namespace tnl::lightning
