#include "corpus/rules/filter_rules.h"

#include "base/check.h"
#include "base/file.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

constexpr std::string_view kPresets = "fineweb, gopher, c4, clean";

std::optional<FilterRules> preset(const std::string& name) {
    FilterRules out;
    if (name == "fineweb") { // the order and the exception of its pipeline
        out.steps = {Step::gopher_repetition, Step::gopher_quality, Step::c4, Step::fineweb};
        out.c4.filter_no_terminal_punct = false;
    } else if (name == "gopher") {
        out.steps = {Step::gopher_quality, Step::gopher_repetition};
    } else if (name == "c4") {
        out.steps = {Step::c4};
    } else if (name == "clean") {
        out.steps = {Step::clean};
    } else {
        return std::nullopt;
    }
    return out;
}

} // namespace

std::vector<std::pair<std::string_view, WordRules>> enum_names(WordRules) {
    return {{"english", WordRules::english},
            {"common", WordRules::common},
            {"chinese", WordRules::chinese}};
}

std::vector<std::pair<std::string_view, Step>> enum_names(Step) {
    return {{"clean", Step::clean},
            {"gopher_repetition", Step::gopher_repetition},
            {"gopher_quality", Step::gopher_quality},
            {"c4", Step::c4},
            {"c4_paragraphs", Step::c4_paragraphs},
            {"c4_badwords", Step::c4_badwords},
            {"fineweb", Step::fineweb},
            {"url", Step::url},
            {"language", Step::language},
            {"pii", Step::pii},
            {"decontaminate", Step::decontaminate}};
}

std::string_view name_of(Step step) {
    for (const auto& [name, each] : enum_names(Step{}))
        if (each == step) return name;
    return "?";
}

void FilterRules::validate(const std::string& place) const {
    if (steps.empty()) throw UsageError(fmt::format("{}: steps is empty, wanted some", place));
    gopher_repetition.validate(place + ": gopher_repetition");
    if (has(Step::c4_badwords) && c4_badwords.file.empty())
        throw UsageError(fmt::format("{}: step c4_badwords without a list, wanted "
                                     "c4_badwords.file=FILE",
                                     place));
    if (words == WordRules::chinese && jieba.empty())
        throw UsageError(fmt::format("{}: words=chinese are cut by jieba's dictionary and model, "
                                     "which are not part of this program; wanted jieba=FOLDER "
                                     "(Debian: package python3-jieba, "
                                     "/usr/lib/python3/dist-packages/jieba)",
                                     place));
    if (has(Step::url)) url.validate(place);
    if (has(Step::language)) language.validate(place);
    if (has(Step::pii)) pii.validate(place + ": pii");
    if (has(Step::decontaminate)) decontaminate.validate(place);
}

bool FilterRules::has(Step step) const {
    return std::find(steps.begin(), steps.end(), step) != steps.end();
}

std::string FilterRules::json() const {
    FilterRules copy = *this;
    return ConfigBinding(copy).json();
}

FilterRules load_rules(const std::string& name) {
    if (std::optional<FilterRules> found = preset(name)) return *found;
    const std::filesystem::path path = name;
    const std::string extension = path.extension().string();
    FilterRules out;
    if (extension == ".yml" || extension == ".yaml") {
        out = fineweb2_rules(read_file(path), name);
    } else if (extension == ".toml" || extension == ".json") {
        ConfigBinding(out).load(path);
    } else {
        throw UsageError(
            fmt::format("rules '{}', wanted one of {}, or a .toml, .json or FineWeb-2's .yml file",
                        name, kPresets));
    }
    return out;
}

void set_rules(FilterRules& rules, const std::vector<std::string>& assignments) {
    ConfigBinding binding(rules);
    for (const std::string& assignment : assignments) binding.set(assignment);
}

} // namespace tnl::corpus
