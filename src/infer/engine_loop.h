// The engine's inside. Slots of the session: the sequences that decode lie in [0, running), the
// prompt that is being read, if it takes more than one call, in the slot after them.
#pragma once

#include "infer/engine.h"
#include "infer/prefix_cache.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace tnl {

class Engine::Loop {
  public:
    Loop(Session& session, Options options);
    ~Loop();
    Ticket submit(EngineRequest request, EngineEvents events);
    void cancel(Ticket ticket);
    void drain();
    Stats stats() const;

  private:
    struct Job {
        Ticket ticket;
        EngineRequest request;
        EngineEvents events;
        std::atomic<bool> cancelled = false;
        std::mutex calling;                // held while an event of it runs
        int64_t due = 0;                   // sequences not yet finished
        int64_t read = 0;                  // tokens of the prompt that the state has seen
        std::vector<ScoredToken> scores{}; // of the prompt
        const std::vector<int32_t>& prompt() const { return request.generate.prompt; }
    };
    using JobPtr = std::shared_ptr<Job>;
    struct Running : Sequence {
        JobPtr job;
        Running(const JobPtr& of, int64_t vocab_size, int64_t index);
    };

    void check(const EngineRequest& request) const;
    void run();
    bool wait_for_work(); // false: the engine ends
    void count_running(); // for stats()
    void drop_cancelled();
    void drop_done();

    // Reads prompts for one call: the next chunk of a long one, or the ends of several.
    void prefill_turn();
    std::vector<JobPtr> next_prompts();
    int64_t piece_end(const Job& job) const; // of its next piece
    void read(const std::vector<JobPtr>& jobs);
    void read_scored(Job& job, int64_t end);
    void start(const std::vector<JobPtr>& jobs); // their prompts are read: first tokens
    void decode_turn();

    // What was chosen for running_[first..] goes to its requests.
    void accept(size_t first);
    void accept_one(Running& sequence);
    void fail_job(Job& job, const std::string& message);
    void forget(Ticket ticket);
    // Calls an event of a job unless it is cancelled.
    template <class F> void call(Job& job, F&& event);

    Session& session_;
    const Options options_;
    PrefixCache cache_;
    std::vector<Running> running_; // running_[i] has slot i
    JobPtr reading_;               // in slot running_.size()

    mutable std::mutex mutex_; // of what follows
    std::condition_variable wake_, idle_;
    std::deque<JobPtr> queue_;
    std::map<Ticket, JobPtr> jobs_; // all under way
    Ticket next_ticket_ = 1;
    bool draining_ = false, ending_ = false;
    Stats stats_;

    std::thread thread_; // last: it uses all of the above
};

} // namespace tnl
