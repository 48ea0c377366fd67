#include "ops/kernels.h"

#include <array>
#include <utility>

namespace tnl {
namespace {

// The first name of an activation is the one it is printed by.
constexpr std::array<std::pair<std::string_view, Activation>, 14> kNames{{
    {"none", Activation::identity},
    {"identity", Activation::identity},
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"relu", Activation::relu},
    {"leak", Activation::leaky_relu},
    {"leaky_relu", Activation::leaky_relu},
    {"gelu", Activation::gelu},
    {"elu", Activation::elu},
    {"1+elu", Activation::one_plus_elu},
    {"2+elu", Activation::two_plus_elu},
    {"sigmoid", Activation::sigmoid},
    {"exp", Activation::exp},
    {"sine", Activation::sine},
}};

} // namespace

Activation activation_from_name(std::string_view name) {
    std::string known;
    for (const auto& [text, act] : kNames) {
        if (text == name) return act;
        known += (known.empty() ? "" : ", ") + std::string(text);
    }
    throw UsageError(fmt::format("unknown activation '{}', wanted one of {}", name, known));
}

std::string_view name_of(Activation activation) {
    for (const auto& [text, act] : kNames)
        if (act == activation) return text;
    return "?";
}

} // namespace tnl
