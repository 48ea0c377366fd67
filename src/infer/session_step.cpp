// One token for each slot: the step that is made again and again. What changes from one to the next
// lies in buffers of fixed addresses, so that a GPU gets the whole step as one recording.
#include "infer/session.h"

#include <algorithm>

namespace tnl {

void Session::decode(std::span<const int32_t> tokens) {
    run_step(tokens, false);
    for (int64_t i = 0; i < static_cast<int64_t>(tokens.size()); ++i) fetch_logits(i);
}

std::span<const int32_t> Session::decode_greedily(std::span<const int32_t> tokens) {
    run_step(tokens, true);
    device_.synchronize();
    return {host_.slice(0, 2, 3).as<int32_t>(), tokens.size()};
}

std::span<const int32_t> Session::decode_by_lot(std::span<const int32_t> tokens,
                                                std::span<const TokenChoice> choices,
                                                std::span<const TokenChange> changes) {
    TNL_CHECK(samples() && choices.size() == tokens.size() && std::ssize(changes) <= most_changes(),
              "{} choices for {} tokens, {} changes, wanted at most {}", choices.size(),
              tokens.size(), changes.size(), samples() ? most_changes() : 0);
    run_step(tokens, false);
    const auto put = [&](const Tensor& buffer, int64_t at, const auto& from) {
        auto* const host = host_choices_.as<uint8_t>() + at;
        const auto bytes = static_cast<int64_t>(from.size_bytes());
        std::copy_n(reinterpret_cast<const uint8_t*>(from.data()), bytes, host);
        if (bytes > 0) device_.copy(buffer.data, host, static_cast<size_t>(bytes));
        return buffer.slice(0, 0, bytes);
    };
    const Tensor rows = put(buffers_.choices, 0, choices);
    const Tensor all = put(buffers_.changes, buffers_.choices.size(), changes);
    const auto B = static_cast<int64_t>(tokens.size());
    const Tensor chosen = buffers_.chosen.slice(0, 0, B);
    kernels_.sample(device_.stream(), chosen, buffers_.logits.slice(0, 0, B), rows, all);
    device_.copy(host_.slice(0, 2, 3).data, chosen.data, static_cast<size_t>(chosen.bytes()));
    device_.synchronize();
    return {host_.slice(0, 2, 3).as<int32_t>(), tokens.size()};
}

std::span<const float> Session::fetch_logits(int64_t row) {
    const int64_t V = model_.config().vocab_size;
    download_logits(logits_.data() + row * V, buffers_.logits.slice(0, row, row + 1));
    return logits(row);
}

void Session::run_step(std::span<const int32_t> tokens, bool choose) {
    const auto B = static_cast<int64_t>(tokens.size());
    TNL_CHECK(B >= 1 && B <= options_.slots, "{} tokens for {} slots", B, options_.slots);
    for (size_t i = 0; i < tokens.size(); ++i) check_tokens(tokens.subspan(i, 1), lengths_[i]);
    // The step before has been waited for: nothing reads them any more.
    auto* ids = host_.as<int32_t>();
    auto* positions = ids + options_.slots;
    for (size_t i = 0; i < tokens.size(); ++i) {
        ids[i] = tokens[i];
        positions[i] = static_cast<int32_t>(lengths_[i]);
    }
    record_or_replay(B, choose);
    for (size_t i = 0; i < tokens.size(); ++i) ++lengths_[i];
}

void Session::record_or_replay(int64_t B, bool choose) {
    if (options_.kernels) return step(B, choose); // they may wait, to take the time
    if (steps_.size() > kMostRecordings && !steps_.contains({B, choose})) steps_.clear();
    Step& known = steps_[{B, choose}];
    if (!known.ran) {
        step(B, choose);
        known.ran = true;
        return;
    }
    if (!known.recorded) known.recorded = device_.record([this, B, choose] { step(B, choose); });
    known.recorded->replay();
}

void Session::step(int64_t B, bool choose) {
    device_.copy(buffers_.step.data, host_.data, static_cast<size_t>(buffers_.step.bytes()));
    const auto row = [&](int64_t i) {
        return buffers_.step.slice(0, i, i + 1).reshape({options_.slots}).slice(0, 0, B);
    };
    Batch batch;
    batch.ids = row(0);
    batch.positions = row(1);
    batch.sequences = B;
    const States states = slots_view(0, B);
    const Tensor h = buffers_.h.slice(0, 0, B), logits = buffers_.logits.slice(0, 0, B);
    const Tensor chosen = buffers_.chosen.slice(0, 0, B);
    Run run = make_run();
    const bool whole =
        buffers_.step_workspace &&
        model_.decode_step(run, weights_, logits, chosen, batch, states, buffers_.step_workspace);
    if (!whole) {
        model_.forward(run, weights_, h, batch, passing(&states, &states), nullptr, nullptr);
        model_.logits(run, weights_, logits, h);
    }
    if (!choose) return;
    if (!whole) kernels_.argmax(run.stream, chosen, logits);
    device_.copy(host_.slice(0, 2, 3).data, chosen.data, static_cast<size_t>(chosen.bytes()));
}

} // namespace tnl
