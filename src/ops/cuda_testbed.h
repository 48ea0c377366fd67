// One program, run on the GPU and on the CPU oracle, and the comparison of what it keeps.
#pragma once

#include "base/rng.h"
#include "ops/kernels.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tnl::testing {

// Null where no GPU answers.
inline Device* gpu() {
    static const std::unique_ptr<Device> device =
        cuda_device_count() > 0 ? make_cuda_device(0, 1) : nullptr;
    return device.get();
}
inline Device& cpu() {
    static const std::unique_ptr<Device> device = make_cpu_device(1);
    return *device;
}

// The tensors of one run. The same calls give the same values on every device: uniform numbers,
// rounded to `rounding` whatever the dtype that stores them.
class Bed {
  public:
    using Dims = std::vector<int64_t>;
    struct Kept {
        std::string name;
        DType dtype;
        std::vector<double> values;
    };

    Bed(Device& device_, const Kernels& kernels_, DType dtype_, DType rounding)
        : device(device_), kernels(kernels_), dtype(dtype_),
          acc(dtype_ == DType::f64 ? DType::f64 : DType::f32), rounding_(rounding) {}

    Device& device;
    const Kernels& kernels;
    const DType dtype, acc;

    Stream& stream() { return device.stream(); }

    // Uniform in [-size, size). `gap` more elements lie between rows than the last dimension has,
    // filled with NaN, as do `lead` before the first.
    Tensor input(const Dims& dims, double size = 1, int64_t gap = 0, int64_t lead = 0) {
        return make(dims, dtype, rounding_, size, gap, lead, false);
    }
    Tensor acc_input(const Dims& dims, double size = 1) {
        return make(dims, acc, rounding_ == DType::f64 ? DType::f64 : DType::f32, size, 0, 0,
                    false);
    }
    Tensor output(const Dims& dims, int64_t gap = 0, int64_t lead = 0) {
        return make(dims, dtype, rounding_, 0, gap, lead, true);
    }
    Tensor acc_output(const Dims& dims) { return make(dims, acc, acc, 0, 0, 0, true); }
    Tensor output_of(DType type, const Dims& dims, int64_t gap = 0) {
        return make(dims, type, type, 0, gap, 0, true);
    }
    Tensor values(const Dims& dims, DType type, const std::vector<double>& x) {
        Tensor t = allocate(dims, type);
        put(t, x);
        return t;
    }
    Tensor ints(const std::vector<int32_t>& x) {
        const Tensor t = allocate({static_cast<int64_t>(x.size())}, DType::i32);
        device.upload(t.data, x.data(), x.size() * sizeof(int32_t));
        device.synchronize();
        return t;
    }
    Tensor bytes(size_t n) {
        return n == 0 ? Tensor{} : allocate({static_cast<int64_t>(n)}, DType::u8);
    }

    // The values of a view, in order.
    void keep(const std::string& name, const Tensor& t) { kept.push_back({name, t.dtype, get(t)}); }
    std::vector<Kept> kept;

    std::vector<double> get(const Tensor& t) {
        const std::vector<char> raw = download(t);
        std::vector<double> out;
        each_offset(t, [&](int64_t at) { out.push_back(read(raw, t.dtype, at)); });
        return out;
    }

  private:
    static size_t at(int64_t i) { return static_cast<size_t>(i); }

    Tensor allocate(const Dims& dims, DType type) {
        owned_.emplace_back(device, type, dims.data(), static_cast<int>(dims.size()));
        return owned_.back();
    }

    Tensor make(const Dims& dims, DType type, DType rounding, double size, int64_t gap,
                int64_t lead, bool undefined) {
        Dims wide = dims;
        wide.back() += gap + lead;
        const Tensor whole = allocate(wide, type);
        put(whole, std::vector<double>(at(whole.size()), NAN));
        const int last = static_cast<int>(dims.size()) - 1;
        const Tensor t = whole.slice(last, lead, lead + dims.back());
        const Philox rng{seed_++, 7};
        if (undefined) return t;
        std::vector<double> x(at(t.size()));
        for (size_t i = 0; i < x.size(); ++i)
            x[i] = round_to(rounding, (2 * rng.uniform(i) - 1) * size);
        put(t, x);
        return t;
    }

    static double round_to(DType type, double x) {
        if (type == DType::bf16) return static_cast<double>(static_cast<float>(bf16(x)));
        if (type == DType::f16) return static_cast<double>(static_cast<float>(f16(x)));
        return type == DType::f32 ? static_cast<double>(static_cast<float>(x)) : x;
    }

