#include "cli/recipe.h"

#include "base/check.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/toml.h"

#include <algorithm>
#include <functional>
#include <map>
#include <sstream>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostRounds = 100;

[[noreturn]] void wrong(const std::string& place, const std::string& field, const Json& value,
                        const std::string& wanted) {
    throw UsageError(
        fmt::format("{}: {} is {}, wanted {}", place, field, json_excerpt(value), wanted));
}

std::string text_of(const Json& table, const std::string& place, const char* field) {
    const auto found = table.find(field);
    if (found == table.end())
        throw UsageError(fmt::format("{}: has no {}, wanted one", place, field));
    if (!found->is_string() || found->get<std::string>().empty())
        wrong(place, field, *found, "text");
    return found->get<std::string>();
}

// A text, or a list of them; empty where there is none.
std::vector<std::string> texts_of(const Json& table, const std::string& place, const char* field) {
    const auto found = table.find(field);
    if (found == table.end()) return {};
    const Json list = found->is_array() ? *found : Json::array({*found});
    std::vector<std::string> out;
    for (const Json& each : list) {
        if (!each.is_string()) wrong(place, field, *found, "text, or a list of texts");
        out.push_back(each.get<std::string>());
    }
    return out;
}

class RecipeLoader {
  public:
    explicit RecipeLoader(const fs::path& path) : base_(fs::absolute(path).parent_path()) {
        recipe_.file = path;
    }
    Recipe load() {
        const std::string file = recipe_.file.string();
        const Json root = parse_toml(read_file(recipe_.file), file);
        check_keys(root, file, {"output", "common", "stage"});
        recipe_.output = (base_ / text_of(root, file, "output")).lexically_normal();
        if (root.contains("common")) {
            if (!root["common"].is_object()) wrong(file, "common", root["common"], "a table");
            recipe_.common = root["common"];
        }
        add_stages(root, file, "");
        if (recipe_.stages.empty())
            throw UsageError(fmt::format("{}: has no stage, wanted [[stage]] tables", file));
        return std::move(recipe_);
    }

  private:
    // The stage of a name, as seen from where it is used; a loop's is its last stage.
    using Names = std::map<std::string, std::string>;

    static void check_keys(const Json& table, const std::string& place,
                           const std::vector<std::string>& keys) {
        for (const auto& [key, value] : table.items())
            if (std::find(keys.begin(), keys.end(), key) == keys.end())
                throw UsageError(fmt::format("{}: unknown field '{}'; the nearest is {}", place,
                                             key, nearest(key, keys)));
    }

    void add_stages(const Json& table, const std::string& place, const std::string& prefix) {
        const auto found = table.find("stage");
        if (found == table.end()) return;
        if (!found->is_array()) wrong(place, "stage", *found, "[[stage]] tables");
        for (size_t i = 0; i < found->size(); ++i) {
            const Json& stage = (*found)[i];
            const std::string number = fmt::format("{}: stage {}", place, i + 1);
            if (!stage.is_object()) wrong(place, "stage", stage, "[[stage]] tables");
            const std::string name = text_of(stage, number, "name");
            const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
                return std::isalnum(c) || c == '_' || c == '-';
            });
            if (!plain) wrong(number, "name", stage["name"], "letters, digits, - and _");
            const std::string here = fmt::format("{}: stage '{}'", recipe_.file.string(), name);
            if (names_.contains(name))
                throw UsageError(fmt::format("{}: there are two of this name", here));
            if (stage.contains("stage") || stage.contains("rounds"))
                add_loop(stage, here, name, prefix);
            else
                add_stage(stage, here, name, prefix);
        }
    }

    void add_loop(const Json& stage, const std::string& here, const std::string& name,
                  const std::string& prefix) {
        if (!prefix.empty()) throw UsageError(here + ": a loop inside a loop, wanted one level");
        check_keys(stage, here, {"name", "from", "rounds", "stage"});
        const Json rounds = stage.value("rounds", Json(1));
        if (!rounds.is_number_integer() || rounds < 1 || rounds > kMostRounds)
            wrong(here, "rounds", rounds, fmt::format("a whole number, 1 to {}", kMostRounds));
        if (!stage.contains("stage"))
            throw UsageError(here + ": has no stages, wanted [[stage.stage]] tables");
        std::string at = find(text_of(stage, here, "from"), here, "from");
        const Names outside = names_;
        Names all = names_;
        for (int64_t round = 1; round <= rounds; ++round) {
            names_ = outside;
            names_[name] = at;
            const size_t before = recipe_.stages.size();
            add_stages(stage, here, fmt::format("{}-{}", name, round));
            for (size_t i = before; i < recipe_.stages.size(); ++i)
                all[recipe_.stages[i].name] = recipe_.stages[i].name;
            at = recipe_.stages.back().name;
        }
        names_ = std::move(all);
        names_[name] = at;
    }

    void add_stage(const Json& stage, const std::string& here, const std::string& name,
                   const std::string& prefix) {
        RecipeStage out;
        out.name = prefix.empty() ? name : prefix + "/" + name;
        out.place = prefix.empty() ? here : fmt::format("{} ({})", here, prefix);
        out.directory = recipe_.output / out.name;
        std::istringstream words(text_of(stage, here, "command"));
        for (std::string word; words >> word;) out.command.push_back(word);
        for (const std::string& from : texts_of(stage, here, "from"))
            out.from.push_back(find(from, here, "from"));
        out.needs = out.from;
        const Json inputs = texts_of(stage, here, "inputs");
        for (const Json& input : replaced(inputs, here, "inputs", out))
            out.inputs.push_back((base_ / input.get<std::string>()).lexically_normal().string());
        for (const auto& [key, value] : stage.items())
            if (key != "name" && key != "command" && key != "from" && key != "inputs")
                out.options[key] = replaced(value, here, key, out);
        recipe_.stages.push_back(std::move(out));
        names_[name] = recipe_.stages.back().name;
    }

    const std::string& find(const std::string& name, const std::string& here,
                            const std::string& field) const {
        const auto found = names_.find(name);
        if (found != names_.end()) return found->second;
        std::vector<std::string> known;
        for (const auto& [each, stage] : names_) known.push_back(each);
        throw UsageError(
            fmt::format("{}: {} names the stage '{}', which is not before it{}", here, field, name,
                        known.empty() ? "" : "; the nearest is " + nearest(name, known)));
    }

    // {NAME} in texts becomes that stage's directory.
    Json replaced(const Json& value, const std::string& here, const std::string& field,
                  RecipeStage& stage) const {
        if (value.is_string()) {
            std::string text = value.get<std::string>();
            for (size_t open = 0; (open = text.find('{', open)) != std::string::npos;) {
                const size_t close = text.find('}', open);
                if (close == std::string::npos)
                    wrong(here, field, value, "} after {, around a stage's name");
                const std::string& target =
                    find(text.substr(open + 1, close - open - 1), here, field);
                stage.needs.push_back(target);
                const std::string directory = (recipe_.output / target).string();
                text.replace(open, close - open + 1, directory);
                open += directory.size();
            }
            return text;
        }
        if (!value.is_structured()) return value;
        Json out = value;
        for (auto& each : out) each = replaced(each, here, field, stage);
        return out;
    }

    fs::path base_;
    Recipe recipe_;
    Names names_;
};

} // namespace

Recipe load_recipe(const fs::path& path) { return RecipeLoader(path).load(); }

} // namespace tnl
