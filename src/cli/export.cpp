// transnormer export: a model as the released code loads it.
#include "cli/commands.h"
#include "cli/conversion.h"
#include "model/released.h"

namespace tnl {

void add_export_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("export", "Write a model as the released PyTorch code loads it");
    const auto c = std::make_shared<Conversion>();
    const auto code = std::make_shared<std::string>();
    command->add_option("model", c->source, "Model directory, or a checkpoint of a run")
        ->required();
    add_conversion_options(*command, *c);
    command
        ->add_option("--code", *code,
                     "Folder with the released configuration_transnormer.py, "
                     "modeling_transnormer.py and what they import: its .py files are copied")
        ->check(CLI::ExistingDirectory);
    command->footer(
        "Written are safetensors under the released names, config.json with the released fields "
        "alone,\ngeneration_config.json and the tokenizer: what "
        "AutoModelForCausalLM.from_pretrained(DIR,\ntrust_remote_code=True) loads once the "
        "released code lies there (--code). A model with choices that\nthat code does not have "
        "(another decay law, say) is refused.\n"
        "No GGUF: llama.cpp has no architecture that computes TransNormerLLM.");
    on_run(command, [c, code] {
        convert(*c, released_config_json, *code);
        return kOk;
    });
}

} // namespace tnl
