// transnormer corpus run: a recipe's stages, one after the other.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "cli/recipe_run.h"

#include "base/check.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/lease.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

namespace tnl {
namespace {

struct RunCommand {
    std::string recipe;
    bool dry = false, again = false;
};

// What a shell would read as one word.
std::string quoted(const std::string& word) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
        return std::isalnum(c) ||
               std::string_view("-_./=,:+%@").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (plain) return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

// Many files of one directory are shown as the first and their number.
std::string command_line(const std::vector<std::string>& arguments) {
    constexpr size_t kShown = 24;
    std::string out = "transnormer";
    for (size_t i = 0; i < std::min(arguments.size(), kShown); ++i)
        out += " " + quoted(arguments[i]);
    if (arguments.size() > kShown)
        out += fmt::format(" ... and {} more", arguments.size() - kShown);
    return out;
}

int run_recipe(const RunCommand& c) {
    const Recipe recipe = load_recipe(c.recipe);
    const std::unique_ptr<CLI::App> program = make_cli();
    // All faults of a recipe are told before anything is done.
    for (const RecipeStage& stage : recipe.stages) recipe_command(recipe, stage, *program);
    check_common(recipe, *program);
    const std::filesystem::path base = std::filesystem::absolute(recipe.file).parent_path();
    std::optional<corpus::Leases> leases;
    if (!c.dry) {
        leases.emplace(recipe.output / "leases");
        if (!leases->take("recipe"))
            fail("{}: another process runs a recipe there", recipe.output.string());
    }
    std::map<std::string, std::string> digests;
    size_t at = 0;
    bool all_before_done = true;
    for (const RecipeStage& stage : recipe.stages) {
        const RecipeCommand command = recipe_command(recipe, stage, *program);
        std::string after;
        for (const std::string& need : stage.needs) after += digests.at(need);
        const StageRecord record(recipe, stage, command, after);
        digests[stage.name] = record.digest();
        const bool done = record.done() && all_before_done && !c.again;
        fmt::print("[{}/{}] {}: {}\n", ++at, recipe.stages.size(), stage.name,
                   done ? "done before" : command_line(command.arguments));
        std::fflush(stdout);
        if (done) continue;
        all_before_done = all_before_done && !c.dry;
        if (c.dry) continue;
        // Training goes on with what is there, and must not with what is another run's.
        if (stage.command == std::vector<std::string>{"train"} && record.begun_otherwise())
            std::filesystem::remove_all(stage.directory);
        std::filesystem::create_directories(stage.directory);
        record.begin();
        const auto start = std::chrono::steady_clock::now();
        if (const int code = run_child(command.arguments, base); code != kOk)
            fail("{}: {} failed with exit code {}; its message is above, and the same command "
                 "goes on from here",
                 stage.place, fmt::join(stage.command, " "), code);
        record.finish();
        fmt::print("[{}/{}] {}: done, {:.1f} s\n", at, recipe.stages.size(), stage.name,
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    if (!c.dry) fmt::print("{}: all {} stages are done\n", recipe.output.string(), at);
    return kOk;
}

} // namespace

void add_corpus_run_command(CLI::App& group) {
    auto c = std::make_shared<RunCommand>();
    CLI::App* command =
        group.add_subcommand("run", "Run the stages of a recipe, a TOML file, one after the other");
    command->add_option("recipe", c->recipe, "The file")->required();
    command->add_flag("--dry-run", c->dry, "Print what would be done, and do nothing");
    command->add_flag("--again", c->again,
                      "Start every stage again; each passes over what it has done already");
    command->footer(
        "output = \"out\"\n\n[[stage]]\nname = \"rules\"\ncommand = \"corpus filter\"\n"
        "inputs = [\"raw/*.jsonl.zst\"]\nrules = \"fineweb\"       # any option of the command\n\n"
        "[[stage]]\nname = \"unique\"\ncommand = \"corpus dedup\"\nfrom = \"rules\"          # "
        "what "
        "a stage kept; {rules} is its directory\n\n"
        "Loops, with training in them: docs/corpus.md. A run that was killed goes on where it "
        "was.");
    on_run(command, [c] { return run_recipe(*c); });
}

} // namespace tnl
