#include "infer/generator.h"

#include "infer/sequence.h"

#include <chrono>

namespace tnl {
namespace {

using Clock = std::chrono::steady_clock;

double time_since(Clock::time_point start) {
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
    struct Active : Sequence {
        size_t number; // of its request
        Active(const GenerateRequest& r, int64_t vocab_size, size_t of)
            : Sequence(r, vocab_size), number(of) {}
    };

    // Fills the free slots with waiting requests and makes their first tokens.
    void admit() {
        const auto start = Clock::now();
        const auto first = static_cast<int64_t>(active_.size());
        std::vector<std::span<const int32_t>> prompts;
        std::vector<int64_t> rows; // of the session's logits
        while (next_ < requests_.size() &&
               active_.size() < static_cast<size_t>(session_.options().slots)) {
            const GenerateRequest& r = requests_[next_];
            if (r.max_new_tokens > 0) {
                active_.emplace_back(r, session_.model().config().vocab_size, next_);
                rows.push_back(std::ssize(rows));
                prompts.emplace_back(r.prompt);
                times_.prompt_tokens += static_cast<int64_t>(r.prompt.size());
            }
            ++next_;
        }
        if (prompts.empty()) return;
        session_.reset(first, static_cast<int64_t>(prompts.size()));
        for (size_t i = static_cast<size_t>(first); i < active_.size(); ++i)
            if (const auto& restore = active_[i].request->restore) restore(static_cast<int64_t>(i));
        session_.prefill(first, prompts);
        times_.prefill_seconds += time_since(start);
        choose_newest(session_, pointers_to(active_, static_cast<size_t>(first)), rows);
        accept(static_cast<size_t>(first));
    }

    void step() {
        const auto start = Clock::now();
        times_.decode_tokens += std::ssize(active_);
        ++times_.decode_steps;
        decode_step(session_, pointers_to(active_));
        accept(0);
        times_.decode_seconds += time_since(start);
    }

    void accept(size_t first) {
        for (size_t i = first; i < active_.size(); ++i) {
            Active& a = active_[i];
            if (!a.fault.empty()) throw Error(a.fault);
            Generated& out = done_[a.number];
            ++times_.new_tokens;
            const auto finish = a.take_newest([&](const ScoredToken& made) {
                out.tokens.push_back(made.token);
                return !on_token_ || on_token_(a.number, made.token);
            });
            if (!finish) continue;
            out.finish = *finish;
            a.done = true;
        }
        drop_done(session_, active_);
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
