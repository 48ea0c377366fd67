// transnormer import: a released repository as a model directory.
#include "cli/commands.h"
#include "cli/conversion.h"

namespace tnl {

void add_import_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("import", "Make a model directory of a released checkpoint");
    const auto c = std::make_shared<Conversion>();
    command
        ->add_option("source", c->source,
                     "Folder of a released repository: config.json, and model.safetensors or "
                     "pytorch_model.bin, single or in shards with their index")
        ->required();
    add_conversion_options(*command, *c);
    command->footer(
        "Nothing of the source is executed: of PyTorch's files only dicts of tensors are read, and "
        "names,\nshapes, dtypes and values are checked. Every command reads such folders as they "
        "are, too; import\nsettles their format, dtype and shards once. Tokenizers: SentencePiece "
        "(tokenizer.model) and\ntiktoken (the 15B model's transnormer_100k.tiktoken).");
    on_run(command, [c] {
        convert(*c, model_config_json);
        return kOk;
    });
}

} // namespace tnl
