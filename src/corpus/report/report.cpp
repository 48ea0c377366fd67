#include "corpus/report/report.h"

#include "base/check.h"
#include "corpus/report/near_duplicates.h"
#include "corpus/scores/document_score.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tnl {
std::string_view corpus_report_page(); // report.html
} // namespace tnl

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostRows = 50;

uint64_t count_of(const Json& counts, const std::string& name) {
    return counts.value(name, uint64_t{0});
}

// {"step": {"rule": {"documents", "bytes"}}} as a list.
Json dropped_list(const Json& counts) {
    Json out = Json::array();
    if (!counts.contains("dropped")) return out;
    for (const auto& [step, rules] : counts["dropped"].items())
        for (const auto& [rule, of] : rules.items())
            out.push_back({{"rule", step == "select" ? rule : step + ": " + rule},
                           {"documents", count_of(of, "documents")},
                           {"bytes", count_of(of, "bytes")}});
    return out;
}

// Perplexity and bits per byte of a sum of ScoreTally; null where nothing was predicted.
Json mean(const Json& sum, Measure measure) {
    const double nats = static_cast<double>(count_of(sum, "micronats")) * 1e-6;
    const auto tokens = static_cast<double>(count_of(sum, "tokens")),
               bytes = static_cast<double>(count_of(sum, "bytes"));
    if (measure == Measure::perplexity) return tokens > 0 ? Json(std::exp(nats / tokens)) : Json();
    return bytes > 0 ? Json(nats / bytes / std::numbers::ln2) : Json();
}

Json table(const std::string& group, const std::string& name, const Json& before,
           const Json* after) {
    Json rows = Json::array();
    for (const auto& [label, sum] : before.items()) {
        const Json kept =
            after != nullptr && after->contains(label) ? (*after)[label] : Json::object();
        rows.push_back({{"name", label},
                        {"documents", count_of(sum, "documents")},
                        {"bytes", count_of(sum, "bytes")},
                        {"perplexity", mean(sum, Measure::perplexity)},
                        {"bits_per_byte", mean(sum, Measure::bits_per_byte)},
                        {"kept_documents", count_of(kept, "documents")},
                        {"kept_perplexity", mean(kept, Measure::perplexity)},
                        {"kept_bits_per_byte", mean(kept, Measure::bits_per_byte)}});
    }
    std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) {
        return a["documents"].get<uint64_t>() > b["documents"].get<uint64_t>();
    });
    const size_t more = rows.size() > kMostRows ? rows.size() - kMostRows : 0;
    if (more > 0) rows.erase(rows.begin() + kMostRows, rows.end());
    return {{"group", group},
            {"name", name},
            {"after", after != nullptr},
            {"rows", rows},
            {"more", more}};
}

class Collector {
  public:
    explicit Collector(const ReportOptions& options) : options_(options) {
        out_ = {{"title", options.title},
                {"stages", Json::array()},
                {"histograms", Json::array()},
                {"tables", Json::array()},
                {"clusters", Json::array()}};
        for (const fs::path& directory : options.stages) add(directory);
        // What was selected by scores says all that the scores do.
        for (const Json& scores : scores_) {
            const bool used =
                std::find(selected_by_.begin(), selected_by_.end(),
                          scores["directory"].get<std::string>()) != selected_by_.end();
            if (!used) add_scores(scores["name"], scores["counts"], nullptr, "perplexity", {});
        }
    }
    Json take() { return std::move(out_); }

