// transnormer tokenizer report: how many tokens texts become, by language.
#include "cli/cli.h"
#include "cli/commands.h"
#include "corpus/io/record_reader.h"
#include "corpus/tasks.h"
#include "text/fertility.h"

#include "base/check.h"
#include "base/json.h"

#include <iostream>
#include <map>

namespace tnl {
namespace {

struct ReportCommand {
    std::vector<std::string> tokenizers, inputs;
    corpus::RecordOptions records;
    std::string language_field = "language";
    int64_t most = 0;
    bool json = false;
};

using ByLanguage = std::map<std::string, Fertility>;

// Of each language the first documents, as many as asked for.
void count(const ReportCommand& c, const std::vector<FertilityCounter>& counters,
           std::vector<ByLanguage>& counts) {
    corpus::RecordOptions options = c.records;
    options.bad_utf8 = BadUtf8::replace;
    if (!c.language_field.empty()) options.fields = {c.language_field};
    for (const corpus::Input& input : corpus::find_inputs(c.inputs)) {
        corpus::RecordReader reader(input.path, options);
        for (corpus::Record record; reader.next(record);) {
            std::string language = record.fields.empty() ? "" : record.fields[0];
            if (language.empty()) language = "?";
            for (size_t i = 0; i < counters.size(); ++i) {
                Fertility& of = counts[i][language];
                if (c.most == 0 || of.documents < c.most) counters[i].add(record.text, of);
            }
        }
    }
}

Json to_json(const Fertility& f) {
    return {{"documents", f.documents},
            {"bytes", f.bytes},
            {"characters", f.characters},
            {"words", f.words},
            {"tokens", f.tokens},
            {"byte_tokens", f.byte_tokens},
            {"split_characters", f.split_characters},
            {"tokens_per_word", f.tokens_per_word()},
            {"bytes_per_token", f.bytes_per_token()},
            {"characters_per_token", f.characters_per_token()}};
}

void print_row(const std::string& language, const Fertility& f) {
    const auto percent = [](int64_t part, int64_t whole) {
        return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    };
    fmt::print("  {:<12}{:>10}{:>12.2f}{:>12}{:>10.3f}{:>10.3f}{:>10.3f}{:>10.3f}\n", language,
               f.documents, static_cast<double>(f.bytes) * 1e-6, f.tokens, f.tokens_per_word(),
               f.bytes_per_token(), f.characters_per_token(),
               percent(f.split_characters, f.characters));
}

int run_report(const ReportCommand& c) {
    std::vector<Tokenizer> tokenizers;
    for (const std::string& path : c.tokenizers) tokenizers.emplace_back(path);
    std::vector<FertilityCounter> counters(tokenizers.begin(), tokenizers.end());
    std::vector<ByLanguage> counts(tokenizers.size());
    count(c, counters, counts);
    Json out = Json::array();
    for (size_t i = 0; i < tokenizers.size(); ++i) {
        Fertility total;
        for (const auto& [language, f] : counts[i]) total += f;
        if (c.json) {
            Json languages = Json::object();
            for (const auto& [language, f] : counts[i]) languages[language] = to_json(f);
            out.push_back({{"tokenizer", c.tokenizers[i]},
                           {"kind", tokenizers[i].kind()},
                           {"vocab_size", tokenizers[i].vocab_size()},
                           {"all", to_json(total)},
                           {"languages", std::move(languages)}});
            continue;
        }
        fmt::print("{}: {}, {} pieces\n", c.tokenizers[i], tokenizers[i].kind(),
                   tokenizers[i].vocab_size());
        fmt::print("  {:<12}{:>10}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}\n", "language", "documents",
                   "MB", "tokens", "per word", "bytes", "chars", "% split");
        for (const auto& [language, f] : counts[i]) print_row(language, f);
        print_row("all", total);
    }
    if (c.json) std::cout << out.dump(2) << '\n';
    return kOk;
}

} // namespace

void add_tokenizer_report_command(CLI::App& group) {
    auto c = std::make_shared<ReportCommand>();
    CLI::App* command = group.add_subcommand("report", "How many tokens texts become, by language");
    command
        ->add_option("inputs", c->inputs,
                     "Files of documents: .jsonl, .txt, .warc, .wet or .parquet, plain, .gz or "
                     ".zst; wildcards are expanded")
        ->required();
    command
        ->add_option("--tokenizer", c->tokenizers,
                     "SentencePiece model or tiktoken vocabulary; repeatable, to compare")
        ->required()
        ->allow_extra_args(false);
    command->add_option("--field", c->records.text_field, "Field of a JSONL record with its text");
    command->add_option("--language-field", c->language_field,
                        "Field with its language, as corpus filter's step language writes it");
    command->add_option("--documents", c->most, "Of each language, the first so many; 0: all")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--json", c->json, "Print JSON");
    command->footer("per word: tokens for each word (letters and digits in a row; a Chinese or "
                    "Japanese character is one); bytes,\nchars: of text for each token; % split: "
                    "characters without a piece, written as their bytes.");
    on_run(command, [c] { return run_report(*c); });
}

} // namespace tnl
