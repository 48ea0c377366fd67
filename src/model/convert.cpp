#include "model/convert.h"

#include "base/check.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tnl {
namespace {

// All exponent bits set: NaN or infinity. On bits, so that loops over it vectorise and no
// floating-point flag matters.
bool not_finite(double x) {
    return (std::bit_cast<uint64_t>(x) & 0x7ff0000000000000u) == 0x7ff0000000000000u;
}
bool not_finite(float x) { return (std::bit_cast<uint32_t>(x) & 0x7f800000u) == 0x7f800000u; }
bool not_finite(bf16 x) { return (x.bits & 0x7f80u) == 0x7f80u; }
bool not_finite(f16 x) { return (x.bits & 0x7c00u) == 0x7c00u; }

template <class To, class From> To convert(From x) {
    if constexpr (std::is_same_v<To, From>)
        return x;
    else if constexpr (std::is_same_v<From, double>)
        return static_cast<To>(x);
    else
        return static_cast<To>(static_cast<float>(x));
}

template <class To, class From> int64_t convert_all(To* out, const std::byte* in, int64_t n) {
    constexpr int64_t kBlock = 1024;
    int64_t first = -1;
    for (int64_t begin = 0; begin < n; begin += kBlock) {
        const int64_t end = std::min(n, begin + kBlock);
        From block[kBlock];
        std::memcpy(static_cast<void*>(block), in + begin * static_cast<int64_t>(sizeof(From)),
                    static_cast<size_t>(end - begin) * sizeof(From));
        bool bad = false;
        for (int64_t i = begin; i < end; ++i) {
            out[i] = convert<To>(block[i - begin]);
            bad |= not_finite(out[i]);
        }
        if (bad && first < 0)
            first = std::find_if(out + begin, out + end, [](To x) { return not_finite(x); }) - out;
    }
    return first;
}

template <class F> int64_t with_float(DType dtype, F&& f) {
    switch (dtype) {
    case DType::f64:
        return f(double{});
    case DType::f32:
        return f(float{});
    case DType::bf16:
        return f(bf16{});
    case DType::f16:
        return f(f16{});
    default:
        fail("conversion of {}, wanted f64, f32, bf16 or f16", name_of(dtype));
    }
}

} // namespace

int64_t convert_floats(DType to, void* out, DType from, const std::byte* in, int64_t n) {
    return with_float(to, [&]<class To>(To) {
        return with_float(from, [&]<class From>(From) {
            return convert_all<To, From>(static_cast<To*>(out), in, n);
        });
    });
}

} // namespace tnl
