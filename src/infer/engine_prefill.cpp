// How the engine reads prompts.
#include "infer/engine_loop.h"
#include "infer/logprob.h"

#include <algorithm>

namespace tnl {

int64_t Engine::Loop::piece_end(const Job& job) const {
    return std::min(static_cast<int64_t>(job.prompt().size()), job.read + session_.options().chunk);
}

// The prompt that was begun, then those waiting whose ends fit into one call beside it.
std::vector<Engine::Loop::JobPtr> Engine::Loop::next_prompts() {
    std::vector<JobPtr> jobs;
    const int64_t chunk = session_.options().chunk;
    int64_t used = 0, slots = session_.options().slots - static_cast<int64_t>(running_.size());
    const auto take = [&](const JobPtr& job) {
        jobs.push_back(job);
        used += piece_end(*job) - job->read;
        slots -= job->request.sequences;
    };
    // A prompt that is scored goes alone; one whose end is not reached fills the call anyway.
    const auto alone = [&](const Job& job) {
        return job.request.prompt_logprobs ||
               piece_end(job) != static_cast<int64_t>(job.prompt().size());
    };
    if (reading_) take(std::exchange(reading_, nullptr));
    int64_t cached = 0;
    while (jobs.empty() || !alone(*jobs.back())) {
        JobPtr job;
        {
            const std::lock_guard lock(mutex_);
            if (queue_.empty() || queue_.front()->request.sequences > slots) break;
            job = queue_.front();
        }
        const int64_t slot = static_cast<int64_t>(running_.size() + jobs.size());
        // A state from the cache has no logits of what it has seen.
        if (job->request.prompt_logprobs)
            session_.reset(slot, 1);
        else
            job->read = cache_.restore(slot, job->prompt());
        if (!jobs.empty() && (alone(*job) || used + piece_end(*job) - job->read > chunk)) {
            job->read = 0; // for the next call
            break;
        }
        cached += job->read;
        take(job);
        const std::lock_guard lock(mutex_);
        queue_.pop_front();
    }
    const std::lock_guard lock(mutex_);
    stats_.cached_prompt_tokens += cached;
    return jobs;
}

void Engine::Loop::prefill_turn() {
    const std::vector<JobPtr> jobs = next_prompts();
    if (jobs.empty()) return;
    try {
        read(jobs);
    } catch (const std::exception& e) {
        for (const JobPtr& job : jobs) {
            fail_job(*job, e.what());
            forget(job->ticket);
        }
        return;
    }
    if (jobs.back()->read < static_cast<int64_t>(jobs.back()->prompt().size()))
        reading_ = jobs.back(); // alone in its call
    else
        start(jobs);
}

void Engine::Loop::read(const std::vector<JobPtr>& jobs) {
    const auto first = static_cast<int64_t>(running_.size());
    std::vector<std::span<const int32_t>> texts;
    int64_t tokens = 0;
    for (const JobPtr& job : jobs) {
        const int64_t end = piece_end(*job);
        texts.push_back(
            std::span(job->prompt())
                .subspan(static_cast<size_t>(job->read), static_cast<size_t>(end - job->read)));
        tokens += end - job->read;
    }
    if (jobs.front()->request.prompt_logprobs)
        read_scored(*jobs.front(), piece_end(*jobs.front()));
    else
        session_.prefill(first, texts);
    for (size_t i = 0; i < jobs.size(); ++i) {
        jobs[i]->read = piece_end(*jobs[i]);
        cache_.keep(first + static_cast<int64_t>(i), jobs[i]->prompt(), jobs[i]->read);
    }
    const std::lock_guard lock(mutex_);
    stats_.prompt_tokens += tokens;
}

void Engine::Loop::read_scored(Job& job, int64_t end) {
    const auto slot = static_cast<int64_t>(running_.size());
    const auto V = static_cast<size_t>(session_.model().config().vocab_size);
    const std::span<const int32_t> prompt = job.prompt();
    job.scores.resize(prompt.size() - 1);
    session_.prefill(
        slot, prompt.subspan(static_cast<size_t>(job.read), static_cast<size_t>(end - job.read)),
        [&](int64_t begin, std::span<const float> rows) {
            const auto n = static_cast<int64_t>(rows.size() / V);
            session_.device().stream().threads->parallel_for(n, 1, [&](int64_t b, int64_t e) {
                for (int64_t i = b; i < e; ++i) {
                    const auto next = static_cast<size_t>(job.read + begin + i) + 1;
                    if (next >= prompt.size()) return;
                    job.scores[next - 1] = score_token(rows.subspan(static_cast<size_t>(i) * V, V),
                                                       prompt[next], job.request.top);
                }
            });
        });
}

} // namespace tnl
