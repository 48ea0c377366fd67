#include "infer/verification.h"

#include "base/rng.h"
#include "model/checkpoint.h"

#include <algorithm>
#include <utility>

namespace tnl {
namespace {

constexpr double kTolerance = 1e-5, kGradientTolerance = 1e-4;
constexpr double kGradientFloor = 1e-4; // of the largest gradient of any tensor
constexpr double kBf16Step = 0x1p-8;
constexpr uint64_t kDraws = 16;          // of plain bf16, at most
constexpr double kShift = kBf16Step / 4; // of a weight, before rounding

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

// The weights in bf16, rounded to nearest (draw 0) or so after a shift of each by at most kShift of
// itself: those that lie about halfway between two values go the other way.
OwnedTensor rounded_weights(const std::filesystem::path& directory, const Model& model, Device& cpu,
                            uint64_t draw) {
    want_floats(model.config().weights, "verify");
    if (draw == 0) return load_weights_to_device(directory, model, cpu, DType::bf16);
    const OwnedTensor wide = load_weights_to_device(directory, model, cpu, DType::f32);
    OwnedTensor out(cpu, DType::bf16, {model.params().flat_size()});
    const float* from = Tensor(wide).as<float>();
    bf16* to = Tensor(out).as<bf16>();
    const Philox random{draw, 0};
    cpu.stream().threads->parallel_for(
        model.params().flat_size(), 1 << 14, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const double u = 2 * random.uniform(static_cast<uint64_t>(i)) - 1;
                to[i] = bf16(static_cast<float>(from[i] * (1 + kShift * u)));
            }
        });
    return out;
}

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

    const std::vector<double> f32_errors = errors(*f32);
    for (size_t i = 0; i < out.tensors.size(); ++i) {
        Verdict& v = out.tensors[i];
        v.f32 = f32_errors[i];
        v.f32_allowed = std::exchange(v.allowed, 0);
        v.plain = 0;
    }
    out.tokens_ok = std::all_of(f32->other_tokens.begin(), f32->other_tokens.end(), tie);
    const auto cpu = make_cpu_device(device.stream().threads->size());
    all.dtype = DType::bf16;
    all.kernels = &cpu_oracle_kernels();
    const auto beyond = [](const Verdict& v) { return v.error > v.allowed; };
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
        const OwnedTensor weights = rounded_weights(directory, model, *cpu, draw);
        const Reproduction plain = reproduce(model, *cpu, weights, all, recorded, gradients);
        const std::vector<double> plain_errors = errors(plain);
        for (size_t i = 0; i < out.tensors.size(); ++i) {
            Verdict& v = out.tensors[i];
            v.plain = std::max(*v.plain, plain_errors[i]);
            v.allowed = std::max(2 * *v.plain, kBf16Step);
        }
        if (draw == 0) out.plain_other_tokens = plain.other_tokens.size();
        out.draws = static_cast<int>(draw) + 1;
        if (std::none_of(out.tensors.begin(), out.tensors.end(), beyond)) break;
    }
    return out;
}

} // namespace tnl
