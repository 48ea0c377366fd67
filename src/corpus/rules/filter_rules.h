// What `transnormer corpus filter` does with a document: which steps, in which order, with which
// bounds.
#pragma once

#include "base/config.h"
#include "corpus/clean/clean.h"
#include "corpus/rules/c4.h"
#include "corpus/rules/contamination.h"
#include "corpus/rules/fineweb.h"
#include "corpus/rules/gopher_quality.h"
#include "corpus/rules/gopher_repetition.h"
#include "corpus/rules/language_filter.h"
#include "corpus/rules/pii.h"
#include "corpus/rules/url_lists.h"

#include <filesystem>
#include <string>
#include <vector>

namespace tnl::corpus {

std::vector<std::pair<std::string_view, WordRules>> enum_names(WordRules);

enum class Step {
    clean,
    gopher_repetition,
    gopher_quality,
    c4,
    c4_paragraphs,
    c4_badwords,
    fineweb,
    url,
    language,
    pii,
    decontaminate
};
std::vector<std::pair<std::string_view, Step>> enum_names(Step);
std::string_view name_of(Step step);

struct BadWordsRule {
    std::string file;
    bool anywhere = false;
    template <class V> void fields(V&& visit) {
        visit("file", file, "list of words for step c4_badwords, one a line");
        visit("anywhere", anywhere,
              "also amid words, for languages that do not separate them (C4: ja, th, zh)");
    }
};

struct FilterRules {
    std::vector<Step> steps;
    WordRules words = WordRules::english;
    std::string jieba;
    CleanRules clean;
    GopherRepetition gopher_repetition;
    GopherQuality gopher_quality;
    C4Quality c4;
    C4Paragraphs c4_paragraphs;
    BadWordsRule c4_badwords;
    FineWebQuality fineweb;
    UrlRules url;
    LanguageRules language;
    PiiRules pii;
    ContaminationRules decontaminate;

    template <class V> void fields(V&& visit) {
        visit("steps", steps, "what is done, in this order; a document ends at the first refusal");
        visit("words", words,
              "how texts become words: english and common are spaCy's blank pipelines en and xx, "
              "chinese is jieba's");
        visit("jieba", jieba,
              "for words=chinese: folder of jieba, with dict.txt and finalseg/ (Debian: "
              "python3-jieba, /usr/lib/python3/dist-packages/jieba)");
        visit("clean", clean, "");
        visit("gopher_repetition", gopher_repetition, "");
        visit("gopher_quality", gopher_quality, "");
        visit("c4", c4, "");
        visit("c4_paragraphs", c4_paragraphs, "");
        visit("c4_badwords", c4_badwords, "");
        visit("fineweb", fineweb, "");
        visit("url", url, "");
        visit("language", language, "");
        visit("pii", pii, "");
        visit("decontaminate", decontaminate, "");
    }

    // Throws UsageError: `place`, field, value, and what is wanted.
    void validate(const std::string& place) const;
    bool has(Step step) const;
    std::string json() const; // all of it, in the order of the fields
};

// A preset's name (fineweb, gopher, c4, clean), or a file: .toml or .json with fields of
// FilterRules, or .yml or .yaml of FineWeb-2 (github.com/huggingface/fineweb-2, configs/), which is
// read as its pipeline reads it. Throws UsageError naming presets, or file, field, value and what
// is wanted.
FilterRules load_rules(const std::string& name);
// field=value, as "gopher_quality.min_doc_words=20".
void set_rules(FilterRules& rules, const std::vector<std::string>& assignments);

// FineWeb-2's file; `name` stands for it in errors.
FilterRules fineweb2_rules(const std::string& yaml, const std::string& name);

} // namespace tnl::corpus
