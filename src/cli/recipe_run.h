// A recipe's stages as command lines, and their execution: each a process of this program, which
// ends with this one. A stage that is done is said in OUTPUT/records/NAME.json with its command
// line, its inputs and its outputs; it is passed over while all of these, and the stages before it,
// are the same. A stage that was killed goes on where its command does so by itself.
#pragma once

#include "cli/cli.h"
#include "cli/recipe.h"

namespace tnl {

struct RecipeCommand {
    std::vector<std::string> arguments; // without the program's name
    std::vector<std::string> own_files; // of them, files or directories that no stage makes
};

// program: the tree of commands (make_cli). Checks every stage's command, options, their values as
// far as they can be checked before it runs, and what is required. Throws UsageError naming file,
// stage and field. What a stage before makes and is not there yet stands as a wildcard.
RecipeCommand recipe_command(const Recipe& recipe, const RecipeStage& stage,
                             const CLI::App& program);

// Throws UsageError naming the file and a field of [common] that no stage's command has as an
// option.
void check_common(const Recipe& recipe, const CLI::App& program);

// Whether the stage was done by this command line of these inputs. `after`: digests of what it
// needs.
class StageRecord {
  public:
    StageRecord(const Recipe& recipe, const RecipeStage& stage, const RecipeCommand& command,
                std::string after);
    bool done() const;
    // A stage of another command line or other inputs was begun in its directory.
    bool begun_otherwise() const;
    void begin() const;
    void finish() const;
    const std::string& digest() const { return digest_; } // of command line, inputs, after

  private:
    void write(const Json& outputs) const;
    std::filesystem::path path_, directory_;
    Json inputs_;
    std::vector<std::string> arguments_;
    std::string digest_;
};

// Runs a command of this program in `directory`; answers its exit code. Throws where a signal
// ended it.
int run_child(const std::vector<std::string>& arguments, const std::filesystem::path& directory);

} // namespace tnl
