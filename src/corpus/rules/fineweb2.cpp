// FineWeb-2's thresholds of one language, a file of its repository's configs/, as its pipeline
// applies them (Penedo et al. 2025, arXiv 2506.20920; fineweb-2-pipeline.py, step 5).
#include "base/check.h"
#include "corpus/rules/filter_rules.h"

#include <yaml-cpp/yaml.h>

#include <set>

namespace tnl::corpus {
namespace {

class Fields {
  public:
    Fields(const YAML::Node& root, const std::string& name) : root_(root), name_(name) {
        if (!root.IsMap()) fail("{}: no YAML mapping, wanted fields such as dup_line_frac", name);
    }
    double number(const char* field) {
        try {
            return at(field).as<double>();
        } catch (const YAML::Exception&) {
            wrong(field, "a number");
        }
    }
    std::vector<std::vector<double>> pairs(const char* field) {
        try {
            return at(field).as<std::vector<std::vector<double>>>();
        } catch (const YAML::Exception&) {
            wrong(field, "a list of pairs of numbers");
        }
    }
    std::vector<std::string> texts(const char* field) {
        try {
            return at(field).as<std::vector<std::string>>();
        } catch (const YAML::Exception&) {
            wrong(field, "a list of words");
        }
    }
    // A field that no rule is made of is more likely a mistake than to be passed over.
    void finish() const {
        for (const auto& item : root_)
            if (const auto key = item.first.as<std::string>(); !read_.contains(key))
                fail("{}: unknown field '{}' in a file of FineWeb-2", name_, key);
    }

  private:
    YAML::Node at(const char* field) {
        read_.insert(field);
        const YAML::Node node = root_[field];
        if (!node) fail("{}: has no field '{}', which files of FineWeb-2 have", name_, field);
        return node;
    }
    [[noreturn]] void wrong(const char* field, const char* wanted) const {
        std::string value = YAML::Dump(root_[field]);
        if (value.size() > 60) value = value.substr(0, 60) + "...";
        fail("{}: {} is {}, wanted {}", name_, field, value, wanted);
    }
    const YAML::Node& root_;
    const std::string& name_;
    std::set<std::string> read_;
};

} // namespace

FilterRules fineweb2_rules(const std::string& yaml, const std::string& name) {
    YAML::Node root;
    try {
        root = YAML::Load(yaml);
    } catch (const YAML::Exception& error) {
        fail("{}:{}: invalid YAML: {}", name, error.mark.line + 1, error.msg);
    }
    Fields fields(root, name);
    FilterRules out;
    out.steps = {Step::gopher_repetition, Step::fineweb, Step::gopher_quality};
    out.words = WordRules::common;
    out.gopher_repetition.dup_line_frac = fields.number("dup_line_frac");
    out.gopher_repetition.dup_para_frac = 0;
    out.gopher_repetition.dup_line_char_frac = 0;
    out.gopher_repetition.dup_para_char_frac = 0;
    out.gopher_repetition.top_n_grams = fields.pairs("top_n_grams");
    out.gopher_repetition.dup_n_grams = fields.pairs("dup_n_grams");
    out.fineweb.short_line_thr = 999; // none is refused for them
    out.fineweb.char_duplicates_ratio = 0.1;
    out.fineweb.line_punct_thr = fields.number("line_punct_thr");
    out.fineweb.new_line_ratio = fields.number("new_line_ratio");
    out.gopher_quality.max_avg_word_length = fields.number("max_avg_word_length");
    out.gopher_quality.min_avg_word_length = fields.number("min_avg_word_length");
    out.gopher_quality.max_non_alpha_words_ratio = fields.number("max_non_alpha_words_ratio");
    out.gopher_quality.stop_words = fields.texts("stopwords");
    out.gopher_quality.min_stop_words = 2;
    out.language.threshold = fields.number("language_score"); // for a step language before these
    // Of its languages that have words without spaces, Chinese is the one that is cut here.
    const std::string language = std::filesystem::path(name).stem().string();
    if (language == "cmn_Hani" || language == "zho_Hani") out.words = WordRules::chinese;
    fields.finish();
    return out;
}

} // namespace tnl::corpus
