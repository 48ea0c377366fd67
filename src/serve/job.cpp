#include "serve/job.h"

#include <algorithm>
#include <random>

namespace tnl {
namespace {

AnswerFrame make_frame(bool chat, const std::string& model) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return {chat, fmt::format("{}-{:016x}", chat ? "chatcmpl" : "cmpl", fresh_seed()), model,
            std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

} // namespace

uint64_t fresh_seed() {
    thread_local std::mt19937_64 numbers{(uint64_t{std::random_device{}()} << 32) ^
                                         std::random_device{}()};
    return numbers();
}

Job::Job(Served& served, ApiRequest request, std::shared_ptr<Channel> channel)
    : served_(served), request_(std::move(request)), channel_(std::move(channel)),
      frame_(make_frame(request_.chat, served.limits.model)),
      per_prompt_(static_cast<size_t>(request_.best_of)) {}

void Job::prepare(const ApiPrompt& prompt) {
    const Tokenizer& tokenizer = served_.loaded.tokenizer;
    prompts_.push_back(prompt.is_text ? served_.loaded.encode(prompt.text) : prompt.ids);
    usage_.prompt_tokens += std::ssize(prompts_.back());
    if (request_.echo)
        echoes_.push_back(prompt.is_text ? prompt.text : tokenizer.decode(prompt.ids));
    // A chat's reply is a text of its own; so is one after nothing.
    const bool continues = !request_.chat && (!prompt.is_text || !prompt.text.empty());
    const bool drop_space = (request_.echo || !continues) && tokenizer.adds_leading_space();
    for (size_t i = 0; i < per_prompt_; ++i) {
        sequences_.push_back({StreamText(tokenizer, request_.stops, continues), false, begin_});
        choices_.push_back(
            {{}, Logprobs(tokenizer, request_.logprobs.value_or(0), drop_space), {}});
    }
}

void Job::start() {
    if (request_.schema) try {
            grammar_ = served_.grammars.find(*request_.schema);
        } catch (const UsageError& error) {
            bad_request("response_format", fmt::format("response_format: {}", error.what()));
        }
    for (const ApiPrompt& prompt : request_.prompts) prepare(prompt);
    unfinished_ = choices_.size();
    submit_all();
    if (request_.stream) channel_->open_stream("text/event-stream");
}

void Job::submit_all() {
    try {
        for (size_t p = 0; p < prompts_.size(); ++p) submit(p);
    } catch (const std::exception& error) {
        cancel();
        if (dynamic_cast<const Busy*>(&error) != nullptr) throw too_busy(error.what());
        if (dynamic_cast<const Error*>(&error) != nullptr) bad_request("", error.what());
        throw;
    }
}

void Job::submit(size_t prompt) {
    EngineRequest request;
    request.generate.prompt = prompts_[prompt];
    request.generate.max_new_tokens = request_.max_tokens;
    request.generate.sampler = request_.sampler;
    request.generate.id = prompt * per_prompt_;
    // End tokens are ours to see: their log-probabilities belong to the answer.
    request.sequences = request_.best_of;
    request.logprobs = request_.logprobs || request_.best_of > request_.n;
    request.prompt_logprobs = request_.logprobs && request_.echo;
    request.top = request_.logprobs.value_or(0);
    request.grammar = grammar_;

    const size_t first = prompt * per_prompt_;
    EngineEvents events;
    events.prompt = [self = shared_from_this(), prompt](std::vector<ScoredToken> scored) {
        self->tell({prompt, {}, std::move(scored), {}, true});
    };
    events.token = [self = shared_from_this(), first](int64_t i, const ScoredToken& scored) {
        return self->on_token(first + static_cast<size_t>(i), scored);
    };
    events.finish = [self = shared_from_this(), first](int64_t i, Finish finish) {
        self->on_finish(first + static_cast<size_t>(i), finish);
    };
    events.failed = [self = shared_from_this()](const std::string& message) {
        self->fail_with(message);
    };
    tickets_.push_back(served_.engine.submit(std::move(request), std::move(events)));
}

void Job::cancel() {
    over_ = true;
    for (const Engine::Ticket ticket : tickets_) served_.engine.cancel(ticket);
    tickets_.clear();
}

bool Job::on_token(size_t sequence, const ScoredToken& scored) {
    Sequence& s = sequences_[sequence];
    const auto now = Clock::now();
    if (s.any)
        served_.metrics.between_tokens(seconds_between(s.last, now));
    else
        served_.metrics.first_token(seconds_between(begin_, now));
    s.any = true;
    s.last = now;
    s.ended = !request_.ignore_eos &&
              std::find(served_.end_tokens.begin(), served_.end_tokens.end(), scored.token) !=
                  served_.end_tokens.end();
    tell({sequence, s.ended ? std::string() : s.text.push(scored.token), {scored}, {}, false});
    return !s.ended && !s.text.stopped();
}

void Job::on_finish(size_t sequence, Finish finish) {
    Sequence& s = sequences_[sequence];
    std::string rest = s.text.finish();
    const bool stopped = s.ended || s.text.stopped() || finish != Finish::length;
    const std::string reason = stopped ? "stop" : "length";
    served_.metrics.finished(reason, seconds_between(begin_, Clock::now()));
    tell({sequence, std::move(rest), {}, reason, false});
}

void Job::fail_with(const std::string& message) {
    {
        const std::lock_guard lock(mutex_);
        failure_ = message.empty() ? "the engine failed" : message;
    }
    tell({});
}

void Job::tell(News news) {
    {
        const std::lock_guard lock(mutex_);
        news_.push_back(std::move(news));
        if (told_) return;
        told_ = true;
    }
    channel_->post([self = shared_from_this()] { self->pump(); });
}

void Job::pump() {
    std::vector<News> news;
    std::string failure;
    {
        const std::lock_guard lock(mutex_);
        news.swap(news_);
        failure = failure_;
        told_ = false;
    }
    if (over_) return;
    if (!failure.empty()) {
        cancel();
        const ApiError error = server_error(failure);
        if (!request_.stream) return channel_->send({error.status, dump(error_json(error))});
        channel_->write(sse(error_json(error)));
        return channel_->end();
    }
    for (News& each : news) {
        take(each);
        if (over_) return; // the client has gone meanwhile
    }
    if (unfinished_ == 0) complete();
}

void Job::take(News& news) {
    if (news.is_prompt) return take_prompt(news);
    Choice& choice = choices_[news.sequence];
    if (request_.stream && !choice.begun) begin_part(news.sequence);
    for (const ScoredToken& scored : news.scored) {
        ++choice.tokens;
        ++usage_.completion_tokens;
        choice.sum += scored.logprob;
        if (request_.logprobs) choice.logprobs.add(scored);
    }
    if (!news.finish.empty()) {
        choice.finish = news.finish;
        --unfinished_;
    }
    if (!request_.stream)
        choice.text += news.text;
    else if (!news.text.empty() || !news.finish.empty() || request_.logprobs)
        channel_->write(sse(frame_.part(static_cast<int64_t>(news.sequence), news.text,
                                        take_logprobs(choice), news.finish)));
}

void Job::take_prompt(News& news) {
    for (size_t i = 0; i < per_prompt_; ++i) {
        Logprobs& logprobs = choices_[news.sequence * per_prompt_ + i].logprobs;
        logprobs.add_unscored(prompts_[news.sequence].front());
        for (const ScoredToken& scored : news.scored) logprobs.add(scored);
    }
}

std::string Job::echo_of(size_t sequence) const {
    return request_.echo ? echoes_[sequence / per_prompt_] : std::string();
}

void Job::begin_part(size_t sequence) {
    Choice& choice = choices_[sequence];
    choice.begun = true;
    if (request_.chat)
        channel_->write(sse(frame_.role_part(static_cast<int64_t>(sequence))));
    else if (request_.echo)
        channel_->write(sse(frame_.part(static_cast<int64_t>(sequence), echo_of(sequence),
                                        take_logprobs(choice), {})));
}

Json Job::take_logprobs(Choice& choice) const {
    if (!request_.logprobs) return nullptr;
    return request_.chat ? choice.logprobs.take_chat() : choice.logprobs.take_completion();
}

Json Job::whole_choices() {
    const auto mean = [&](size_t sequence) {
        const Choice& c = choices_[sequence];
        return c.sum / static_cast<double>(std::max<int64_t>(c.tokens, 1));
    };
    Json out = Json::array();
    for (size_t first = 0; first < choices_.size(); first += per_prompt_) {
        std::vector<size_t> order(per_prompt_);
        for (size_t i = 0; i < per_prompt_; ++i) order[i] = first + i;
        if (request_.best_of > request_.n)
            std::stable_sort(order.begin(), order.end(),
                             [&](size_t a, size_t b) { return mean(a) > mean(b); });
        for (int64_t i = 0; i < request_.n; ++i) {
            const size_t sequence = order[static_cast<size_t>(i)];
            Choice& choice = choices_[sequence];
            out.push_back(frame_.choice(std::ssize(out), echo_of(sequence) + choice.text,
                                        take_logprobs(choice), choice.finish));
        }
    }
    return out;
}

void Job::complete() {
    over_ = true;
    tickets_.clear();
    if (!request_.stream) return channel_->send({200, dump(frame_.whole(whole_choices(), usage_))});
    if (request_.include_usage) channel_->write(sse(frame_.usage_part(usage_)));
    channel_->write(sse_done());
    channel_->end();
}

} // namespace tnl
