#include "corpus/mix/mix_plan.h"

#include "base/check.h"
#include "base/rng.h"

#include <algorithm>
#include <cmath>

namespace tnl::corpus {
namespace {

constexpr double kMostEpochs = 1000;
// Streams of random numbers of a file: of keys, and of whether there is one copy more.
constexpr uint64_t kCopyStream = uint64_t{1} << 63;

void check_names(const std::map<std::string, GroupSize>& sizes,
                 const std::map<std::string, double>& given, const char* option) {
    for (const auto& [name, value] : given) {
        if (!(value >= 0) || !std::isfinite(value))
            throw UsageError(fmt::format("{} {}={}, wanted 0 or more", option, name, value));
        if (sizes.contains(name)) continue;
        std::string known;
        for (const auto& [group, size] : sizes) known += (known.empty() ? "" : ", ") + group;
        throw UsageError(fmt::format("{} names '{}', which no document has; there are: {}", option,
                                     name, known));
    }
}

} // namespace

std::map<std::string, double> plan_mix(const std::map<std::string, GroupSize>& sizes,
                                       const MixWeights& weights) {
    check_names(sizes, weights.epochs, "--epochs");
    check_names(sizes, weights.weights, "--weight");
    std::map<std::string, double> out;
    if (!weights.target) {
        for (const auto& [name, size] : sizes)
            out[name] = weights.epochs.contains(name) ? weights.epochs.at(name) : 1;
    } else {
        double all = 0;
        std::map<std::string, double> shares;
        const auto amount = [&](const GroupSize& size) {
            return static_cast<double>(weights.target_tokens ? size.tokens : size.bytes);
        };
        for (const auto& [name, size] : sizes) {
            if (!weights.weights.empty() && !weights.weights.contains(name))
                throw UsageError(fmt::format(
                    "no --weight for '{}', wanted one for every group; 0 leaves it out", name));
            shares[name] = weights.weights.empty() ? amount(size) : weights.weights.at(name);
            all += shares[name];
        }
        if (!(all > 0)) throw UsageError("all weights are 0, wanted one above it");
        for (const auto& [name, size] : sizes)
            out[name] = amount(size) > 0 ? static_cast<double>(*weights.target) * shares[name] /
                                               all / amount(size)
                                         : 0;
    }
    for (auto& [name, epochs] : out) {
        if (weights.most_epochs > 0) epochs = std::min(epochs, weights.most_epochs);
        if (epochs > kMostEpochs)
            throw UsageError(fmt::format("'{}' would be read {:.0f} times, wanted at most {:.0f}; "
                                         "--max-epochs sets a limit",
                                         name, epochs, kMostEpochs));
    }
    return out;
}

int64_t copies_of(double epochs, uint64_t seed, uint64_t file, uint64_t index) {
    const double whole = std::floor(epochs);
    const bool more = Philox{seed, file | kCopyStream}.uniform(index) < epochs - whole;
    return static_cast<int64_t>(whole) + more;
}

uint64_t key_of(uint64_t seed, uint64_t file, uint64_t index, uint64_t copy) {
    const Philox::Block block = Philox{seed, file}.block(index << 16 | copy);
    return uint64_t{block.x[0]} << 32 | block.x[1];
}

} // namespace tnl::corpus
