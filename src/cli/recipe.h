// A recipe: commands of the program, one after the other, as a TOML file.
//
//   output = "run"                       # directory of all stages, relative to the recipe's
//   [common]                             # options of every stage that knows them
//   threads = 8
//
//   [[stage]]
//   name = "rules"
//   command = "corpus filter"            # as on the command line
//   inputs = ["raw/*.jsonl.zst"]         # what the command takes without a name
//   rules = "fineweb"                    # any of its options: --rules fineweb
//
//   [[stage]]
//   name = "unique"
//   command = "corpus dedup"
//   from = "rules"                       # the documents that a stage kept
//
//   [[stage]]
//   name = "loop"                        # stages again and again
//   from = "unique"
//   rounds = 2
//     [[stage.stage]]
//     name = "scores"
//     command = "corpus score"
//     from = "loop"                      # what the round before kept, at first what "loop" is from
//     model = "{model}/checkpoints/latest"   # {NAME}: the directory of a stage
//
// A stage's directory is OUTPUT/NAME, inside a loop OUTPUT/LOOP-ROUND/NAME; LOOP-ROUND/NAME names
// it outside, LOOP the last stage of the last round. Paths are relative to the recipe's directory.
#pragma once

#include "base/json.h"

#include <filesystem>
#include <string>
#include <vector>

namespace tnl {

struct RecipeStage {
    std::string name;  // "rules", "loop-1/scores"
    std::string place; // for messages: "recipe.toml: stage 'rules'"
    std::vector<std::string> command;
    std::vector<std::string> from;   // names of stages
    std::vector<std::string> inputs; // as the recipe has them, placeholders replaced
    Json options = Json::object();   // others, likewise
    std::vector<std::string> needs;  // names of stages that it mentions, `from` among them
    std::filesystem::path directory;
};

struct Recipe {
    std::filesystem::path file, output;
    Json common = Json::object();
    std::vector<RecipeStage> stages; // rounds unrolled
};

// Throws UsageError naming file, stage and field.
Recipe load_recipe(const std::filesystem::path& path);

} // namespace tnl
