#include "cli/recipe_run.h"

#include "base/check.h"
#include "base/nearest.h"

#include <algorithm>
#include <set>

namespace tnl {
namespace fs = std::filesystem;
namespace {

const CLI::App& find_command(const RecipeStage& stage, const CLI::App& program) {
    const CLI::App* at = &program;
    for (const std::string& word : stage.command) {
        const CLI::App* next = nullptr;
        std::vector<std::string> names;
        for (const CLI::App* each : at->get_subcommands([](const CLI::App*) { return true; })) {
            names.push_back(each->get_name());
            if (names.back() == word) next = each;
        }
        if (next == nullptr) {
            throw UsageError(
                fmt::format("{}: command: unknown '{}'{}", stage.place, word,
                            names.empty() ? "" : "; the nearest is " + nearest(word, names)));
        }
        at = next;
    }
    if (!at->get_subcommands([](const CLI::App*) { return true; }).empty())
        throw UsageError(fmt::format("{}: command '{}' wants one more word", stage.place,
                                     fmt::join(stage.command, " ")));
    return *at;
}

std::string text_of(const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// Values as they stand on a command line; those of a table are NAME=VALUE.
std::vector<std::string> values_of(const RecipeStage& stage, const std::string& key,
                                   const Json& value) {
    std::vector<std::string> out;
    if (value.is_object()) {
        for (const auto& [name, each] : value.items()) out.push_back(name + "=" + text_of(each));
    } else if (value.is_array()) {
        for (const Json& each : value) {
            if (each.is_structured())
                throw UsageError(fmt::format("{}: {} is {}, wanted a list of plain values",
                                             stage.place, key, json_excerpt(value)));
            out.push_back(text_of(each));
        }
    } else {
        out.push_back(text_of(value));
    }
    return out;
}

// What the command line would say of a value.
void check_value(const RecipeStage& stage, const std::string& key, CLI::Option* option,
                 std::string value) {
    for (int i = 0;; ++i) {
        const CLI::Validator* validator = nullptr;
        try {
            validator = option->get_validator(i);
        } catch (const CLI::OptionNotFound&) {
            return;
        }
        if (const std::string fault = (*validator)(value); !fault.empty())
            throw UsageError(fmt::format("{}: {}: {}", stage.place, key, fault));
    }
}

std::string option_name(std::string key) {
    std::replace(key.begin(), key.end(), '_', '-');
    return "--" + key;
}

// Settings of train: tables become dots.
void add_settings(const std::string& key, const Json& value, std::vector<std::string>& out) {
    if (!value.is_object()) {
        out.push_back(key + "=" + text_of(value));
        return;
    }
    for (const auto& [name, each] : value.items()) add_settings(key + "." + name, each, out);
}

// The documents that a stage made, or where they will be.
std::vector<std::string> documents_of(const Recipe& recipe, const std::string& stage) {
    const fs::path directory = recipe.output / stage;
    for (const char* folder : {"kept", "mixed"}) {
        std::vector<std::string> out;
        if (fs::exists(directory / folder))
            for (const auto& entry : fs::recursive_directory_iterator(directory / folder))
                if (entry.is_regular_file() && !entry.path().filename().string().starts_with("."))
                    out.push_back(entry.path().string());
        std::sort(out.begin(), out.end());
        if (!out.empty()) return out;
    }
    return {(directory / "kept" / "*.jsonl.zst").string()};
}

class Builder {
  public:
    Builder(const Recipe& recipe, const RecipeStage& stage, const CLI::App& program)
        : recipe_(recipe), stage_(stage), command_(find_command(stage, program)) {}

    RecipeCommand build() {
        out_.arguments = stage_.command;
        const bool train = command_.get_name() == "train";
        for (const auto& [key, value] : stage_.options.items()) {
            CLI::Option* option = find(option_name(key));
            if (option != nullptr) {
                add(key, option, value);
            } else if (train) {
                add_settings(key, value, positional_);
            } else {
                std::vector<std::string> known = {"from", "inputs"};
                for (const CLI::Option* each : command_.get_options())
                    for (const std::string& name : each->get_lnames()) known.push_back(name);
                throw UsageError(fmt::format("{}: unknown field '{}'; the nearest is {}",
                                             stage_.place, key, nearest(key, known)));
            }
        }
        for (const auto& [key, value] : recipe_.common.items())
            if (CLI::Option* option = find(option_name(key));
                option != nullptr && !given_.contains(option_name(key)))
                add(key, option, value);
        add_output();
        for (const std::string& from : stage_.from)
            for (std::string& file : documents_of(recipe_, from))
                positional_.push_back(std::move(file));
        for (const std::string& input : stage_.inputs) {
            positional_.push_back(input);
            add_own(input);
        }
        check_required();
        for (std::string& each : positional_) out_.arguments.push_back(std::move(each));
        return std::move(out_);
    }

  private:
    CLI::Option* find(const std::string& name) const {
        // Options are looked at, never changed.
        return const_cast<CLI::App&>(command_).get_option_no_throw(name);
    }
    void add(const std::string& key, CLI::Option* option, const Json& value) {
        const std::string name = option_name(key);
        given_.insert(name);
        if (option->get_items_expected_max() == 0) { // a flag
            if (!value.is_boolean())
                throw UsageError(fmt::format("{}: {} is {}, wanted true or false", stage_.place,
                                             key, json_excerpt(value)));
            if (value.get<bool>()) out_.arguments.push_back(name);
            return;
        }
        for (const std::string& text : values_of(stage_, key, value)) {
            check_value(stage_, key, option, text);
            // In the stage's directory, wherever that is.
            const bool output = name == "--output" || name == "--run";
            out_.arguments.push_back(name);
            out_.arguments.push_back(output ? (stage_.directory / text).string() : text);
            if (!output) add_own(text);
        }
    }
    // Every command's output is the stage's directory, or a file in it.
    void add_output() {
        for (const char* name : {"--run", "--output"}) {
            if (find(name) == nullptr || given_.contains(name)) continue;
            const bool page = command_.get_name() == "report";
            out_.arguments.emplace_back(name);
            out_.arguments.push_back(
                (page ? stage_.directory / "report.html" : stage_.directory).string());
            given_.insert(name);
            return;
        }
    }
    void add_own(const std::string& text) {
        const std::string output = recipe_.output.string();
        if (!text.starts_with(output)) out_.own_files.push_back(text);
    }
    void check_required() const {
        for (const CLI::Option* option : command_.get_options()) {
            if (!option->get_required()) continue;
            const bool positional = option->get_lnames().empty();
            if (positional ? !positional_.empty()
                           : given_.contains("--" + option->get_lnames().front()))
                continue;
            throw UsageError(
                fmt::format("{}: has no {}, wanted one", stage_.place,
                            positional ? "from or inputs" : option->get_lnames().front()));
        }
    }

    const Recipe& recipe_;
    const RecipeStage& stage_;
    const CLI::App& command_;
    RecipeCommand out_;
    std::vector<std::string> positional_;
    std::set<std::string> given_;
};

} // namespace

RecipeCommand recipe_command(const Recipe& recipe, const RecipeStage& stage,
                             const CLI::App& program) {
    return Builder(recipe, stage, program).build();
}

void check_common(const Recipe& recipe, const CLI::App& program) {
    std::set<std::string> known;
    for (const RecipeStage& stage : recipe.stages)
        for (const CLI::Option* option : find_command(stage, program).get_options())
            known.insert(option->get_lnames().begin(), option->get_lnames().end());
    known.erase("help");
    std::vector<std::string> fields;
    for (std::string name : known) {
        std::replace(name.begin(), name.end(), '-', '_');
        fields.push_back(std::move(name));
    }
    for (const auto& [key, value] : recipe.common.items())
        if (!known.contains(option_name(key).substr(2)))
            throw UsageError(
                fmt::format("{}: [common]: unknown field '{}', which is no option of any stage's "
                            "command; the nearest is {}",
                            recipe.file.string(), key, nearest(key, fields)));
}

} // namespace tnl
