// transnormer export: a model as Hugging Face's transformers loads it.
#include "base/check.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/conversion.h"
#include "model/released.h"

namespace tnl {
namespace {

namespace fs = std::filesystem;

void copy_code(const fs::path& from, const fs::path& to) {
    bool any = false;
    for (const fs::directory_entry& entry : fs::directory_iterator(from))
        if (entry.is_regular_file() && entry.path().extension() == ".py") {
            write_file_atomic(to / entry.path().filename(), read_file(entry.path()));
            any = true;
        }
    if (!any) fail("{}: has no .py file", from.string());
}

void write_code(const fs::path& to) {
    write_file_atomic(to / "configuration_transnormer.py", configuration_code());
    write_file_atomic(to / "modeling_transnormer.py", modeling_code());
}

} // namespace

void add_export_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("export", "Write a model as Hugging Face's transformers loads it");
    const auto c = std::make_shared<Conversion>();
    const auto code = std::make_shared<std::string>();
    command->add_option("model", c->source, "Model directory, or a checkpoint of a run")
        ->required();
    add_conversion_options(*command, *c);
    command
        ->add_option(
            "--code", *code,
            "Folder with the released modeling_transnormer.py and what it imports: its .py "
            "files are copied, instead of this program's own of the same name")
        ->check(CLI::ExistingDirectory);
    command->footer(
        "Written are safetensors under the released names, config.json, generation_config.json, "
        "the "
        "tokenizer,\nand PyTorch code that computes the model, so that\n"
        "  AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)\n"
        "loads it, to generate and to train (docs/huggingface.md). With --code config.json has the "
        "released fields\nalone, and a model with choices that the released code does not have "
        "(another decay law, say) is refused.\n"
        "No GGUF: llama.cpp has no architecture that computes TransNormerLLM.");
    on_run(command, [c, code] {
        if (code->empty())
            convert(*c, huggingface_config_json, write_code);
        else
            convert(*c, released_config_json,
                    [code](const fs::path& directory) { copy_code(*code, directory); });
        return kOk;
    });
}

} // namespace tnl
