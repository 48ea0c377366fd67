#include "infer/generator.h"

#include <algorithm>
#include <chrono>

namespace tnl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class Generation {
  public:
    Generation(Session& session, std::span<const GenerateRequest> requests, const OnToken& on_token)
        : session_(session), requests_(requests), on_token_(on_token), done_(requests.size()) {
        for (size_t i = 0; i < requests.size(); ++i) {
            requests[i].sampler.validate();
            TNL_CHECK(!requests[i].prompt.empty(), "prompt {} has no tokens", i);
        }
    }

    void run() {
        while (next_ < requests_.size() || !active_.empty()) {
            admit();
            if (!active_.empty()) step();
        }
    }

    std::vector<Generated> take() { return std::move(done_); }
    const GenerateTimes& times() const { return times_; }

  private:
    struct Active {
        size_t request;
        SeenTokens seen;
        int32_t token = 0; // the newest
        bool finished = false;
    };

    // Fills the free slots with waiting requests and makes their first tokens.
    void admit() {
        const auto start = Clock::now();
        const auto first = static_cast<int64_t>(active_.size());
        std::vector<std::span<const int32_t>> prompts;
        while (next_ < requests_.size() &&
               active_.size() < static_cast<size_t>(session_.options().slots)) {
            const GenerateRequest& r = requests_[next_];
            if (r.max_new_tokens > 0) {
                Active a{next_, SeenTokens(session_.model().config().vocab_size)};
                for (const int32_t token : r.before) a.seen.add(token);
                for (const int32_t token : r.prompt) a.seen.add(token);
                active_.push_back(std::move(a));
                prompts.emplace_back(r.prompt);
                times_.prompt_tokens += static_cast<int64_t>(r.prompt.size());
            }
            ++next_;
        }
        if (prompts.empty()) return;
        session_.reset(first, static_cast<int64_t>(prompts.size()));
        for (size_t i = static_cast<size_t>(first); i < active_.size(); ++i)
            if (const auto& restore = requests_[active_[i].request].restore)
                restore(static_cast<int64_t>(i));
        session_.prefill(first, prompts);
        times_.prefill_seconds += seconds_since(start);
        choose(static_cast<size_t>(first));
    }

    void step() {
        const auto start = Clock::now();
        std::vector<int32_t> tokens;
        for (const Active& a : active_) tokens.push_back(a.token);
        if (std::ranges::all_of(active_, [&](const Active& a) {
                return requests_[a.request].sampler.plainly_greedy();
            })) {
            accept_chosen(session_.decode_greedily(tokens));
        } else {
            session_.decode(tokens);
            choose(0);
        }
        times_.decode_seconds += seconds_since(start);
        ++times_.decode_steps;
        times_.decode_tokens += static_cast<int64_t>(tokens.size());
    }

    // The greedy choices of all that are active.
    void accept_chosen(std::span<const int32_t> chosen) {
        for (size_t i = 0; i < chosen.size(); ++i) {
            Active& a = active_[i];
            a.token = chosen[i];
            if (a.token < 0) // throws, naming the logit
                sample_token(session_.fetch_logits(static_cast<int64_t>(i)),
                             requests_[a.request].sampler, {}, 0, 0);
        }
        for (Active& a : active_) accept(a);
        drop_finished();
    }

    // Chooses a token for active_[first..], whose logits are rows 0.. of the session.
    void choose(size_t first) {
        const auto count = static_cast<int64_t>(active_.size() - first);
        session_.device().stream().threads->parallel_for(count, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                Active& a = active_[first + static_cast<size_t>(i)];
                const GenerateRequest& r = requests_[a.request];
                const uint64_t position =
                    r.before.size() + r.prompt.size() + done_[a.request].tokens.size();
                a.token = sample_token(session_.logits(i), r.sampler, a.seen.list(), r.id, position,
                                       a.seen.made());
            }
        });
        for (size_t i = first; i < active_.size(); ++i) accept(active_[i]);
        drop_finished();
    }

    void accept(Active& a) {
        const GenerateRequest& r = requests_[a.request];
        Generated& out = done_[a.request];
        ++times_.new_tokens;
        if (std::ranges::find(r.end_tokens, a.token) != r.end_tokens.end()) {
            out.finish = Finish::end_token;
            a.finished = true;
            return;
        }
        out.tokens.push_back(a.token);
        a.seen.add_made(a.token);
        if (on_token_ && !on_token_(a.request, a.token)) {
            out.finish = Finish::stopped;
            a.finished = true;
        } else if (static_cast<int64_t>(out.tokens.size()) >= r.max_new_tokens) {
            out.finish = Finish::length;
            a.finished = true;
        }
    }

    // The last slot takes the place of a finished one, so that those under way stay together.
    void drop_finished() {
        for (size_t i = 0; i < active_.size();) {
            if (!active_[i].finished) {
                ++i;
                continue;
            }
            const size_t last = active_.size() - 1;
            if (i != last) {
                session_.move(static_cast<int64_t>(i), static_cast<int64_t>(last));
                active_[i] = std::move(active_[last]);
            }
            active_.pop_back();
        }
    }

    Session& session_;
    std::span<const GenerateRequest> requests_;
    const OnToken& on_token_;
    std::vector<Generated> done_;
    std::vector<Active> active_; // active_[i] has slot i
    size_t next_ = 0;            // first request not yet admitted
    GenerateTimes times_;
};

} // namespace

std::string_view name_of(Finish finish) {
    switch (finish) {
    case Finish::length:
        return "length";
    case Finish::end_token:
        return "end_token";
    case Finish::stopped:
        return "stop";
    }
    return "";
}

std::vector<Generated> generate(Session& session, std::span<const GenerateRequest> requests,
                                const OnToken& on_token, GenerateTimes* times) {
    Generation generation(session, requests, on_token);
    generation.run();
    if (times) *times = generation.times();
    return generation.take();
}

} // namespace tnl
