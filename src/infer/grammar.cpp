#include "infer/grammar.h"

#include "base/check.h"

#include <algorithm>

namespace tnl {
namespace {

// Of a grammar that calls itself without reading a byte, or is as ambiguous as makes no sense.
constexpr size_t kMostPlaces = 20'000;
constexpr size_t kMostStates = 2'000'000;

} // namespace

Grammar::State Grammar::add_state() {
    TNL_CHECK(states_.size() < kMostStates, "the grammar has more than {} states", kMostStates);
    states_.emplace_back();
    return static_cast<State>(states_.size()) - 1;
}

void Grammar::add_bytes(State from, unsigned char low, unsigned char high, State to) {
    states_[static_cast<size_t>(from)].bytes.push_back({low, high, to});
}

void Grammar::add_call(State from, State rule, State to) {
    states_[static_cast<size_t>(from)].calls.push_back({rule, to});
}

void Grammar::add_jump(State from, State to) {
    states_[static_cast<size_t>(from)].jumps.push_back(to);
}

void Grammar::end_rule(State state) { states_[static_cast<size_t>(state)].ends = true; }

void Grammar::add_text(State from, std::string_view text, State to) {
    if (text.empty()) return add_jump(from, to);
    for (size_t i = 0; i < text.size(); ++i) {
        const State next = i + 1 == text.size() ? to : add_state();
        const auto byte = static_cast<unsigned char>(text[i]);
        add_bytes(from, byte, byte, next);
        from = next;
    }
}

GrammarWalk::GrammarWalk(Grammar grammar, Grammar::State rule)
    : grammar_(std::move(grammar)), rule_(rule) {}

int32_t GrammarWalk::push(int32_t below, Grammar::State back) {
    const uint64_t key =
        static_cast<uint64_t>(static_cast<uint32_t>(below)) << 32 | static_cast<uint32_t>(back);
    const auto [at, added] = known_.try_emplace(key, static_cast<int32_t>(stacks_.size()));
    if (added) stacks_.push_back({back, below});
    return at->second;
}

void GrammarWalk::add(Place place, Places& to) {
    pending_.push_back(place);
    while (!pending_.empty()) {
        const Place at = pending_.back();
        pending_.pop_back();
        if (std::ranges::find(visited_, at) != visited_.end()) continue;
        visited_.push_back(at);
        TNL_CHECK(visited_.size() < kMostPlaces,
                  "the grammar is ambiguous beyond {} places at once, or refers to itself without "
                  "anything between",
                  kMostPlaces);
        const Grammar::Node& node = grammar_.states_[static_cast<size_t>(at.state)];
        for (const Grammar::State next : node.jumps) pending_.push_back({next, at.stack});
        for (const Grammar::Call& call : node.calls)
            pending_.push_back({call.rule, push(at.stack, call.to)});
        if (node.ends && at.stack != kEmpty) {
            const Stack& stack = stacks_[static_cast<size_t>(at.stack)];
            pending_.push_back({stack.back, stack.below});
        }
        if (!node.bytes.empty() || (node.ends && at.stack == kEmpty)) to.push_back(at);
    }
}

GrammarWalk::Places GrammarWalk::begin() {
    Places out;
    visited_.clear();
    add({rule_, kEmpty}, out);
    std::sort(out.begin(), out.end());
    return out;
}

void GrammarWalk::advance(const Places& from, unsigned char byte, Places& to) {
    to.clear();
    visited_.clear();
    for (const Place& place : from)
        for (const Grammar::Bytes& edge : grammar_.states_[static_cast<size_t>(place.state)].bytes)
            if (byte >= edge.low && byte <= edge.high) add({edge.to, place.stack}, to);
    if (to.size() > 1) std::sort(to.begin(), to.end());
}

bool GrammarWalk::complete(const Places& places) const {
    return std::ranges::any_of(places, [&](const Place& p) {
        return p.stack == kEmpty && grammar_.states_[static_cast<size_t>(p.state)].ends;
    });
}

bool GrammarWalk::goes_on(const Places& places) const {
    return std::ranges::any_of(places, [&](const Place& p) {
        return !grammar_.states_[static_cast<size_t>(p.state)].bytes.empty();
    });
}

} // namespace tnl
