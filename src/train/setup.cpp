#include "train/setup.h"

#include "base/file.h"
#include "data/tokenize.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

#include <algorithm>
#include <chrono>

namespace tnl {
namespace fs = std::filesystem;
namespace {

fs::path existing(const char* key, const std::string& given) {
    const fs::path path = fs::absolute(given).lexically_normal();
    if (!fs::exists(path)) fail("{} = {}: there is no such file or directory", key, given);
    return path;
}

// What tokenize wrote holds its shards one level below.
fs::path shards_below(const fs::path& path, const char* split) {
    return fs::is_directory(path / split) ? path / split : path;
}

bool has_shards(const fs::path& directory) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(directory, none))
        if (entry.path().extension() == ".tnl") return true;
    return false;
}

// The folder itself, the one of a shard, or the one above: first with the file.
std::optional<fs::path> tokenizer_beside(const fs::path& shards) {
    fs::path at = shards;
    for (int up = 0; up < 3 && !at.empty(); ++up, at = at.parent_path())
        if (fs::path found = find_tokenizer(at); !found.empty()) return found;
    return std::nullopt;
}

LoaderOptions loader_options(const TrainConfig& config, bool shuffle, int64_t pieces) {
    LoaderOptions options;
    options.row_tokens = config.train.length * pieces;
    options.pieces = pieces;
    options.shuffle = shuffle;
    options.reset_at_documents = config.data.reset;
    return options;
}

bool is_text_file(const std::string& path) {
    fs::path name = fs::path(path).filename();
    if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
    return is_jsonl(path) || name.extension() == ".txt";
}

fs::path tokenizer_for_text(const TrainConfig& config, const fs::path& text) {
    if (!config.data.tokenizer.empty()) return existing("data.tokenizer", config.data.tokenizer);
    for (const fs::path& directory : {fs::path(config.init), text.parent_path()}) {
        if (directory.empty()) continue;
        if (fs::path found = find_tokenizer(directory); !found.empty()) return found;
    }
    throw UsageError(fmt::format("data.tokenizer is not given: wanted the tokenizer.model to read "
                                 "{} with, which is neither in init nor beside the text",
                                 text.string()));
}

} // namespace

void tokenize_text_data(TrainConfig& config, const fs::path& directory, std::FILE* out) {
    DataConfig& data = config.data;
    if (!is_text_file(data.train)) {
        if (is_text_file(data.validation))
            throw UsageError(fmt::format("data.validation = {}: wanted tokens, as data.train = {} "
                                         "is: \"transnormer tokenize --val\" makes them",
                                         data.validation, data.train));
        return;
    }
    const fs::path train = existing("data.train", data.train);
    const fs::path output = fs::absolute(directory).lexically_normal();
    // What this run has tokenized before is made again.
    for (const fs::path& own : {output, fs::absolute(fs::path(config.run) / "data")})
        if (data.validation == (own.lexically_normal() / "val").string()) data.validation.clear();
    if (!data.validation.empty() && !is_text_file(data.validation))
        throw UsageError(fmt::format("data.validation = {}: wanted a .jsonl or .txt file, as "
                                     "data.train = {} is",
                                     data.validation, data.train));
    const Tokenizer tokenizer{tokenizer_for_text(config, train)};
    ReaderOptions reading;
    reading.format = ChatTemplate::load_or_plain(data.chat_template);
    DocumentReader reader({train.string()}, reading);
    std::optional<DocumentReader> held_out;
    if (!data.validation.empty())
        held_out.emplace(
            std::vector<std::string>{existing("data.validation", data.validation).string()},
            reading);
    TokenizeOptions options;
    options.output = output;
    options.val_fraction = data.val_fraction;
    options.bos = config.model.add_bos_token && tokenizer.bos() >= 0;
    options.threads = config.train.threads;
    fs::create_directories(output);
    const TokenizeResult r =
        tokenize(reader, held_out ? &*held_out : nullptr, tokenizer, options, {});
    write_file_atomic(output / "tokenizer.model", tokenizer.serialized());
    fmt::print(out, "text    {}: {} documents, {} instructions; {} tokens, {} to be learned\n",
               data.train, r.read.documents, r.read.instructions, r.train.tokens + r.val.tokens,
               r.train.learned + r.val.learned);
    data.train = output.string();
    data.tokenizer = (output / "tokenizer.model").string();
    data.validation.clear(); // val/ beside it, where there is one
}

