#include "infer/engine_loop.h"

#include <algorithm>
#include <chrono>

namespace tnl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

} // namespace

Engine::Loop::Loop(Session& session, Options options)
    : session_(session), options_(options), cache_(session, options.prefix_cache_bytes) {
    stats_.slots = session.options().slots;
    thread_ = std::thread([this] { run(); });
}

Engine::Loop::~Loop() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        for (const auto& [ticket, job] : jobs_) job->cancelled = true;
    }
    wake_.notify_all();
    thread_.join();
}

void Engine::Loop::check(const EngineRequest& request) const {
    const GenerateRequest& g = request.generate;
    const ModelConfig& config = session_.model().config();
    const auto wanted = [](bool ok, const char* field, int64_t value, const std::string& range) {
        if (!ok) throw UsageError(fmt::format("{} is {}, wanted {}", field, value, range));
    };
    g.sampler.validate();
    wanted(!g.restore, "restore", 1, "none: the engine's cache begins prompts");
    wanted(!g.prompt.empty(), "the prompt's length", 0, "at least one token");
    for (const int32_t token : g.prompt)
        wanted(token >= 0 && token < config.vocab_size, "a token of the prompt", token,
               fmt::format("0 to {}", config.vocab_size - 1));
    for (const auto& [token, bias] : g.sampler.logit_bias)
        wanted(token >= 0 && token < config.vocab_size, "a token of logit_bias", token,
               fmt::format("0 to {}", config.vocab_size - 1));
    wanted(g.max_new_tokens >= 0, "max_new_tokens", g.max_new_tokens, "0 or more");
    const int64_t slots = session_.options().slots;
    wanted(request.sequences >= 1 && request.sequences <= slots, "sequences", request.sequences,
           fmt::format("1 to {}, the number of slots", slots));
    wanted(request.top >= 0, "top", request.top, "0 or more");
    wanted(!request.prompt_logprobs || session_.options().scored_rows > 0, "prompt_logprobs", 1,
           "a session with scored_rows");
    const auto length = static_cast<int64_t>(g.prompt.size()) + g.max_new_tokens;
    wanted(config.position_embeddings == 0 || length <= config.position_embeddings,
           "prompt and max_new_tokens together", length,
           fmt::format("at most {}, the model's learned positions", config.position_embeddings));
}

Engine::Ticket Engine::Loop::submit(EngineRequest request, EngineEvents events) {
    check(request);
    const auto job = std::make_shared<Job>();
    job->due = request.sequences;
    job->request = std::move(request);
    job->events = std::move(events);
    {
        const std::lock_guard lock(mutex_);
        if (draining_ || ending_) throw Busy("the engine takes no requests any more");
        if (queue_.size() >= options_.queue)
            throw Busy(
                fmt::format("{} requests are waiting, at most as many as may", queue_.size()));
        job->ticket = next_ticket_++;
        jobs_[job->ticket] = job;
        queue_.push_back(job);
        ++stats_.requests;
    }
    wake_.notify_all();
    return job->ticket;
}

void Engine::Loop::cancel(Ticket ticket) {
    JobPtr job;
    {
        const std::lock_guard lock(mutex_);
        const auto at = jobs_.find(ticket);
        if (at == jobs_.end()) return;
        job = at->second;
        if (!job->cancelled.exchange(true)) ++stats_.cancelled;
    }
    wake_.notify_all();
    // From an event of the same job the lock is this thread's already.
    if (std::this_thread::get_id() != thread_.get_id()) const std::lock_guard wait(job->calling);
}

void Engine::Loop::drain() {
    std::unique_lock lock(mutex_);
    draining_ = true;
    idle_.wait(lock, [&] { return jobs_.empty(); });
}

Engine::Stats Engine::Loop::stats() const {
    const std::lock_guard lock(mutex_);
    Stats stats = stats_;
    stats.waiting = static_cast<int64_t>(queue_.size());
    return stats;
}

template <class F> void Engine::Loop::call(Job& job, F&& event) {
    const std::lock_guard calling(job.calling);
    if (!job.cancelled) event();
}

void Engine::Loop::forget(Ticket ticket) {
    const std::lock_guard lock(mutex_);
    jobs_.erase(ticket);
    if (jobs_.empty()) idle_.notify_all();
}

void Engine::Loop::fail_job(Job& job, const std::string& message) {
    call(job, [&] {
        if (job.events.failed) job.events.failed(message);
    });
    const std::lock_guard lock(mutex_);
    if (!job.cancelled.exchange(true)) ++stats_.failed; // its sequences go as cancelled ones do
}

void Engine::Loop::count_running() {
    const std::lock_guard lock(mutex_);
    stats_.running = static_cast<int64_t>(running_.size()) + (reading_ != nullptr);
}

