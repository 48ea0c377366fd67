#include "corpus/language/matrix.h"

namespace tnl::corpus {
namespace {

constexpr int32_t kCentroids = 256;

} // namespace

FastTextMatrix::Quantizer FastTextMatrix::Quantizer::read(ModelReader& in, int64_t dim) {
    Quantizer out;
    for (int32_t* each : {&out.dim, &out.parts, &out.part, &out.last}) *each = in.number<int32_t>();
    if (out.dim != dim || out.part < 1 || out.last < 1 || out.last > out.part || out.parts < 1 ||
        int64_t{out.parts - 1} * out.part + out.last != dim)
        in.wrong(fmt::format("has a quantizer of {} parts of {}, the last {}, for {} dimensions",
                             out.parts, out.part, out.last, dim));
    out.centroids = in.numbers<float>(dim * kCentroids);
    return out;
}

const float* FastTextMatrix::Quantizer::centroid(int32_t p, uint8_t code) const {
    const int64_t first = int64_t{p} * kCentroids * part;
    return &centroids[static_cast<size_t>(first + int64_t{code} * (p == parts - 1 ? last : part))];
}

FastTextMatrix FastTextMatrix::read(ModelReader& in, bool quantized) {
    FastTextMatrix out;
    const bool norms = quantized && in.number<uint8_t>() != 0;
    out.rows_ = in.number<int64_t>();
    out.columns_ = in.number<int64_t>();
    constexpr int64_t kMost = int64_t{1} << 31;
    if (out.rows_ < 1 || out.rows_ > kMost || out.columns_ < 1 || out.columns_ > kMost)
        in.wrong(fmt::format("has a matrix of {} x {}", out.rows_, out.columns_));
    if (!quantized) {
        out.values_ = in.numbers<float>(out.rows_ * out.columns_);
        return out;
    }
    const auto size = in.number<int32_t>();
    out.codes_ = in.numbers<uint8_t>(size);
    out.quantizer_ = Quantizer::read(in, out.columns_);
    if (int64_t{out.quantizer_.parts} * out.rows_ != size)
        in.wrong(fmt::format("has {} codes for {} rows of {} parts", size, out.rows_,
                             out.quantizer_.parts));
    if (norms) {
        out.norm_codes_ = in.numbers<uint8_t>(out.rows_);
        out.norms_ = Quantizer::read(in, 1);
    }
    return out;
}

size_t FastTextMatrix::bytes() const {
    return values_.size() * sizeof(float) + codes_.size() + norm_codes_.size();
}

void FastTextMatrix::prefetch(int64_t row) const {
    const void* at =
        values_.empty()
            ? static_cast<const void*>(&codes_[static_cast<size_t>(row * quantizer_.parts)])
            : static_cast<const void*>(&values_[static_cast<size_t>(row * columns_)]);
    __builtin_prefetch(at);
}

float FastTextMatrix::norm(int64_t row) const {
    return norm_codes_.empty() ? 1.0f : *norms_.centroid(0, norm_codes_[static_cast<size_t>(row)]);
}

void FastTextMatrix::add_row(int64_t row, std::span<float> x) const {
    if (!values_.empty()) {
        const float* values = &values_[static_cast<size_t>(row * columns_)];
        for (size_t i = 0; i < x.size(); ++i) x[i] += values[i];
        return;
    }
    const Quantizer& q = quantizer_;
    const float scale = norm(row);
    for (int32_t p = 0; p < q.parts; ++p) {
        const float* c = q.centroid(p, codes_[static_cast<size_t>(row * q.parts + p)]);
        const int32_t size = p == q.parts - 1 ? q.last : q.part;
        float* to = &x[static_cast<size_t>(p * q.part)];
        for (int32_t i = 0; i < size; ++i) to[i] += scale * c[i];
    }
}

float FastTextMatrix::dot_row(int64_t row, std::span<const float> x) const {
    float out = 0;
    if (!values_.empty()) {
        const float* values = &values_[static_cast<size_t>(row * columns_)];
        for (size_t i = 0; i < x.size(); ++i) out += values[i] * x[i];
        return out;
    }
    const Quantizer& q = quantizer_;
    for (int32_t p = 0; p < q.parts; ++p) {
        const float* c = q.centroid(p, codes_[static_cast<size_t>(row * q.parts + p)]);
        const int32_t size = p == q.parts - 1 ? q.last : q.part;
        const float* from = &x[static_cast<size_t>(p * q.part)];
        for (int32_t i = 0; i < size; ++i) out += from[i] * c[i];
    }
    return out * norm(row);
}

} // namespace tnl::corpus
