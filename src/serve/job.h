// A completion or chat under way: a ticket of the engine for each prompt, answered on a channel.
// Tokens become text on the engine's thread, which must know where a stop string ends a sequence;
// all else happens on the channel's.
#pragma once

#include "infer/stream_text.h"
#include "serve/api_response.h"
#include "serve/channel.h"
#include "serve/logprobs.h"
#include "serve/served.h"

#include <chrono>
#include <mutex>

namespace tnl {

// Of a request that names none.
uint64_t fresh_seed();

class Job : public std::enable_shared_from_this<Job> {
  public:
    Job(Served& served, ApiRequest request, std::shared_ptr<Channel> channel);
    // Throws ApiError, and then nothing has been answered.
    void start();
    // The client is gone: the slots are free before the engine's next step.
    void cancel();

  private:
    using Clock = std::chrono::steady_clock;
    // What the engine's thread keeps of a sequence.
    struct Sequence {
        StreamText text;
        bool ended = false; // by an end token
        Clock::time_point last;
        bool any = false; // a token has come
    };
    // What the engine's thread tells the channel's.
    struct News {
        size_t sequence = 0; // or the prompt, where is_prompt
        std::string text;    // final now
        std::vector<ScoredToken> scored;
        std::string finish; // the reason, at the end
        bool is_prompt = false;
    };
    // What the channel's keeps of a sequence.
    struct Choice {
        std::string text;
        Logprobs logprobs;
        std::string finish;
        double sum = 0; // of log-probabilities, for best_of
        int64_t tokens = 0;
        bool begun = false;
    };

    void prepare(const ApiPrompt& prompt);
    void submit(size_t prompt);
    void submit_all();
    bool on_token(size_t sequence, const ScoredToken& scored);
    void on_finish(size_t sequence, Finish finish);
    void tell(News news);
    void fail_with(const std::string& message);
    void pump();
    void take(News& news);
    void take_prompt(News& news);
    void stream_part(size_t sequence, const std::string& text, const std::string& finish);
    void begin_part(size_t sequence);
    void complete();
    Json whole_choices();
    Json take_logprobs(Choice& choice) const;
    // What precedes a choice's own text.
    std::string echo_of(size_t sequence) const;

    Served& served_;
    const ApiRequest request_;
    std::shared_ptr<Channel> channel_;
    AnswerFrame frame_;
    Usage usage_;
    const size_t per_prompt_; // sequences of each prompt
    const Clock::time_point begin_ = Clock::now();
    std::shared_ptr<TokenGrammar> grammar_;
    std::vector<Engine::Ticket> tickets_;
    std::vector<std::vector<int32_t>> prompts_;
    std::vector<std::string> echoes_; // the prompts' texts, where they are wanted
    std::vector<Choice> choices_;
    size_t unfinished_ = 0;
    bool over_ = false; // answered or cancelled

    std::vector<Sequence> sequences_; // the engine's thread only, once started
    std::mutex mutex_;
    std::vector<News> news_; // under mutex_
    std::string failure_;    // under mutex_; why there is no more news
    bool told_ = false;      // under mutex_: pump() is on its way
};

} // namespace tnl
