// transnormer eval: how well a model predicts the text of files.
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/records.h"
#include "infer/evaluator.h"
#include "infer/loaded_model.h"

#include "base/config.h"
#include "base/json.h"
#include "text/encode.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <tuple>

namespace tnl {
namespace {

struct EvalOptions {
    std::string model, adapter, device = "auto", dtype = "auto", weights = "keep", bos = "auto",
                                chat_template;
    std::vector<std::string> files;
    ReaderOptions reader;
    int64_t chunk = 2048, window = 0, max_documents = 0;
    int threads = 0;
    bool json = false, per_document = false, end_token = false;
};

// What was predicted: tokens and the bytes they stand for.
struct Total {
    double nats = 0;
    int64_t tokens = 0, bytes = 0, documents = 0;
    void add(double more_nats, int64_t more_tokens, int64_t more_bytes) {
        nats += more_nats;
        tokens += more_tokens;
        bytes += more_bytes;
        ++documents;
    }
    double loss() const { return tokens ? nats / static_cast<double>(tokens) : 0; }
    double bits_per_byte() const {
        return bytes ? nats / std::numbers::ln2 / static_cast<double>(bytes) : 0;
    }
    Json json() const {
        Json out;
        out["loss_nats_per_token"] = loss();
        out["perplexity"] = std::exp(loss());
        out["bits_per_byte"] = bits_per_byte();
        out["tokens"] = tokens;
        out["bytes"] = bytes;
        return out;
    }
};

class Evaluation {
  public:
    Evaluation(const EvalOptions& o, const LoadedModel& loaded)
        : o_(o), loaded_(loaded),
          evaluator_(loaded.model, *loaded.device, loaded.weights,
                     {loaded.dtype, o.chunk, 16, std::min<int64_t>(o.chunk, 512)}),
          bos_(o.bos == "auto" ? loaded.model.config().add_bos_token : o.bos == "yes") {
        const ModelConfig& config = loaded.model.config();
        for (const auto& [wanted, name, id] :
             {std::tuple(bos_, "bos_token_id", config.bos_token_id),
              {o.end_token, "eos_token_id", config.eos_token_id}})
            TNL_CHECK(!wanted || (id >= 0 && id < config.vocab_size),
                      "{} of the model is {}, which is no token", name, id);
    }

    void add(const Document& document) {
        auto [ids, learned] = encode_text(loaded_.tokenizer, document);
        int64_t bytes = document.learned_bytes();
        const bool masked = !learned.empty();
        if (bos_) {
            ids.insert(ids.begin(), static_cast<int32_t>(loaded_.model.config().bos_token_id));
            if (masked) learned.insert(learned.begin(), 0);
        } else if (!ids.empty() && (!masked || learned.front())) {
            bytes -= first_token_bytes(ids.front()); // without a beginning it is not predicted
        }
        if (o_.end_token) {
            ids.push_back(static_cast<int32_t>(loaded_.model.config().eos_token_id));
            if (masked) learned.push_back(1);
        }
        waiting_tokens_ += std::ssize(ids);
        windows_.push_back(add_windows(std::move(ids), std::move(learned)));
        waiting_bytes_.push_back(bytes);
        places_.push_back(fmt::format("{}:{}", document.file.string(), document.line));
        if (waiting_tokens_ >= 8 * o_.chunk) flush();
    }
    void flush() {
        const auto losses = evaluator_.losses(waiting_, counted_);
        for (size_t i = 0, window = 0; i < windows_.size(); ++i) {
            DocumentLoss loss;
            for (size_t end = window + windows_[i]; window < end; ++window) {
                loss.nats += losses[window].nats;
                loss.tokens += losses[window].tokens;
            }
            TNL_CHECK(std::isfinite(loss.nats),
                      "{}: the loss is {}: the weights or activations of the model are not finite",
                      places_[i], loss.nats);
            total_.add(loss.nats, loss.tokens, waiting_bytes_[i]);
            if (!o_.per_document) continue;
            Total one;
            one.add(loss.nats, loss.tokens, waiting_bytes_[i]);
            Json item;
            item["document"] = places_[i];
            item.update(one.json());
            documents_.push_back(item);
        }
        waiting_.clear();
        counted_.clear();
        windows_.clear();
        waiting_bytes_.clear();
        places_.clear();
        waiting_tokens_ = 0;
    }
    const Total& total() const { return total_; }
    const Json& documents() const { return documents_; }

  private:
    // A document as the evaluator reads it: whole, or in windows that each begin with the last
    // token of the one before, so that each token is still predicted once. Returns how many.
    size_t add_windows(std::vector<int32_t> ids, std::vector<uint8_t> counted) {
        const int64_t size = std::ssize(ids), window = o_.window > 0 ? o_.window : size;
        if (size <= window + 1) {
            waiting_.push_back(std::move(ids));
            counted_.push_back(std::move(counted));
            return 1;
        }
        size_t count = 0;
        for (int64_t begin = 0; begin + 1 < size; begin += window, ++count) {
            const int64_t end = std::min(size, begin + window + 1);
            waiting_.emplace_back(ids.begin() + begin, ids.begin() + end);
            counted_.emplace_back();
            if (!counted.empty())
                counted_.back().assign(counted.begin() + begin, counted.begin() + end);
        }
        return count;
    }
    int64_t first_token_bytes(int32_t id) const {
        const std::string bytes = loaded_.tokenizer.token_bytes(id);
        const bool space =
            loaded_.tokenizer.adds_leading_space() && !bytes.empty() && bytes.front() == ' ';
        return std::ssize(bytes) - space;
    }

