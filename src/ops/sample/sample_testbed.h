// Rows of logits with all kinds of choices, for the tests of Kernels::sample.
#pragma once

#include "ops/sample/sample.h"
#include "tensor/device.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace tnl::testing {

struct SampleRows {
    int64_t V;
    std::vector<float> logits;
    std::vector<TokenChoice> choices;
    std::vector<TokenChange> changes;

    int64_t rows() const { return static_cast<int64_t>(choices.size()); }

    // Of row `i` the choices are made as its number says: with and without each step, logits that
    // tie, logits far apart, logits of -infinity, changes of some tokens.
    SampleRows(int64_t rows, int64_t columns, uint64_t seed) : V(columns) {
        const Philox rng{seed, 11};
        uint64_t at = 0;
        const auto uniform = [&] { return rng.uniform(at++); };
        for (int64_t n = 0; n < rows; ++n) {
            const double spread = std::array{0.01, 1.0, 3.0, 30.0}[static_cast<size_t>(n % 4)];
            const bool ties = n % 3 == 1, gaps = n % 5 == 2;
            for (int64_t c = 0; c < V; ++c) {
                auto x = static_cast<float>(spread * rng.normal(at++));
                if (ties) x = std::round(x * 4) / 4;
                if (gaps && uniform() < 0.3) x = -std::numeric_limits<float>::infinity();
                logits.push_back(x);
            }
            TokenChoice& choice = choices.emplace_back();
            choice.uniform = uniform();
            choice.temperature = std::array{1.0, 0.3, 2.0, 0.0, 1e-3}[static_cast<size_t>(n % 5)];
            if (n % 2 == 1) choice.top_p = std::array{0.9, 0.5, 1e-9}[static_cast<size_t>(n % 3)];
            if (n % 7 > 3) choice.top_k = std::array<int64_t, 3>{1, 40, V + 5}[at % 3];
            if (n % 11 == 5) choice.min_p = std::array{0.05, 1.0}[at % 2];
            choice.skip = n % 13 == 12 ? 1 : 0;
            choice.first_change = static_cast<int32_t>(changes.size());
            if (n % 3 == 0) add_changes(choice, uniform);
        }
    }

    template <class F> void add_changes(TokenChoice& choice, F&& uniform) {
        std::map<int32_t, TokenChange> by_token;
        for (int i = 0; i < 50; ++i) {
            TokenChange change;
            change.token = static_cast<int32_t>(uniform() * static_cast<double>(V));
            change.penalised = uniform() < 0.5 ? 1 : 0;
            change.bias = static_cast<float>(4 * uniform() - 2);
            change.taken = 3 * uniform() - 1;
            by_token[change.token] = change;
        }
        choice.repetition_penalty = 1.3;
        choice.changes = static_cast<int32_t>(by_token.size());
        for (const auto& [token, change] : by_token) changes.push_back(change);
    }

    // What the table chooses on a device; `after`: the logits it leaves.
    std::vector<int32_t> choose(Device& device, const Kernels& kernels,
                                std::vector<float>* after = nullptr) const {
        const auto bytes = [](const auto& of) {
            return static_cast<int64_t>(of.size() * sizeof(of[0]));
        };
        const OwnedTensor x(device, DType::f32, {rows(), V}), chosen(device, DType::i32, {rows()}),
            c(device, DType::u8, {bytes(choices)}), d(device, DType::u8, {bytes(changes)});
        device.upload(x.data, logits.data(), static_cast<size_t>(x.bytes()));
        device.upload(c.data, choices.data(), static_cast<size_t>(c.bytes()));
        if (d.bytes() > 0) device.upload(d.data, changes.data(), static_cast<size_t>(d.bytes()));
        kernels.sample(device.stream(), chosen, x, c, d);
        std::vector<int32_t> out(choices.size());
        device.download(out.data(), chosen.data, out.size() * sizeof(int32_t));
        if (after) {
            after->resize(logits.size());
            device.download(after->data(), x.data, static_cast<size_t>(x.bytes()));
        }
        device.synchronize();
        return out;
    }
};

} // namespace tnl::testing