    // Elements from the first to behind the last.
    static int64_t extent(const Tensor& t) {
        int64_t n = 1;
        for (int i = 0; i < t.rank; ++i) n += (t.shape[at(i)] - 1) * t.stride[at(i)];
        return t.size() == 0 ? 0 : n;
    }
    template <class F> static void each_offset(const Tensor& t, F f) {
        const int64_t n = t.size();
        for (int64_t i = 0; i < n; ++i) {
            int64_t rest = i, offset = 0;
            for (int d = t.rank - 1; d >= 0; --d) {
                offset += rest % t.shape[at(d)] * t.stride[at(d)];
                rest /= t.shape[at(d)];
            }
            f(offset);
        }
    }
    std::vector<char> download(const Tensor& t) {
        std::vector<char> raw(at(extent(t) * size_of(t.dtype)));
        device.download(raw.data(), t.data, raw.size());
        return raw;
    }
    void put(const Tensor& t, const std::vector<double>& x) {
        std::vector<char> raw(at(extent(t) * size_of(t.dtype)));
        if (!t.contiguous()) raw = download(t);
        size_t i = 0;
        each_offset(t, [&](int64_t offset) { write(raw, t.dtype, offset, x[i++]); });
        device.upload(t.data, raw.data(), raw.size());
        device.synchronize();
    }
    static double read(const std::vector<char>& raw, DType type, int64_t i) {
        switch (type) {
        case DType::f64:
            return reinterpret_cast<const double*>(raw.data())[i];
        case DType::f32:
            return static_cast<double>(reinterpret_cast<const float*>(raw.data())[i]);
        case DType::bf16:
            return static_cast<double>(
                static_cast<float>(reinterpret_cast<const bf16*>(raw.data())[i]));
        case DType::f16:
            return static_cast<double>(
                static_cast<float>(reinterpret_cast<const f16*>(raw.data())[i]));
        default:
            fail("no values of dtype {}", name_of(type));
        }
    }
    static void write(std::vector<char>& raw, DType type, int64_t i, double x) {
        switch (type) {
        case DType::f64:
            reinterpret_cast<double*>(raw.data())[i] = x;
            return;
        case DType::f32:
            reinterpret_cast<float*>(raw.data())[i] = static_cast<float>(x);
            return;
        case DType::bf16:
            reinterpret_cast<bf16*>(raw.data())[i] = bf16(x);
            return;
        case DType::f16:
            reinterpret_cast<f16*>(raw.data())[i] = f16(x);
            return;
        default:
            fail("no values of dtype {}", name_of(type));
        }
    }

    DType rounding_;
    uint64_t seed_ = 1;
    std::vector<OwnedTensor> owned_;
};

using Program = std::function<void(Bed&)>;

// Largest |x - truth| over the largest |truth|; infinite where one is not a number.
inline double relative_error(const std::vector<double>& x, const std::vector<double>& truth) {
    double error = 0, size = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
        const double e = std::abs(x[i] - truth[i]);
        if (std::isnan(e)) return INFINITY;
        error = std::max(error, e);
        size = std::max(size, std::abs(truth[i]));
    }
    return error == 0 ? 0 : error / (size == 0 ? 1 : size);
}

struct Tolerance {
    double f64 = 1e-12, f32 = 1e-5;
    // bf16: twice the error of the oracle in bf16, or this where sums in f32 differ in order.
    double bf16_floor = 1e-5;
    double f16 = 0x1p-9; // four roundings
};

// Runs the program on the GPU twice, whose results must agree bit for bit, and on the CPU oracle in
// f64 on the same (rounded) inputs.
inline void compare(const Program& program, const std::string& what, Tolerance tolerance = {},
                    const std::vector<DType>& dtypes = {DType::f64, DType::f32, DType::bf16}) {
    if (!gpu()) return;
    const auto run = [&](Device& device, const Kernels& kernels, DType dtype, DType rounding) {
        Bed bed(device, kernels, dtype, rounding);
        program(bed);
        device.synchronize();
        return std::move(bed.kept);
    };
    for (const DType dtype : dtypes) {
        const auto got = run(*gpu(), *cuda_kernels(), dtype, dtype);
        const auto again = run(*gpu(), *cuda_kernels(), dtype, dtype);
        const auto truth = run(cpu(), cpu_oracle_kernels(), DType::f64, dtype);
        // The oracle has no f16: its bf16 stands in, unread.
        const DType narrow = dtype == DType::f16 ? DType::bf16 : dtype;
        const auto plain = run(cpu(), cpu_oracle_kernels(), narrow, dtype);
        ASSERT_EQ(got.size(), truth.size());
        for (size_t i = 0; i < got.size(); ++i) {
            const std::string where = what + " " + got[i].name + " " + std::string(name_of(dtype));
            ASSERT_EQ(got[i].values.size(), truth[i].values.size()) << where;
            const double error = relative_error(got[i].values, truth[i].values);
            const double limit =
                dtype == DType::f64   ? tolerance.f64
                : dtype == DType::f16 ? tolerance.f16
                : dtype == DType::f32
                    ? tolerance.f32
                    : std::max(tolerance.bf16_floor,
                               2 * relative_error(plain[i].values, truth[i].values));
            EXPECT_LE(error, limit) << where;
            EXPECT_EQ(got[i].values, again[i].values) << where << ": two runs differ";
        }
    }
}

// Every test begins with this.
#define TNL_NEEDS_GPU()                                                                            \
    if (!::tnl::testing::gpu()) GTEST_SKIP() << "no CUDA GPU on this machine"

} // namespace tnl::testing
