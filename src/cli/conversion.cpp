#include "cli/conversion.h"

#include "base/atomic_directory.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/inspect.h"
#include "model/checkpoint.h"
#include "model/convert_model.h"
#include "text/tokenizer.h"
#include "train/progress.h"

#include <cstdio>

namespace tnl {
namespace {

namespace fs = std::filesystem;

// A path of the source whose name ends so; empty if there is none.
fs::path find_ending(const fs::path& directory, std::string_view ending) {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory))
        if (entry.path().filename().string().ends_with(ending)) return entry.path();
    return {};
}

void copy_into(const fs::path& from, const fs::path& directory) {
    write_file_atomic(directory / from.filename(), read_file(from));
}

} // namespace

int64_t copy_tokenizer(const Conversion& c, const ModelConfig& config, const fs::path& to) {
    if (c.without_tokenizer) return 0;
    const fs::path source = c.source, model = find_tokenizer(source);
    if (model.empty()) {
        for (const char* other : {"vocab.json", "tokenizer.json"})
            if (const fs::path found = find_ending(source, other); !found.empty())
                fail("{}: only SentencePiece models (tokenizer.model) and tiktoken's vocabularies "
                     "(*.tiktoken) are read; "
                     "--without-tokenizer takes the weights alone, for verify, train and eval on "
                     "tokens",
                     found.string());
        return 0;
    }
    const Tokenizer tokenizer(model);
    if (tokenizer.vocab_size() > config.vocab_size)
        fail("{}: has {} pieces, but config.json has vocab_size {}", model.string(),
             tokenizer.vocab_size(), config.vocab_size);
    copy_into(model, to);
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"})
        if (fs::exists(source / name)) copy_into(source / name, to);
    return tokenizer.vocab_size();
}

// Replacing a directory that holds something else would lose it.
void check_output(const Conversion& c) {
    if (fs::exists(c.output) && !(fs::is_directory(c.output) && fs::is_empty(c.output)))
        throw UsageError(fmt::format("-o {}: exists, wanted a new directory", c.output));
}

void copy_generation_config(const fs::path& source, const ModelConfig& config, const fs::path& to) {
    const fs::path own = source / "generation_config.json";
    if (fs::exists(own)) static_cast<void>(parse_json_file(own));
    write_file_atomic(to / "generation_config.json",
                      fs::exists(own) ? read_file(own) : generation_config_json(config));
}

void add_conversion_options(CLI::App& command, Conversion& c) {
    command.add_option("-o,--output", c.output, "Directory to make; must not exist")->required();
    command.add_option("--adapter", c.adapter,
                       "Directory of a low-rank adapter, from train or PEFT: merged into the "
                       "weights");
    command.add_option("--dtype", c.dtype, "Of the stored weights; keep: each as it is")
        ->check(CLI::IsMember({"keep", "bf16", "f32", "f16"}));
    command
        .add_option("--shard-bytes", c.shard_bytes,
                    "Bytes of one file of weights, where one tensor is no larger")
        ->check(CLI::PositiveNumber);
    command.add_flag("--without-tokenizer", c.without_tokenizer, "Leave the tokenizer out");
    command.add_option("--threads", c.threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command.add_flag("--json", c.json, "Print one JSON object");
}

void convert(const Conversion& c, std::string (*config_json)(const ModelConfig&),
             const std::function<void(const std::filesystem::path& directory)>& add) {
    check_output(c);
    const fs::path source = c.source;
    ModelConfig config = load_model_config(source);
    want_floats(config.weights, "converting");
    static_cast<void>(config_json(config)); // refuses before the weights are written
    const auto device = make_device("cpu", c.threads);
    AtomicDirectory whole(c.output);
    const int64_t pieces = copy_tokenizer(c, config, whole.path());
    if (add) add(whole.path());
    copy_generation_config(source, config, whole.path());
    ConvertOptions options;
    std::optional<Adapter> adapter;
    if (!c.adapter.empty()) options.adapter = &adapter.emplace(c.adapter);
    if (c.dtype != "keep") options.dtype = dtype_from_name(c.dtype);
    options.max_shard_bytes = c.shard_bytes;
    const ConvertedWeights weights =
        convert_weights(source, config, whole.path(), options, *device->stream().threads);
    config.torch_dtype = std::string(name_of(weights.dtype));
    write_file_atomic(whole.path() / "config.json", config_json(config));
    whole.commit();
    if (c.json) {
        const Json out = {{"output", c.output},
                          {"tensors", weights.tensors},
                          {"parameters", weights.parameters},
                          {"bytes", weights.bytes},
                          {"dtype", name_of(weights.dtype)},
                          {"tokenizer_pieces", pieces ? Json(pieces) : Json(nullptr)}};
        std::puts(out.dump().c_str());
        return;
    }
    fmt::print("{}: {} parameters in {} tensors, {}, {}; {}\n", c.output,
               format_count(static_cast<double>(weights.parameters)), weights.tensors,
               name_of(weights.dtype), format_bytes(static_cast<double>(weights.bytes)),
               pieces ? fmt::format("tokenizer of {} pieces", pieces) : "no tokenizer");
}

} // namespace tnl
