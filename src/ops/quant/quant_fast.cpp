#include "ops/quant/quant_cpu.h"
#include "ops/simd/simd.h"

#include <algorithm>
#include <vector>

namespace tnl::fast {
namespace {

constexpr int64_t kMostM = 8; // rows of a that the loops take together
// Products between two visits of c: of one row of a with many of b, as the loops read several runs
// of them side by side; of many with so few of b that those stay in the second level cache.
constexpr int64_t kProductsAtOnce = 512;
constexpr int64_t kBytesPerThread = 1 << 15;   // of b, at least
constexpr int64_t kNumbersPerThread = 1 << 14; // of a, at least

// Memory of the activations' codes, kept from call to call; vectors of them do not cross lines.
struct alignas(64) Line {
    std::byte bytes[64];
};
struct Narrow {
    std::vector<Line> codes;
    std::vector<float> scales, offsets;
};

// A format's loops, for a in T.
template <class T, class Code> struct Loops;
template <class T> struct Loops<T, int16_t> {
    static auto narrow() { return loops<T>().quant_narrow16; }
    static auto dot() { return simd().dot_int8; }
};
template <class T> struct Loops<T, int8_t> {
    static auto narrow() { return loops<T>().quant_narrow8; }
    static auto dot() { return simd().dot_int4; }
};

template <class T, class Code>
QuantRows<Code> narrow_rows(Stream& stream, Narrow& memory, const Tensor& a, const QuantShape& s,
                            QuantFormat format) {
    const int64_t ld = quant_padded(format, s.K), group = quant_group(format), groups = ld / group;
    memory.codes.resize(static_cast<size_t>(s.M * ld) * sizeof(Code) / sizeof(Line) + 1);
    auto* const codes = reinterpret_cast<Code*>(memory.codes.data());
    memory.scales.resize(static_cast<size_t>(s.M * groups + 8));
    memory.offsets.resize(static_cast<size_t>(s.M * groups + 8));
    const int64_t grain = std::max<int64_t>(1, kNumbersPerThread / std::max<int64_t>(1, s.K));
    const auto narrow = Loops<T, Code>::narrow();
    stream.threads->parallel_for(s.M, grain, [&](int64_t begin, int64_t end) {
        for (int64_t m = begin; m < end; ++m)
            narrow(codes + m * ld, memory.scales.data() + m * groups,
                   memory.offsets.data() + m * groups, a.as<T>() + m * a.stride[0], s.K, group);
    });
    return {codes, memory.scales.data(), memory.offsets.data(), ld, groups};
}

template <class T, class C, class Code>
void multiply(Stream& stream, const Tensor& c, const Tensor& a, const QuantMatrix& b,
              const QuantShape& s, float beta) {
    static thread_local Narrow memory;
    const QuantRows<Code> rows = narrow_rows<T, Code>(stream, memory, a, s, b.format);
    const auto dot = Loops<T, Code>::dot();
    const int64_t row_bytes = b.bytes.shape[1];
    const auto* weights = b.bytes.as<uint8_t>();
    C* const out = c.as<C>();
    const int64_t grain = std::max<int64_t>(1, kBytesPerThread / std::max<int64_t>(1, row_bytes));
    stream.threads->parallel_for(s.N, grain, [&](int64_t begin, int64_t end) {
        float sums[kProductsAtOnce];
        const int64_t at_once = kProductsAtOnce / std::clamp<int64_t>(s.M, 1, kMostM);
        for (int64_t n = begin; n < end; n += at_once) {
            const int64_t R = std::min(at_once, end - n);
            for (int64_t first = 0; first < s.M; first += kMostM) {
                const int64_t M = std::min(kMostM, s.M - first);
                QuantRows<Code> some = rows;
                some.codes += first * rows.ld;
                some.scales += first * rows.groups;
                some.offsets += first * rows.groups;
                dot(sums, at_once, some, M, weights + n * row_bytes, row_bytes, R);
                for (int64_t m = 0; m < M; ++m)
                    for (int64_t r = 0; r < R; ++r) {
                        C& to = out[(first + m) * c.stride[0] + n + r];
                        const float sum = sums[m * at_once + r];
                        to = C(beta == 0 ? sum : sum + static_cast<float>(to));
                    }
            }
        }
    });
}

template <class T, class C>
void multiply(Stream& stream, const Tensor& c, const Tensor& a, const QuantMatrix& b,
              const QuantShape& s, float beta) {
    if (b.format == QuantFormat::int8)
        multiply<T, C, int16_t>(stream, c, a, b, s, beta);
    else
        multiply<T, C, int8_t>(stream, c, a, b, s, beta);
}

} // namespace

void quant_gemm(Stream& stream, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace) {
    const QuantShape s = check_quant_gemm(c, a, b, beta);
    if (a.dtype == DType::f64)
        oracle::quant_gemm(stream, c, a, b, beta, workspace);
    else if (a.dtype == DType::f32)
        multiply<float, float>(stream, c, a, b, s, beta);
    else if (c.dtype == DType::f32)
        multiply<bf16, float>(stream, c, a, b, s, beta);
    else
        multiply<bf16, bf16>(stream, c, a, b, s, beta);
}

} // namespace tnl::fast
