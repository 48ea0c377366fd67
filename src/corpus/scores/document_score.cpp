#include "corpus/scores/document_score.h"

#include "base/check.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>

namespace tnl::corpus {
namespace {

// The fields of Record::fields, by number.
enum Field { kIndex, kTokens, kBytes, kNll, kPerplexity, kBitsPerByte, kFirstGroup };

// A line is read as a record whose text is the document's name.
RecordOptions sidecar_records() {
    RecordOptions out;
    out.text_field = "id";
    out.id_field = "";
    out.fields = {"index", "tokens", "bytes", "nll", "perplexity", "bits_per_byte"};
    for (const auto& [name, group] : enum_names(Group{})) out.fields.emplace_back(name);
    return out;
}

std::string six_digits(double value) { return fmt::format("{:.6g}", value); }

double finite(double value) { return std::min(value, std::numeric_limits<double>::max()); }

class Fields {
  public:
    Fields(const std::string& path, const Record& record) : path_(path), record_(record) {}

    template <class T> T number(Field field, const char* name) const {
        const std::string& text = record_.fields[field];
        T out{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
        if (error != std::errc{} || end != text.data() + text.size() || !(out >= 0))
            fail("{}:{}: field '{}' is '{}', wanted a number of 0 or more, as corpus score writes "
                 "it",
                 path_, record_.line, name, text);
        return out;
    }
    std::optional<double> number_or_null(Field field, const char* name) const {
        if (record_.fields[field] == "null") return std::nullopt;
        return number<double>(field, name);
    }

  private:
    const std::string& path_;
    const Record& record_;
};

} // namespace

std::vector<std::pair<std::string_view, Group>> enum_names(Group) {
    return {
        {"source", Group::source}, {"category", Group::category}, {"language", Group::language}};
}
std::string_view name_of(Group group) {
    return enum_names(Group{})[static_cast<size_t>(group)].first;
}

std::vector<std::pair<std::string_view, Measure>> enum_names(Measure) {
    return {{"perplexity", Measure::perplexity}, {"bits_per_byte", Measure::bits_per_byte}};
}
std::string_view name_of(Measure measure) {
    return enum_names(Measure{})[static_cast<size_t>(measure)].first;
}

void DocumentScore::set_nll(double nats) {
    nll = nats;
    perplexity.reset();
    bits_per_byte.reset();
    if (tokens > 0) perplexity = finite(std::exp(nats / static_cast<double>(tokens)));
    if (bytes > 0) bits_per_byte = nats / std::numbers::ln2 / static_cast<double>(bytes);
}

void DocumentScore::append_json(std::string& out) const {
    const auto or_null = [](const std::optional<double>& value) {
        return value ? six_digits(*value) : "null";
    };
    out += "{\"id\": ";
    append_json_string(out, id);
    fmt::format_to(std::back_inserter(out),
                   R"(, "index": {}, "tokens": {}, "bytes": {}, "nll": {:.8g}, )"
                   R"("perplexity": {}, "bits_per_byte": {})",
                   index, tokens, bytes, nll, or_null(perplexity), or_null(bits_per_byte));
    for (size_t i = 0; i < kGroups; ++i) {
        if (groups[i].empty()) continue;
        fmt::format_to(std::back_inserter(out), R"(, "{}": )", name_of(static_cast<Group>(i)));
        append_json_string(out, groups[i]);
    }
    out += "}\n";
}

ScoreReader::ScoreReader(const std::filesystem::path& path)
    : path_(path.string()), reader_(path, sidecar_records()) {}

bool ScoreReader::next(DocumentScore& score) {
    if (!reader_.next(record_)) return false;
    const Fields fields(path_, record_);
    score.id = record_.text;
    score.index = fields.number<int64_t>(kIndex, "index");
    score.tokens = fields.number<int64_t>(kTokens, "tokens");
    score.bytes = fields.number<int64_t>(kBytes, "bytes");
    score.nll = fields.number<double>(kNll, "nll");
    score.perplexity = fields.number_or_null(kPerplexity, "perplexity");
    score.bits_per_byte = fields.number_or_null(kBitsPerByte, "bits_per_byte");
    for (size_t i = 0; i < kGroups; ++i) score.groups[i] = record_.fields[kFirstGroup + i];
    return true;
}

std::filesystem::path score_file(const std::filesystem::path& scores, const std::string& input) {
    return scores / "scores" / (input + ".jsonl.zst");
}

} // namespace tnl::corpus