bool Engine::Loop::wait_for_work() {
    count_running();
    std::unique_lock lock(mutex_);
    stats_.prefix_cache_entries = cache_.entries();
    stats_.prefix_cache_bytes = cache_.bytes();
    if (running_.empty() && !reading_) wake_.wait(lock, [&] { return ending_ || !queue_.empty(); });
    return !ending_;
}

void Engine::Loop::run() {
    while (wait_for_work()) {
        drop_cancelled();
        const Clock::time_point start = Clock::now();
        // One call that reads between two steps of those that write: neither waits for long.
        prefill_turn();
        decode_turn();
        const std::lock_guard lock(mutex_);
        stats_.busy_seconds += seconds_since(start);
    }
}

void Engine::Loop::drop_cancelled() {
    std::vector<Ticket> gone;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(queue_, [&](const JobPtr& job) {
            if (job->cancelled) gone.push_back(job->ticket);
            return job->cancelled.load();
        });
    }
    for (Running& s : running_)
        if (s.job->cancelled) {
            s.done = true;
            gone.push_back(s.job->ticket);
        }
    drop_done();
    if (reading_ && reading_->cancelled) {
        gone.push_back(reading_->ticket);
        reading_ = nullptr;
    }
    for (const Ticket ticket : gone) forget(ticket);
}

Engine::Loop::Running::Running(const JobPtr& of, int64_t vocab_size, int64_t number)
    : Sequence(of->request.generate, vocab_size, number), job(of) {
    const EngineRequest& r = of->request;
    scored = r.logprobs;
    top = r.top;
    grammar = r.grammar.get();
    if (grammar != nullptr) places = grammar->begin();
}

// The prompt being read stays in the slot behind the last.
void Engine::Loop::drop_done() {
    const auto reading = static_cast<int64_t>(running_.size());
    tnl::drop_done(session_, running_);
    const auto now = static_cast<int64_t>(running_.size());
    if (reading_ && now != reading) session_.move(now, reading);
}

void Engine::Loop::start(const std::vector<JobPtr>& jobs) {
    const size_t first = running_.size();
    std::vector<int64_t> rows; // of the session's logits, by sequence
    // Every job's own slot first, as prefill left them; copies of them after all.
    struct Copy {
        JobPtr job;
        int64_t index, row;
    };
    std::vector<Copy> copies;
    const auto add = [&](const JobPtr& job, int64_t index, int64_t row) {
        running_.emplace_back(job, session_.model().config().vocab_size, index);
        rows.push_back(row);
    };
    for (size_t i = 0; i < jobs.size(); ++i) {
        const JobPtr& job = jobs[i];
        if (job->request.prompt_logprobs)
            call(*job, [&] {
                if (job->events.prompt) job->events.prompt(std::move(job->scores));
            });
        add(job, 0, static_cast<int64_t>(i));
        for (int64_t index = 1; index < job->request.sequences; ++index)
            copies.push_back({job, index, static_cast<int64_t>(i)});
    }
    for (const Copy& copy : copies) {
        session_.move(static_cast<int64_t>(running_.size()),
                      static_cast<int64_t>(first) + copy.row);
        add(copy.job, copy.index, copy.row);
    }
    choose_newest(session_, pointers_to(running_, first), rows);
    count_running(); // before anyone hears of them
    accept(first);
}

void Engine::Loop::decode_turn() {
    if (running_.empty()) return;
    try {
        decode_step(session_, pointers_to(running_));
    } catch (const std::exception& e) {
        for (Running& s : running_) {
            s.done = true;
            fail_job(*s.job, e.what());
            forget(s.job->ticket);
        }
        drop_done();
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        ++stats_.steps;
    }
    accept(0);
}

void Engine::Loop::accept(size_t first) {
    for (size_t i = first; i < running_.size(); ++i) {
        Running& s = running_[i];
        if (!s.fault.empty()) fail_job(*s.job, s.fault);
        if (!s.job->cancelled) accept_one(s); // else dropped before the next step
    }
    drop_done();
}

void Engine::Loop::accept_one(Running& s) {
    Job& job = *s.job;
    std::optional<Finish> finish = Finish::length;
    if (s.request->max_new_tokens > 0) {
        const int64_t before = s.made;
        finish = s.take_newest([&](const ScoredToken& token) {
            bool go_on = true;
            call(job, [&] {
                if (job.events.token) go_on = job.events.token(s.index, token);
            });
            return go_on;
        });
        const std::lock_guard lock(mutex_);
        stats_.new_tokens += s.made - before;
    }
    if (!finish) return;
    s.done = true;
    call(job, [&] {
        if (job.events.finish) job.events.finish(s.index, *finish);
    });
    if (--job.due == 0) forget(job.ticket);
}

} // namespace tnl
