// The matrices of a fastText model: floats, or codes of product quantization (Jegou et al. 2011).
#pragma once

#include "corpus/language/model_reader.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tnl::corpus {

class FastTextMatrix {
  public:
    // Throws where sizes do not fit one another.
    static FastTextMatrix read(ModelReader& in, bool quantized);

    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    size_t bytes() const;
    void prefetch(int64_t row) const;
    // x += row, in the library's order; x has `columns` numbers.
    void add_row(int64_t row, std::span<float> x) const;
    float dot_row(int64_t row, std::span<const float> x) const;

  private:
    struct Quantizer { // 256 centroids for each part of a vector
        int32_t dim = 0, parts = 0, part = 0, last = 0;
        std::vector<float> centroids;
        static Quantizer read(ModelReader& in, int64_t dim);
        const float* centroid(int32_t p, uint8_t code) const;
    };
    float norm(int64_t row) const;

    int64_t rows_ = 0, columns_ = 0;
    std::vector<float> values_; // of a matrix of floats
    std::vector<uint8_t> codes_, norm_codes_;
    Quantizer quantizer_, norms_;
};

} // namespace tnl::corpus
