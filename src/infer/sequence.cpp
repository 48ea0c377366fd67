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
    return wants_a_token() && request->sampler.plainly_greedy();
}

uint64_t Sequence::position() const {
    return request->before.size() + request->prompt.size() + static_cast<uint64_t>(made);
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
    const int32_t token = sample_token(logits, r.sampler, s.seen.list(), s.id(), s.position(),
                                       s.seen.made(), mask.get());
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

namespace {

// What the device is asked to draw, for sequences of which it can.
struct Lots {
    std::vector<TokenChoice> choices;
    std::vector<TokenChange> changes;
    bool any = false; // not the largest alone

    Lots(const SequencePointers& sequences, int64_t most_changes) {
        for (const Sequence* s : sequences) {
            const size_t before = changes.size();
            TokenChoice& choice = choices.emplace_back();
            choice.skip = 1;
            if (!s->wants_a_token()) continue;
            const TokenChoice wanted =
                token_choice(s->request->sampler, s->seen.list(), s->seen.made(), changes);
            if (std::ssize(changes) > most_changes) {
                changes.resize(before);
                continue;
            }
            choice = wanted;
            choice.uniform = drawn_number(s->request->sampler, s->id(), s->position());
            any = any || !s->takes_the_largest();
        }
    }
};

} // namespace

void decode_step(Session& session, const SequencePointers& sequences) {
    std::vector<int32_t> tokens;
    std::vector<int64_t> rows;
    for (const Sequence* s : sequences) {
        rows.push_back(std::ssize(tokens));
        tokens.push_back(s->newest.token);
    }
    std::span<const int32_t> drawn;
    const auto greedy = [](const Sequence* s) { return s->takes_the_largest(); };
    if (const bool all = std::ranges::all_of(sequences, greedy); session.samples() && !all) {
        const Lots lots(sequences, session.most_changes());
        if (lots.any) drawn = session.decode_by_lot(tokens, lots.choices, lots.changes);
    }
    const bool by_lot = !drawn.empty();
    if (!by_lot && std::ranges::any_of(sequences, greedy)) drawn = session.decode_greedily(tokens);
    if (drawn.empty()) {
        session.decode(tokens);
        return choose_newest(session, sequences, rows);
    }
    // Only the logits of those are fetched who need more of them, or for whom there was nothing to
    // choose: for the reason.
    std::vector<int32_t> chosen(drawn.begin(), drawn.end());
    for (size_t i = 0; i < chosen.size(); ++i) {
        if (!by_lot && !sequences[i]->takes_the_largest()) chosen[i] = -1;
        if (chosen[i] < 0) session.fetch_logits(rows[i]);
    }
    choose_newest(session, sequences, rows, chosen);
}

} // namespace tnl
