#include "infer/sequence.h"

#include "infer/logprob.h"

#include <algorithm>

namespace tnl {

Sequence::Sequence(const GenerateRequest& of, int64_t vocab_size, int64_t number)
    : request(&of), index(number), seen(vocab_size) {
    for (const int32_t token : of.before) seen.add(token);
    for (const int32_t token : of.prompt) seen.add(token);
}

bool Sequence::takes_the_largest() const {
    return request->sampler.plainly_greedy() && !scored && grammar == nullptr;
}

std::optional<Finish>
Sequence::take_newest(const std::function<bool(const ScoredToken&)>& on_token) {
    if (std::ranges::find(request->end_tokens, newest.token) != request->end_tokens.end())
        return Finish::end_token;
    seen.add_made(newest.token);
    ++made;
    if (on_token && !on_token(newest)) return Finish::stopped;
    if (grammar != nullptr && grammar->finished(places)) return Finish::end_token;
    if (made >= request->max_new_tokens) return Finish::length;
    return std::nullopt;
}

static void choose(Sequence& s, std::span<const float> logits) {
    const GenerateRequest& r = *s.request;
    const auto mask = s.grammar ? s.grammar->mask(s.places) : nullptr;
    const uint64_t position = r.before.size() + r.prompt.size() + static_cast<uint64_t>(s.made);
    const int32_t token =
        sample_token(logits, r.sampler, s.seen.list(), r.id + static_cast<uint64_t>(s.index),
                     position, s.seen.made(), mask.get());
    if (s.grammar) s.grammar->advance(s.places, token);
    s.newest = s.scored ? score_token(logits, token, s.top) : ScoredToken{token, 0, {}};
}

void choose_newest(Session& session, const SequencePointers& sequences,
                   std::span<const int64_t> rows, std::span<const int32_t> chosen) {
    const auto count = static_cast<int64_t>(sequences.size());
    session.device().stream().threads->parallel_for(count, 1, [&](int64_t begin, int64_t end) {
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
            Sequence& s = *sequences[i];
            if (s.request->max_new_tokens == 0) continue;
            if (!chosen.empty() && chosen[i] >= 0) {
                s.newest = {chosen[i], 0, {}};
                continue;
            }
            try {
                choose(s, session.logits(rows[i]));
            } catch (const std::exception& e) {
                s.fault = e.what();
            }
        }
    });
}

void decode_step(Session& session, const SequencePointers& sequences) {
    std::vector<int32_t> tokens, chosen;
    std::vector<int64_t> rows;
    for (const Sequence* s : sequences) {
        rows.push_back(std::ssize(tokens));
        tokens.push_back(s->newest.token);
    }
    if (std::ranges::any_of(sequences, [](const Sequence* s) { return s->takes_the_largest(); })) {
        // Only the others' logits are fetched, and those in which there is no largest, for the
        // reason.
        const auto largest = session.decode_greedily(tokens);
        chosen.assign(largest.begin(), largest.end());
        for (size_t i = 0; i < chosen.size(); ++i) {
            if (!sequences[i]->takes_the_largest()) chosen[i] = -1;
            if (chosen[i] < 0) session.fetch_logits(rows[i]);
        }
    } else {
        session.decode(tokens);
    }
    choose_newest(session, sequences, rows, chosen);
}

} // namespace tnl