    const EvalOptions& o_;
    const LoadedModel& loaded_;
    Evaluator evaluator_;
    bool bos_;
    std::vector<std::vector<int32_t>> waiting_;
    std::vector<std::vector<uint8_t>> counted_;
    std::vector<size_t> windows_; // of each document
    std::vector<int64_t> waiting_bytes_;
    std::vector<std::string> places_; // file:line of each
    int64_t waiting_tokens_ = 0;
    Total total_;
    Json documents_ = Json::array();
};

void print_total(const EvalOptions& o, const Evaluation& evaluation, double seconds) {
    const Total& t = evaluation.total();
    const double rate = static_cast<double>(t.tokens) / seconds;
    if (o.json) {
        Json out = t.json();
        out["documents"] = t.documents;
        out["seconds"] = seconds;
        out["tokens_per_second"] = rate;
        if (o.per_document) out["per_document"] = evaluation.documents();
        fmt::print("{}\n", out.dump());
        return;
    }
    for (const Json& d : evaluation.documents())
        fmt::print("{}  loss {:.4f}  bits/byte {:.4f}  tokens {}\n",
                   d["document"].get<std::string>(), d["loss_nats_per_token"].get<double>(),
                   d["bits_per_byte"].get<double>(), d["tokens"].get<int64_t>());
    fmt::print("loss           {:.5f} nats/token\n"
               "perplexity     {:.4f}\n"
               "bits per byte  {:.5f}\n"
               "tokens         {} of {} bytes in {} document{}\n"
               "speed          {:.0f} tokens/s\n",
               t.loss(), std::exp(t.loss()), t.bits_per_byte(), t.tokens, t.bytes, t.documents,
               t.documents == 1 ? "" : "s", rate);
}

int run_eval(EvalOptions& o) {
    o.reader.format = ChatTemplate::load_or_plain(o.chat_template);
    using Clock = std::chrono::steady_clock;
    DocumentReader reader(o.files, o.reader);
    const LoadedModel loaded(o.model, o.device, o.threads, o.dtype, o.adapter, o.weights);
    Evaluation evaluation(o, loaded);
    const auto start = Clock::now();
    auto shown = start;
    int64_t read = 0;
    for (Document document;
         (o.max_documents == 0 || read < o.max_documents) && reader.next(document); ++read) {
        evaluation.add(document);
        const auto now = Clock::now();
        if (!isatty(STDERR_FILENO) || now - shown < std::chrono::milliseconds(500)) continue;
        shown = now;
        fmt::print(stderr, "\r{} documents, {} tokens, {:.4f} bits/byte ",
                   evaluation.total().documents, evaluation.total().tokens,
                   evaluation.total().bits_per_byte());
    }
    evaluation.flush();
    if (shown != start) fmt::print(stderr, "\r\033[K");
    TNL_CHECK(evaluation.total().tokens > 0,
              "nothing to evaluate: {} documents with text in {} files", read,
              reader.files().size());
    print_total(o, evaluation, std::chrono::duration<double>(Clock::now() - start).count());
    return kOk;
}

} // namespace

void add_eval_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "eval", "Loss, perplexity and bits per byte over text or JSONL files (.gz and .zst too)");
    const auto o = std::make_shared<EvalOptions>();
    command->add_option("--model", o->model, "Model directory")->required();
    command->add_option("--adapter", o->adapter,
                        "Directory of a low-rank adapter of the model, from train or PEFT");
    command->add_option("files", o->files, "Files or wildcards")->required();
    add_records_options(*command, o->reader, o->chat_template);
    command->add_option("--separator", o->reader.separator,
                        "Line that ends a document of plain text; empty: a file is one document");
    add_choice(*command, "--bad-utf8", o->reader.bad_utf8, "Documents with invalid UTF-8");
    command
        ->add_option("--bos", o->bos,
                     "Begin documents with the bos token: yes, no, or auto: as config.json says. "
                     "Without it a document's first token is not counted, nor are its bytes")
        ->check(CLI::IsMember({"auto", "yes", "no"}));
    command->add_flag("--eos", o->end_token, "Count the end of a document as a token too");
    command->add_option("--max-documents", o->max_documents, "Stop after so many; 0: all")
        ->check(CLI::NonNegativeNumber);
    command
        ->add_option("--window", o->window,
                     "Read documents in windows of so many tokens, each from nothing; 0: whole")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--chunk", o->chunk, "Tokens of one call")->check(CLI::PositiveNumber);
    command->add_flag("--per-document", o->per_document, "Also the numbers of each document");
    command->add_flag("--json", o->json, "Print one JSON object");
    command->add_option("--device", o->device, "cpu, cuda, cuda:N or auto");
    command->add_option("--dtype", o->dtype, "f32, bf16, or auto: that of the stored weights");
    command
        ->add_option("--weights", o->weights,
                     "Of the layers' matrices: int8 or int4 makes these of floats (docs/"
                     "quantization.md); keep: as stored")
        ->check(CLI::IsMember({"keep", "int8", "int4"}));
    command->add_option("--threads", o->threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command->footer(kRecordsHelp);
    on_run(command, [o] { return run_eval(*o); });
}

} // namespace tnl
