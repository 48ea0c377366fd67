#include "corpus/select/thresholds.h"

#include "base/check.h"
#include "corpus/dedup/external_sort.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tnl::corpus {
namespace {

Json bounds_json(const Bounds& bounds) {
    const auto or_null = [](const std::optional<double>& v) {
        return v ? Json(*v) : Json(nullptr);
    };
    return {{"documents", bounds.documents},
            {"low", or_null(bounds.low)},
            {"high", or_null(bounds.high)}};
}

Bounds read_bounds(const JsonFields& fields) {
    Bounds out;
    out.low = fields.number_or_null("low");
    out.high = fields.number_or_null("high");
    out.documents = fields.whole("documents");
    return out;
}

template <class Enum> Enum read_enum(const std::string& place, const std::string& text) {
    std::string names;
    for (const auto& [name, value] : enum_names(Enum{})) {
        if (name == text) return value;
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    fail("{} is '{}', wanted one of {}", place, text, names);
}

// Values of 0 or more have the order of their bits.
uint64_t ordered(double value) { return std::bit_cast<uint64_t>(value == 0 ? 0.0 : value); }

// The two values of a sorted list that the quantiles name.
class Picker {
  public:
    Picker(const QuantileOptions& options, int64_t documents) {
        const auto n = static_cast<double>(documents);
        const int64_t first = std::llround(options.low * n), end = std::llround(options.high * n);
        if (first > 0) low_ = std::min(first, documents - 1);
        if (end < documents) high_ = std::max<int64_t>(end, 1) - 1;
        bounds_.documents = documents;
    }
    void take(double value) {
        if (at_ == low_) bounds_.low = value;
        if (at_ == high_) bounds_.high = value;
        ++at_;
    }
    Bounds bounds(const QuantileOptions& options) const {
        Bounds out = bounds_;
        if (options.min) out.low = std::max(out.low.value_or(*options.min), *options.min);
        if (options.max) out.high = std::min(out.high.value_or(*options.max), *options.max);
        return out;
    }

  private:
    Bounds bounds_;
    int64_t at_ = 0, low_ = -1, high_ = -1;
};

} // namespace

Groups Thresholds::group_of(const Groups& names) const {
    Groups out;
    for (const Group group : per)
        out[static_cast<size_t>(group)] = names[static_cast<size_t>(group)];
    return out;
}

const Bounds& Thresholds::of(const Groups& names) const {
    if (per.empty()) return all;
    const auto found = groups.find(group_of(names));
    return found == groups.end() ? all : found->second;
}

Json Thresholds::json() const {
    Json out = {{"by", name_of(by)}, {"per", Json::array()}, {"all", bounds_json(all)}};
    for (const Group group : per) out["per"].push_back(name_of(group));
    out["groups"] = Json::array();
    for (const auto& [names, bounds] : groups) {
        Json one = Json::object();
        for (const Group group : per) one[name_of(group)] = names[static_cast<size_t>(group)];
        one.update(bounds_json(bounds));
        out["groups"].push_back(std::move(one));
    }
    return out;
}

Thresholds Thresholds::load(const std::filesystem::path& path) {
    const std::string file = path.string();
    const Json json = parse_json_file(path);
    const JsonFields fields(json, file);
    Thresholds out;
    out.by = read_enum<Measure>(file + ": by", fields.text("by"));
    if (!fields.at("per").is_array())
        fail("{}: per is {}, wanted a list of names", file, json_excerpt(fields.at("per")));
    for (const Json& name : fields.at("per"))
        out.per.push_back(read_enum<Group>(
            file + ": per", name.is_string() ? name.get<std::string>() : json_excerpt(name)));
    out.all = read_bounds(fields.section("all"));
    if (!fields.at("groups").is_array())
        fail("{}: groups is {}, wanted a list", file, json_excerpt(fields.at("groups")));
    for (size_t i = 0; const Json& one : fields.at("groups")) {
        const JsonFields section(one, fmt::format("{}: groups[{}]", file, i++));
        Groups names;
        for (const Group group : out.per)
            names[static_cast<size_t>(group)] = section.text(std::string(name_of(group)).c_str());
        out.groups[names] = read_bounds(section);
    }
    return out;
}

Thresholds find_thresholds(const QuantileOptions& options,
                           const std::function<bool(DocumentScore&)>& next) {
    Thresholds out;
    out.by = options.by;
    out.per = options.per;
    struct Known {
        uint64_t number;
        int64_t documents;
    };
    std::map<Groups, Known> known; // numbers from 1; 0 stands for all
    int64_t documents = 0;
    ExternalSort<2> sort(options.scratch, "values", options.memory);
    for (DocumentScore score; next(score);) {
        const std::optional<double>& value = score.value(options.by);
        if (!value) continue;
        ++documents;
        sort.add({0, ordered(*value)});
        if (options.per.empty()) continue;
        const auto at =
            known.try_emplace(out.group_of(score.groups), Known{known.size() + 1, 0}).first;
        ++at->second.documents;
        sort.add({at->second.number, ordered(*value)});
    }
    std::vector<Picker> pickers(known.size() + 1, Picker(options, documents));
    for (const auto& [names, group] : known)
        pickers[group.number] = Picker(options, group.documents);
    sort.finish([&](std::span<const Numbers<2>> values) {
        for (const Numbers<2>& value : values)
            pickers[value[0]].take(std::bit_cast<double>(value[1]));
    });
    out.all = pickers[0].bounds(options);
    for (const auto& [names, group] : known) {
        Bounds bounds = pickers[group.number].bounds(options);
        if (group.documents < options.least_documents) {
            bounds = out.all;
            bounds.documents = group.documents;
        }
        out.groups[names] = bounds;
    }
    return out;
}

} // namespace tnl::corpus
