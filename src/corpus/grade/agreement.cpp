#include "corpus/grade/agreement.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <set>

namespace tnl::corpus {
namespace {

constexpr size_t kGrades = 3;

template <class Enum> std::optional<Enum> named(std::string_view text) {
    for (const auto& [name, value] : enum_names(Enum{}))
        if (name == text) return value;
    return std::nullopt;
}

} // namespace

std::vector<std::pair<std::string_view, Grade>> enum_names(Grade) {
    return {{"bad", Grade::bad}, {"unsure", Grade::unsure}, {"good", Grade::good}};
}

GradedSample read_sample(const std::filesystem::path& path) {
    const std::string file = path.string();
    const Json json = parse_json_file(path);
    const JsonFields fields(json, file);
    GradedSample out;
    out.name = fields.text("sample");
    const std::optional<Measure> by = named<Measure>(fields.text("by"));
    if (!by) fail("{}: by is '{}', wanted perplexity or bits_per_byte", file, fields.text("by"));
    out.by = *by;
    for (const Json& name : fields.at("per")) {
        const std::optional<Group> group =
            name.is_string() ? named<Group>(name.get<std::string>()) : std::nullopt;
        if (!group)
            fail("{}: per is {}, wanted source, category, language", file, json_excerpt(name));
        out.per.push_back(*group);
    }
    for (size_t i = 0; const Json& one : fields.at("documents")) {
        const JsonFields document(one, fmt::format("{}: documents[{}]", file, i++));
        GradedDocument d;
        d.key = document.text("key");
        d.value = document.number("value");
        d.weight = document.number("weight");
        d.stratum = document.whole("stratum");
        for (const auto& [name, group] : enum_names(Group{}))
            if (one.contains(name))
                d.groups[static_cast<size_t>(group)] = document.text(std::string(name).c_str());
        out.documents.push_back(std::move(d));
    }
    return out;
}

Grader read_grades(const std::filesystem::path& path, const GradedSample& sample) {
    const std::string file = path.string();
    const Json json = parse_json_file(path);
    const JsonFields fields(json, file);
    if (fields.text("sample") != sample.name)
        fail("{}: sample is '{}', wanted grades of '{}'", file, fields.text("sample"), sample.name);
    std::set<std::string> known;
    for (const GradedDocument& document : sample.documents) known.insert(document.key);
    Grader out;
    out.name = fields.text("grader");
    const JsonFields grades = fields.section("grades");
    for (const auto& [key, value] : fields.at("grades").items()) {
        if (!known.contains(key))
            fail("{}: grades has '{}', which is not in the sample", file, key);
        const std::string text = grades.section(key.c_str()).text("grade");
        const std::optional<Grade> grade = named<Grade>(text);
        if (!grade)
            fail("{}: grades: {}: grade is '{}', wanted bad, unsure or good", file, key, text);
        out.grades[key] = *grade;
    }
    return out;
}

Agreement agreement(const Grader& a, const Grader& b) {
    std::array<std::array<double, kGrades>, kGrades> table{};
    Agreement out;
    for (const auto& [key, grade] : a.grades) {
        const auto other = b.grades.find(key);
        if (other == b.grades.end()) continue;
        ++out.documents;
        table[static_cast<size_t>(grade)][static_cast<size_t>(other->second)] += 1;
    }
    if (out.documents == 0) return out;
    const auto n = static_cast<double>(out.documents);
    double expected = 0;
    for (size_t i = 0; i < kGrades; ++i) {
        double rows = 0, columns = 0;
        for (size_t j = 0; j < kGrades; ++j) {
            rows += table[i][j];
            columns += table[j][i];
        }
        expected += rows / n * columns / n;
        out.share += table[i][i] / n;
    }
    if (expected < 1) out.kappa = (out.share - expected) / (1 - expected);
    return out;
}

std::optional<bool> verdict(const std::vector<Grader>& graders, const std::string& key) {
    std::array<int, kGrades> counts{};
    for (const Grader& grader : graders)
        if (const auto found = grader.grades.find(key); found != grader.grades.end())
            ++counts[static_cast<size_t>(found->second)];
    const auto [bad, unsure, good] = std::tuple(counts[0], counts[1], counts[2]);
    if (good == bad || std::max(good, bad) < unsure) return std::nullopt;
    return good > bad;
}

std::optional<Suggestion> suggest(const std::vector<std::pair<GradedDocument, bool>>& judged,
                                  double precision) {
    struct Step { // documents of one value
        double value, weight, good;
    };
    std::map<double, Step> by_value;
    Suggestion best;
    double all = 0, all_good = 0;
    for (const auto& [document, good] : judged) {
        Step& step = by_value.try_emplace(document.value, Step{document.value, 0, 0}).first->second;
        step.weight += document.weight;
        step.good += good ? document.weight : 0;
        all += document.weight;
        all_good += good ? document.weight : 0;
    }
    std::vector<Step> steps;
    for (const auto& [value, step] : by_value) steps.push_back(step);
    double most = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
        double weight = 0, good = 0;
        for (size_t j = i; j < steps.size(); ++j) {
            weight += steps[j].weight;
            good += steps[j].good;
            if (weight <= most || good < precision * weight) continue;
            most = weight;
            best.bounds.low = i > 0 ? std::optional(steps[i].value) : std::nullopt;
            best.bounds.high = j + 1 < steps.size() ? std::optional(steps[j].value) : std::nullopt;
            best.precision = good / weight;
            best.kept = weight / all;
            best.recall = all_good > 0 ? good / all_good : 0;
        }
    }
    if (most == 0) return std::nullopt;
    best.graded = best.bounds.documents = std::ssize(judged);
    return best;
}

} // namespace tnl::corpus