void find_data(DataConfig& data) {
    if (data.train.empty())
        throw UsageError("data.train is not given: wanted the directory that \"transnormer "
                         "tokenize\" wrote, as data.train=DIR, or a .jsonl file");
    const fs::path train = shards_below(existing("data.train", data.train), "train");
    data.train = train.string();
    if (!data.validation.empty())
        data.validation =
            shards_below(existing("data.validation", data.validation), "val").string();
    else if (train.filename() == "train" && has_shards(train.parent_path() / "val"))
        data.validation = (train.parent_path() / "val").string();
    if (!data.tokenizer.empty())
        data.tokenizer = existing("data.tokenizer", data.tokenizer).string();
    else if (const auto found = tokenizer_beside(train))
        data.tokenizer = found->string();
}

// A part of the held-out data is a random one; all of it is read in order, with no row left out.
RunData::RunData(const TrainConfig& config)
    : train(config.data.train),
      train_source(train, loader_options(config, true, config.train.pieces),
                   {config.train.seed, 0, 0}) {
    if (config.data.validation.empty()) return;
    validation.emplace(config.data.validation);
    validation_source.emplace(*validation, loader_options(config, config.eval.batches != 0, 1));
    if (validation->tokenizer_hash() != train.tokenizer_hash())
        fail("{} and {} were made with different tokenizers", config.data.train,
             config.data.validation);
}

void fit_model(TrainConfig& config, const ShardSet& data, const std::vector<std::string>& given) {
    const auto is_given = [&](const char* key) {
        return std::find(given.begin(), given.end(), key) != given.end();
    };
    ModelConfig& model = config.model;
    const int64_t vocab = data.vocab_size();
    if (!is_given("model.vocab_size")) model.vocab_size = vocab;
    if (model.vocab_size < vocab)
        fail("model.vocab_size = {}: {} has token ids up to {}; wanted at least {}",
             model.vocab_size, config.data.train, vocab - 1, vocab);
    if (!is_given("model.torch_dtype"))
        model.torch_dtype = config.checkpoint_dtype() == DType::bf16 ? "bfloat16" : "float32";
    if (!is_given("model.model_max_length")) model.model_max_length = config.train.length;
    if (config.data.tokenizer.empty()) return;
    const Tokenizer tokenizer{fs::path(config.data.tokenizer)};
    if (tokenizer.hash() != data.tokenizer_hash())
        fail("{}: not the tokenizer that {} was made with; wanted that one as data.tokenizer",
             config.data.tokenizer, config.data.train);
    if (!is_given("model.bos_token_id")) model.bos_token_id = tokenizer.bos();
    if (!is_given("model.eos_token_id")) model.eos_token_id = tokenizer.eos();
    if (!is_given("model.pad_token_id") && tokenizer.pad() >= 0)
        model.pad_token_id = tokenizer.pad();
    int32_t first = -1;
    data.read(0, 1, &first);
    if (!is_given("model.add_bos_token"))
        model.add_bos_token = tokenizer.bos() >= 0 && first == tokenizer.bos();
    config.validate();
}

double measure_step_seconds(const TrainConfig& config, const Model& model, Device& device,
                            BatchSource& source) {
    using Clock = std::chrono::steady_clock;
    constexpr int kWarmUp = 2, kFewest = 5, kMost = 50;
    constexpr double kSeconds = 3; // enough for a median
    const LoaderState begin = source.state();
    Learner learner(config, model, device);
    learner.set_weights(first_weights(config, model).data());
    std::vector<TokenRows> batches(static_cast<size_t>(config.train.accumulate));
    std::vector<double> seconds;
    double total = 0;
    for (int i = 0; i < kWarmUp + kFewest || (i < kMost && total < kSeconds); ++i) {
        const auto start = Clock::now();
        for (TokenRows& batch : batches) source.next(config.train.rows, batch);
        const Learner::Step step = learner.gradients(batches);
        learner.update(0, step.norm);
        device.synchronize();
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        total += took;
        if (i >= kWarmUp) seconds.push_back(took);
    }
    source.seek(begin);
    std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
    return seconds[seconds.size() / 2];
}

std::vector<float> first_weights(const TrainConfig& config, const Model& model) {
    want_floats(model.config().weights, "training");
    std::vector<float> flat(static_cast<size_t>(model.params().flat_size()));
    if (!config.init.empty()) {
        ThreadPool threads(config.train.threads);
        load_weights(config.init, model.params(),
                     Tensor(flat.data(), DType::f32, {model.params().flat_size()}), threads);
    }
    if (config.init.empty() || model.params().has_adapters())
        initialize(model.params(), model.config(), config.train.seed, flat.data());
    return flat;
}

} // namespace tnl
