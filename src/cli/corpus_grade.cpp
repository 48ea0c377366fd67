// transnormer corpus grade: people read a sample; what they say becomes thresholds.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "cli/corpus_options.h"
#include "corpus/grade/agreement.h"
#include "corpus/grade/sample.h"

#include "base/check.h"
#include "base/file.h"

#include <CLI/Validators.hpp>

#include <cstdio>

namespace tnl {
namespace {
using namespace corpus;

struct SampleCommand {
    CorpusOptions corpus;
    SampleOptions sample;
    std::string scores;
    std::vector<std::string> per;
};

struct ReadCommand {
    std::string sample, output;
    std::vector<std::string> grades;
    double precision = 0.9;
    int64_t least = 20;
    bool json = false;
};

int run_sample(SampleCommand& c) {
    c.sample.scores = c.scores;
    for (const auto& [name, group] : enum_names(Group{}))
        if (std::find(c.per.begin(), c.per.end(), name) != c.per.end())
            c.sample.per.push_back(group);
    const Json sample = draw_sample(make_job(c.corpus), c.sample);
    const std::filesystem::path output = c.corpus.output;
    std::filesystem::create_directories(output);
    write_file_atomic(output / "sample.json",
                      sample.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    write_file_atomic(output / "grade.html", grading_page(sample));
    fmt::print("{}: {} documents; sample {}\n", (output / "grade.html").string(),
               sample["documents"].size(), sample["sample"].get<std::string>());
    return kOk;
}

using Judged = std::vector<std::pair<GradedDocument, bool>>;

// Of groups with enough grades; what is left takes the bounds of all.
Thresholds suggest_thresholds(const ReadCommand& c, const GradedSample& sample,
                              const Judged& judged, Json& groups) {
    Thresholds out;
    out.by = sample.by;
    out.per = sample.per;
    const std::optional<Suggestion> all = suggest(judged, c.precision);
    if (!all)
        fail("{}: no interval of {} has {} of good documents among {} graded; wanted a lower "
             "--precision, or more grades",
             c.sample, name_of(sample.by), c.precision, judged.size());
    const auto add = [&](const std::string& name, const Suggestion& s) {
        const auto or_null = [](const std::optional<double>& v) {
            return v ? Json(*v) : Json(nullptr);
        };
        groups.push_back({{"name", name},
                          {"graded", s.graded},
                          {"low", or_null(s.bounds.low)},
                          {"high", or_null(s.bounds.high)},
                          {"precision", s.precision},
                          {"kept", s.kept},
                          {"recall", s.recall}});
    };
    out.all = all->bounds;
    add("all", *all);
    if (sample.per.empty()) return out;
    std::map<Groups, Judged> parts;
    for (const auto& one : judged) parts[out.group_of(one.first.groups)].push_back(one);
    for (const auto& [names, part] : parts) {
        if (std::ssize(part) < c.least) continue;
        const std::optional<Suggestion> found = suggest(part, c.precision);
        if (!found) continue;
        out.groups[names] = found->bounds;
        std::string name;
        for (const Group group : sample.per)
            name += (name.empty() ? "" : ", ") + names[static_cast<size_t>(group)];
        add(name, *found);
    }
    return out;
}

// How many are good, by interval of scores.
Json strata_table(const Judged& judged) {
    struct Stratum {
        double from = 0, to = 0;
        int64_t graded = 0, good = 0;
    };
    std::map<int64_t, Stratum> strata;
    for (const auto& [document, good] : judged) {
        Stratum& s = strata[document.stratum];
        s.from = s.graded == 0 ? document.value : std::min(s.from, document.value);
        s.to = std::max(s.to, document.value);
        ++s.graded;
        s.good += good;
    }
    Json out = Json::array();
    for (const auto& [number, s] : strata)
        out.push_back({{"stratum", number},
                       {"from", s.from},
                       {"to", s.to},
                       {"graded", s.graded},
                       {"good", s.good}});
    return out;
}

void print_text(const Json& report) {
    for (const Json& g : report["graders"])
        fmt::print("{:<24}{:>6} bad{:>6} unsure{:>6} good\n", g["name"].get<std::string>(),
                   g["bad"].get<int64_t>(), g["unsure"].get<int64_t>(), g["good"].get<int64_t>());
    for (const Json& a : report["agreement"])
        fmt::print("{} and {}: {} graded by both, {:.1f} % the same, Cohen's kappa {}\n",
                   a["first"].get<std::string>(), a["second"].get<std::string>(),
                   a["documents"].get<int64_t>(), 100 * a["share"].get<double>(),
                   a["kappa"].is_null() ? "-" : fmt::format("{:.3f}", a["kappa"].get<double>()));
    fmt::print("{} by interval:\n", report["by"].get<std::string>());
    for (const Json& s : report["strata"])
        fmt::print("  {:>10.4g} to {:>10.4g}{:>8} graded{:>8} good\n", s["from"].get<double>(),
                   s["to"].get<double>(), s["graded"].get<int64_t>(), s["good"].get<int64_t>());
    const auto bound = [](const Json& v) {
        return v.is_null() ? "-" : fmt::format("{:.5g}", v.get<double>());
    };
    fmt::print("thresholds with {:.0f} % of good documents:\n",
               100 * report["wanted_precision"].get<double>());
    for (const Json& g : report["suggested"])
        fmt::print("  {:<24}{} to {}: {:.1f} % good, {:.1f} % of all kept, {:.1f} % of the good "
                   "({} graded)\n",
                   g["name"].get<std::string>(), bound(g["low"]), bound(g["high"]),
                   100 * g["precision"].get<double>(), 100 * g["kept"].get<double>(),
                   100 * g["recall"].get<double>(), g["graded"].get<int64_t>());
}

int run_read(ReadCommand& c) {
    const GradedSample sample = read_sample(c.sample);
    std::vector<Grader> graders;
    for (const std::string& path : c.grades) graders.push_back(read_grades(path, sample));
    Json report = {{"sample", sample.name}, {"by", name_of(sample.by)}};
    report["graders"] = Json::array();
    for (const Grader& grader : graders) {
        Json one = {{"name", grader.name}};
        for (const auto& [name, grade] : enum_names(Grade{})) {
            const Grade wanted = grade;
            one[std::string(name)] =
                std::count_if(grader.grades.begin(), grader.grades.end(),
                              [&](const auto& each) { return each.second == wanted; });
        }
        report["graders"].push_back(one);
    }
    report["agreement"] = Json::array();
    for (size_t i = 0; i < graders.size(); ++i)
        for (size_t j = i + 1; j < graders.size(); ++j) {
            const Agreement a = agreement(graders[i], graders[j]);
            report["agreement"].push_back({{"first", graders[i].name},
                                           {"second", graders[j].name},
                                           {"documents", a.documents},
                                           {"share", a.share},
                                           {"kappa", a.kappa ? Json(*a.kappa) : Json(nullptr)}});
        }
    Judged judged;
    for (const GradedDocument& document : sample.documents)
        if (const std::optional<bool> good = verdict(graders, document.key))
            judged.emplace_back(document, *good);
    report["strata"] = strata_table(judged);
    report["wanted_precision"] = c.precision;
    report["suggested"] = Json::array();
    const Thresholds thresholds = suggest_thresholds(c, sample, judged, report["suggested"]);
    if (!c.output.empty()) write_file_atomic(c.output, thresholds.json().dump(2) + "\n");
    if (c.json) {
        fmt::print("{}\n", report.dump(2));
        return kOk;
    }
    print_text(report);
    if (!c.output.empty()) fmt::print("{}: for corpus select --thresholds\n", c.output);
    return kOk;
}

void add_sample_command(CLI::App& group) {
    auto c = std::make_shared<SampleCommand>();
    CLI::App* command =
        group.add_subcommand("sample", "Make the page: documents of all scores, in random order");
    add_corpus_options(*command, c->corpus);
    command->add_option("--scores", c->scores, "What corpus score wrote of the same inputs")
        ->required();
    add_choice(*command, "--by", c->sample.by, "Which number makes the intervals");
    command->add_option("--strata", c->sample.strata, "Intervals, with equally many documents each")
        ->check(CLI::Range(1, 1000));
    std::vector<std::string> names;
    for (const auto& [name, each] : enum_names(Group{})) names.emplace_back(name);
    command
        ->add_option("--per", c->per,
                     "And equally many from each source, category or language: names, parted by "
                     "commas")
        ->delimiter(',')
        ->check(CLI::IsMember(names));
    command->add_option("--documents", c->sample.documents, "In all, about")
        ->check(CLI::PositiveNumber);
    command->add_option("--seed", c->sample.seed, "Of the choice");
    command
        ->add_option("--text-bytes", c->sample.text_bytes,
                     "Of a document; what is longer is cut on the page")
        ->check(CLI::PositiveNumber);
    command->add_option("--title", c->sample.title, "Of the page");
    command->footer("Writes grade.html, which works without a network and does not show scores, "
                    "and sample.json, which has them.\nGraders send back what they save.");
    on_run(command, [c] { return run_sample(*c); });
}

void add_read_command(CLI::App& group) {
    auto c = std::make_shared<ReadCommand>();
    CLI::App* command = group.add_subcommand(
        "read", "Read grades: agreement of graders, and the thresholds that they suggest");
    command->add_option("sample", c->sample, "sample.json beside the page")->required();
    command->add_option("grades", c->grades, "Files that graders saved")->required();
    command
        ->add_option("--precision", c->precision, "Wanted share of good documents among those kept")
        ->check(CLI::Range(0.0, 1.0));
    command
        ->add_option("--least-documents", c->least,
                     "Groups with fewer graded documents take the thresholds of all")
        ->check(CLI::PositiveNumber);
    command->add_option("-o,--output", c->output,
                        "File for the thresholds, as corpus select --thresholds reads it");
    command->add_flag("--json", c->json, "Print everything as JSON");
    command->footer("A document is good where more graders say so than say bad. Documents count by "
                    "how many of the corpus they\nstand for; the interval that keeps most of them "
                    "with that share of good ones is suggested.");
    on_run(command, [c] { return run_read(*c); });
}

} // namespace

void add_corpus_grade_command(CLI::App& group) {
    CLI::App* grade = group.add_subcommand(
        "grade", "People read a sample on a web page, and what they say becomes thresholds");
    grade->require_subcommand(1);
    add_sample_command(*grade);
    add_read_command(*grade);
}

} // namespace tnl
