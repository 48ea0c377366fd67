#include "infer/verification.h"

#include "model/checkpoint.h"

#include <algorithm>

namespace tnl {
namespace {

constexpr double kTolerance = 1e-5, kGradientTolerance = 1e-4;
constexpr double kGradientFloor = 1e-4; // of the largest gradient of any tensor
constexpr double kBf16Step = 0x1p-8;

bool is_gradient(const Deviation& d) { return d.tensor.starts_with("d "); }

double tolerance(const Deviation& d) { return is_gradient(d) ? kGradientTolerance : kTolerance; }

// The errors of its tensors.
std::vector<double> errors(const Reproduction& reproduction) {
    double floor = 0;
    for (const Deviation& d : reproduction.tensors)
        if (is_gradient(d)) floor = std::max(floor, kGradientFloor * d.largest);
    std::vector<double> out;
    for (const Deviation& d : reproduction.tensors)
        out.push_back(d.error(is_gradient(d) ? floor : 0));
    return out;
}

bool tie(const Reproduction::Token& token) { return token.gap == 0; }

} // namespace

bool Verification::ok() const {
    return tokens_ok &&
           std::all_of(tensors.begin(), tensors.end(), [](const Verdict& v) { return v.ok(); });
}

Verification verify(const std::filesystem::path& directory, const Model& model, Device& device,
                    const ReproductionOptions& options, const Recorded& recorded,
                    const RecordedGradients* gradients) {
    ReproductionOptions all = options;
    const auto reproduced = [&](Device& on, DType dtype, const Kernels* kernels) {
        all.dtype = dtype;
        all.kernels = kernels;
        const OwnedTensor weights = load_weights_to_device(directory, model, on, dtype);
        Reproduction done = reproduce(model, on, weights, all, recorded, gradients);
        all.loss_counts_padding = done.loss_counts_padding; // f32 decides for bf16
        return done;
    };
    std::optional<Reproduction> f32;
    if (options.dtype == DType::bf16) f32 = reproduced(device, DType::f32, options.kernels);
    Reproduction own = reproduced(device, options.dtype, options.kernels);
    const std::vector<double> own_errors = errors(own);
    Verification out;
    for (size_t i = 0; i < own.tensors.size(); ++i)
        out.tensors.push_back({.deviation = own.tensors[i],
                               .error = own_errors[i],
                               .allowed = tolerance(own.tensors[i])});
    out.other_tokens = std::move(own.other_tokens);
    out.loss_counts_padding = own.loss_counts_padding;
    out.tokens_ok = std::all_of(out.other_tokens.begin(), out.other_tokens.end(), tie);
    if (!f32) return out;

    const auto cpu = make_cpu_device(device.stream().threads->size());
    const Reproduction plain = reproduced(*cpu, DType::bf16, &cpu_oracle_kernels());
    const std::vector<double> plain_errors = errors(plain), f32_errors = errors(*f32);
    for (size_t i = 0; i < out.tensors.size(); ++i) {
        Verdict& v = out.tensors[i];
        v.plain = plain_errors[i];
        v.f32 = f32_errors[i];
        v.f32_allowed = v.allowed;
        v.allowed = std::max(2 * plain_errors[i], kBf16Step);
    }
    out.plain_other_tokens = plain.other_tokens.size();
    out.tokens_ok = std::all_of(f32->other_tokens.begin(), f32->other_tokens.end(), tie);
    return out;
}

} // namespace tnl