  private:
    void add(const fs::path& given) {
        const fs::path directory = given.lexically_normal();
        const std::string name = directory.has_filename()
                                     ? directory.filename().string()
                                     : directory.parent_path().filename().string();
        if (fs::exists(directory / "manifest" / "clusters.json") ||
            fs::exists(directory / "remove")) {
            add_dedup(directory, name);
            return;
        }
        const fs::path stats_path = directory / "stats.json";
        if (!fs::exists(stats_path))
            fail("{}: has no stats.json; wanted the output of corpus filter, dedup, score or "
                 "select, all of whose inputs are done",
                 directory.string());
        const Json stats = parse_json_file(stats_path);
        const Json& counts = JsonFields(stats, stats_path.string()).at("counts");
        Json made_by = Json::object();
        for (const auto& [key, value] : stats.items())
            if (key != "counts" && key != "stage") made_by[key] = value;
        Json stage = {{"name", name}, {"directory", given.string()}, {"made_by", made_by}};
        if (counts.contains("kept_documents")) {
            for (const char* what : {"documents", "bytes", "kept_documents", "kept_bytes"})
                stage[what] = count_of(counts, what);
            stage["dropped"] = dropped_list(counts);
        }
        out_["stages"].push_back(std::move(stage));
        const std::string kind = stats.value("stage", "");
        if (kind == "score")
            scores_.push_back({{"name", name},
                               {"directory", (directory / "").parent_path().string()},
                               {"counts", counts}});
        if (kind == "select") {
            selected_by_.push_back(
                (fs::path(stats.at("scores").get<std::string>()).lexically_normal() / "")
                    .parent_path()
                    .string());
            const Json& thresholds = stats.at("thresholds");
            add_scores(name, counts.at("before"), &counts.at("after"),
                       thresholds.at("by").get<std::string>(), thresholds.at("all"));
        }
    }

    void add_scores(const std::string& name, const Json& before, const Json* after,
                    const std::string& measure, const Json& bounds) {
        Json one = {{"name", name}, {"measure", measure}};
        one["before"] = before.value(measure, Json::object());
        if (after != nullptr) one["after"] = after->value(measure, Json::object());
        one["marks"] = Json::array();
        for (const char* bound : {"low", "high"})
            if (bounds.contains(bound) && bounds[bound].is_number() && bounds[bound] > 0)
                one["marks"].push_back({{"name", bound}, {"value", bounds[bound]}});
        out_["histograms"].push_back(std::move(one));
        for (const auto& [group_name, group] : enum_names(Group{})) {
            const std::string key(group_name);
            if (!before.contains(key)) continue;
            const Json of_after =
                after != nullptr ? after->value(key, Json::object()) : Json::object();
            out_["tables"].push_back(
                table(key, name, before[key], after != nullptr ? &of_after : nullptr));
        }
    }

    // Its counts are in the manifests of its last stage.
    void add_dedup(const fs::path& directory, const std::string& name) {
        Json counts = Json::object(), parameters;
        size_t inputs = 0;
        for (const fs::path& path : manifests(directory, "filter-")) {
            const Json said = parse_json_file(path);
            ++inputs;
            parameters = said.at("parameters");
            for (const auto& [what, value] : said.at("counts").items())
                counts[what] = count_of(counts, what) + value.get<uint64_t>();
        }
        if (inputs == 0)
            fail("{}: the duplicates are not taken out yet; wanted corpus dedup to be done",
                 directory.string());
        const std::string how = parameters.is_string() ? parameters.get<std::string>() : "";
        const size_t mode = how.rfind("mode=");
        const std::string rule = mode == std::string::npos ? "duplicates" : how.substr(mode + 5);
        Json stage = {{"name", name},
                      {"directory", directory.string()},
                      {"made_by", {{"parameters", parameters}, {"inputs", inputs}}}};
        for (const char* what : {"documents", "bytes", "kept_documents", "kept_bytes"})
            stage[what] = count_of(counts, what);
        stage["dropped"] = Json::array();
        stage["dropped"].push_back(
            {{"rule", rule},
             {"documents", count_of(counts, "documents") - count_of(counts, "kept_documents")},
             {"bytes", count_of(counts, "bytes") - count_of(counts, "kept_bytes")}});
        out_["stages"].push_back(std::move(stage));
        if (rule != "minhash" || !fs::exists(directory / "duplicates")) return;
        Json clusters = near_duplicates(directory, options_.memory, options_.examples);
        clusters["name"] = name;
        out_["clusters"].push_back(std::move(clusters));
    }

    const ReportOptions& options_;
    Json out_;
    std::vector<Json> scores_;
    std::vector<std::string> selected_by_;
};

} // namespace

Json report_data(const ReportOptions& options) { return Collector(options).take(); }

std::string embedded_json(const Json& data) {
    std::string out;
    for (const char c : data.dump(-1, ' ', false, Json::error_handler_t::replace))
        out += c == '<' ? std::string("\\u003c") : std::string(1, c);
    return out;
}

std::string report_page(const Json& data) {
    std::string page(corpus_report_page());
    const std::string_view place = "@DATA@";
    page.replace(page.find(place), place.size(), embedded_json(data));
    return page;
}

} // namespace tnl::corpus
