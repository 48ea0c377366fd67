// For tests: a matrix in 8 bits on a device, and what it holds.
#pragma once

#include "ops/kernels.h"

#include <vector>

namespace tnl::testing {

struct Quantized {
    Quantized(const Kernels& kernels, Device& device, const Tensor& x, Fp8Format format)
        : device_(device), codes_(device, DType::u8, {x.shape[0], x.shape[1]}),
          transposed_(device, DType::u8, {x.shape[1], x.shape[0]}),
          scale_(device, DType::f32, {1}), rows{codes_, scale_, format}, columns{transposed_,
                                                                                 scale_, format} {
        kernels.fp8_quantize(device.stream(), rows, transposed_, x);
    }
    std::vector<uint8_t> codes() const { return bytes(codes_); }
    std::vector<uint8_t> transposed() const { return bytes(transposed_); }
    float scale() const {
        float out = 0;
        device_.download(&out, scale_.data, sizeof out);
        return out;
    }
    // Codes times scale, on a CPU.
    OwnedTensor values() const {
        OwnedTensor out(device_, DType::f64, {codes_.shape[0], codes_.shape[1]});
        const std::vector<uint8_t> all = codes();
        for (size_t i = 0; i < all.size(); ++i)
            out.as<double>()[i] =
                static_cast<double>(fp8_value(all[i], rows.format)) * static_cast<double>(scale());
        return out;
    }

  private:
    std::vector<uint8_t> bytes(const Tensor& t) const {
        std::vector<uint8_t> out(static_cast<size_t>(t.size()));
        device_.download(out.data(), t.data, out.size());
        return out;
    }
    Device& device_;
    OwnedTensor codes_, transposed_, scale_;

  public:
    const Fp8Matrix rows, columns;
};

} // namespace tnl::testing
