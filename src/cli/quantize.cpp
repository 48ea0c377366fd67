// transnormer quantize: a model whose weights take 8 or 4 bits.
#include "base/atomic_directory.h"
#include "cli/commands.h"
#include "cli/conversion.h"
#include "cli/inspect.h"
#include "model/checkpoint.h"
#include "train/progress.h"

#include "base/json.h"

#include <cstdio>

namespace tnl {
namespace {

struct QuantizeOptions {
    Conversion files;
    std::string weights, head = "int8";
};

// Bytes of the parameters, as stored.
uint64_t stored_bytes(const ParamTable& table, DType dtype) {
    uint64_t bytes = 0;
    for (const Param& p : table.base())
        bytes += static_cast<uint64_t>(p.format == QuantFormat::none ? p.size * size_of(dtype)
                                                                     : p.bytes());
    return bytes;
}

int run_quantize(const QuantizeOptions& o) {
    check_output(o.files);
    const std::filesystem::path source = o.files.source;
    ModelConfig config = load_model_config(source);
    want_floats(config.weights, "quantize");
    config.weights = {quant_format_from_name(o.weights),
                      o.head == "float" ? QuantFormat::none : quant_format_from_name(o.head)};
    const DType stored = dtype_from_name(config.torch_dtype);
    const auto device = make_device("cpu", o.files.threads);
    const Model model(config);
    // Floats of the directory as they are, if the run's dtypes hold them.
    const OwnedTensor weights = load_weights_to_device(
        source, model, *device, stored == DType::bf16 ? DType::bf16 : DType::f32);
    AtomicDirectory whole(o.files.output);
    const int64_t pieces = copy_tokenizer(o.files, config, whole.path());
    SaveOptions save;
    save.dtype = stored;
    save.max_shard_bytes = o.files.shard_bytes;
    write_model(whole.path(), model, weights, *device, save);
    copy_generation_config(source, config, whole.path());
    whole.commit();
    const uint64_t bytes = stored_bytes(model.params(), stored);
    const int64_t parameters = model.params().parameter_count();
    if (o.files.json) {
        const Json out = {{"output", o.files.output},
                          {"parameters", parameters},
                          {"layers", name_of(config.weights.layers)},
                          {"head", name_of(config.weights.head)},
                          {"dtype", name_of(stored)},
                          {"bytes", bytes},
                          {"tokenizer_pieces", pieces ? Json(pieces) : Json(nullptr)}};
        std::puts(out.dump().c_str());
        return kOk;
    }
    fmt::print(
        "{}: {} parameters, layers in {}, head in {}, the rest in {}: {} ({:.2f} bits each); "
        "{}\n",
        o.files.output, format_count(static_cast<double>(parameters)),
        name_of(config.weights.layers),
        config.weights.head == QuantFormat::none ? name_of(stored) : name_of(config.weights.head),
        name_of(stored), format_bytes(static_cast<double>(bytes)),
        8 * static_cast<double>(bytes) / static_cast<double>(parameters),
        pieces ? fmt::format("tokenizer of {} pieces", pieces) : "no tokenizer");
    return kOk;
}

} // namespace

void add_quantize_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("quantize", "Write a model whose weights take 8 or 4 bits, to run it");
    const auto o = std::make_shared<QuantizeOptions>();
    command->add_option("model", o->files.source, "Model directory, or a checkpoint of a run")
        ->required();
    command->add_option("-o,--output", o->files.output, "Directory to make; must not exist")
        ->required();
    command->add_option("--weights", o->weights, "Of the layers' matrices: int8 or int4")
        ->required()
        ->check(CLI::IsMember({"int8", "int4"}));
    command
        ->add_option("--head", o->head,
                     "Of the head's: int8, int4, or float: as it is. Beside tied embeddings it is "
                     "a copy of them")
        ->check(CLI::IsMember({"int8", "int4", "float"}));
    command
        ->add_option("--shard-bytes", o->files.shard_bytes,
                     "Bytes of one file of weights, where one tensor is no larger")
        ->check(CLI::PositiveNumber);
    command->add_flag("--without-tokenizer", o->files.without_tokenizer, "Leave the tokenizer out");
    command->add_option("--threads", o->files.threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--json", o->files.json, "Print one JSON object");
    command->footer(
        "Codes with one scale for each 128 (int8) or 64 (int4) neighbours of a row; embeddings, "
        "norms and biases\nstay floats. generate, serve and eval read the directory as any other; "
        "with their own --weights they do\nthe same to a model of floats as it is loaded. What it "
        "costs: docs/quantization.md.");
    on_run(command, [o] { return run_quantize(*o); });
}

} // namespace tnl
