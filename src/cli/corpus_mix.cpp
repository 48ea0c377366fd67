// transnormer corpus mix: documents of many sources, weighted and shuffled.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "cli/corpus_options.h"
#include "corpus/mix/mix_job.h"
#include "data/tokenize.h"

#include "base/check.h"
#include "base/file.h"

#include <CLI/Validators.hpp>

#include <charconv>
#include <cstdio>

namespace tnl {
namespace {
using namespace corpus;

struct MixCommand {
    CorpusOptions corpus;
    MixOptions mix;
    std::vector<std::string> epochs, weights;
    std::optional<uint64_t> target;
    std::string unit = "bytes", tokenizer;
    double val_fraction = 0;
    int64_t shard_tokens = 1'000'000'000;
    bool json = false;
};

// "NAME=2.5"
std::map<std::string, double> assignments(const std::vector<std::string>& given,
                                          const char* option) {
    std::map<std::string, double> out;
    for (const std::string& text : given) {
        const size_t at = text.rfind('=');
        const std::string value = at == std::string::npos ? "" : text.substr(at + 1);
        double number = 0;
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), number);
        if (error != std::errc{} || end != value.data() + value.size())
            throw UsageError(fmt::format("{} {}, wanted NAME=NUMBER", option, text));
        if (!out.emplace(text.substr(0, at), number).second)
            throw UsageError(fmt::format("{} names '{}' twice", option, text.substr(0, at)));
    }
    return out;
}

void check(MixCommand& c) {
    c.mix.weights.epochs = assignments(c.epochs, "--epochs");
    c.mix.weights.weights = assignments(c.weights, "--weight");
    c.mix.weights.target = c.target;
    c.mix.weights.target_tokens = c.unit == "tokens";
    if (c.target && !c.epochs.empty())
        throw UsageError("--epochs and --target both say how much, wanted one");
    if (!c.target && !c.weights.empty())
        throw UsageError("--weight without --target, wanted both, or --epochs");
    if (c.unit == "tokens" && c.tokenizer.empty())
        throw UsageError("--unit tokens without --tokenizer, wanted a tokenizer.model to count by");
}

// Tokens that an earlier run made of other documents, or of these when nobody asks for them now.
void remove_tokens(const std::filesystem::path& output) {
    std::filesystem::remove_all(output / "tokens");
    std::filesystem::remove(output / "manifest" / "tokens.json");
}

// tokens/train and, if asked for, tokens/val of the parts, as one more stage.
TokenizeCounts write_tokens(const MixCommand& c, const DedupJob& job, const Tokenizer& tokenizer,
                            const MixReport& mixed) {
    Workspace workspace(job.output);
    const Json how = {{"tokenizer", tokenizer.hash()},
                      {"version", 2}, // to be raised when the same tokens are written otherwise
                      {"field", job.records.text_field},
                      {"val_fraction", c.val_fraction},
                      {"shard_tokens", c.shard_tokens}};
    Stage stage{"tokens", how.dump(), mixed.digest, {}};
    stage.units.push_back(
        {"tokens", {}, [&](UnitOutputs& outputs) {
             ReaderOptions records;
             records.records = Records::text;
             records.field = job.records.text_field;
             std::vector<std::string> parts;
             for (const auto& part : mixed.parts) parts.push_back(part.string());
             DocumentReader reader(parts, records);
             TokenizeOptions options;
             options.output = outputs.scratch() / "tokens";
             options.val_fraction = c.val_fraction;
             options.shard_tokens = c.shard_tokens;
             options.threads = job.threads;
             const TokenizeResult done = tokenize(reader, nullptr, tokenizer, options, {});
             for (const char* split : {"train", "val"}) {
                 if (!std::filesystem::exists(options.output / split)) continue;
                 for (const auto& entry :
                      std::filesystem::directory_iterator(options.output / split))
                     outputs.add(std::filesystem::path("tokens") / split / entry.path().filename());
             }
             // Where train looks for it, so that its checkpoints have it.
             write_file_atomic(outputs.add("tokens/tokenizer.model"), tokenizer.serialized());
             return Json{{"documents", done.train.documents + done.val.documents},
                         {"tokens", done.train.tokens + done.val.tokens}};
         }});
    workspace.run(stage, 1, {}, true);
    const Json counts = workspace.counts(stage);
    TokenizeCounts out;
    out.documents = counts.at("documents");
    out.tokens = counts.at("tokens");
    return out;
}

void print_groups(const MixReport& report) {
    fmt::print("  {:<28}{:>12}{:>12}{:>9}{:>14}{:>12}\n", "group", "documents", "MB", "epochs",
               "documents", "MB");
    for (const Json& g : report.groups)
        fmt::print("  {:<28}{:>12}{:>12.2f}{:>9.4g}{:>14}{:>12.2f}\n", g["name"].get<std::string>(),
                   g["documents"].get<uint64_t>(), g["bytes"].get<double>() * 1e-6,
                   g["epochs"].get<double>(), g["mixed_documents"].get<uint64_t>(),
                   g["mixed_bytes"].get<double>() * 1e-6);
}

int run_mix_command(MixCommand& c) {
    check(c);
    std::optional<Tokenizer> tokenizer;
    if (!c.tokenizer.empty()) tokenizer.emplace(std::filesystem::path(c.tokenizer));
    if (c.unit == "tokens") c.mix.tokenizer = &*tokenizer;
    const DedupJob job = make_job(c.corpus);
    const MixReport report = run_mix(job, c.mix, [&](const StageReport& stage) {
        if (c.json) return;
        fmt::print("{}: {} of {} pieces, {:.1f} s\n", stage.name, stage.progress.done_here,
                   stage.progress.units, stage.seconds);
        std::fflush(stdout);
    });
    std::optional<TokenizeCounts> tokens;
    if (!tokenizer) remove_tokens(job.output);
    if (tokenizer && !report.parts.empty()) tokens = write_tokens(c, job, *tokenizer, report);
    if (c.json) {
        Json out = {{"groups", report.groups}, {"parts", report.parts.size()}};
        if (tokens) out["tokens"] = tokens->tokens;
        if (c.target) out["target"] = {{"unit", c.unit}, {"amount", *c.target}};
        fmt::print("{}\n", out.dump(2));
        return kOk;
    }
    if (report.parts.empty()) return kOk;
    fmt::print("{}: {} parts\n", (job.output / "mixed").string(), report.parts.size());
    print_groups(report);
    if (tokens)
        fmt::print("{}: {} tokens of {} documents{}\n", (job.output / "tokens").string(),
                   tokens->tokens, tokens->documents,
                   c.mix.weights.target_tokens
                       ? fmt::format("; wanted were {}, which documents drawn by lot come near to",
                                     *c.target)
                       : "");
    return kOk;
}

} // namespace

void add_corpus_mix_command(CLI::App& group) {
    auto c = std::make_shared<MixCommand>();
    CLI::App* command =
        group.add_subcommand("mix", "Shuffle documents of many sources, each as often as you say");
    add_corpus_options(*command, c->corpus);
    command->add_option("--by", c->mix.by,
                        "Field with a document's group, as metadata.source; directory: that of its "
                        "file, below what all inputs have in common");
    command
        ->add_option("--epochs", c->epochs,
                     "How often a group is read, as wiki=2.5; others once; repeatable")
        ->allow_extra_args(false);
    command
        ->add_option("--target", c->target,
                     "How much is wanted in all, as 10G; instead of --epochs")
        ->transform(CLI::AsSizeValue(false));
    command->add_option("--unit", c->unit, "Of --target: bytes of text, or tokens")
        ->check(CLI::IsMember({"bytes", "tokens"}));
    command
        ->add_option("--weight", c->weights,
                     "A group's share of --target, as wiki=3, relative to the others'; without "
                     "any, the shares that they have; repeatable")
        ->allow_extra_args(false);
    command
        ->add_option("--max-epochs", c->mix.weights.most_epochs,
                     "Of a group, even where it lacks to its share then; 0: no limit")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--seed", c->mix.seed, "Of the order, and of what is read once more");
    command
        ->add_option("--part-bytes", c->mix.part_bytes,
                     "Text of an output file, about; two of them have to fit into --memory")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("256M");
    command->add_option(
        "--tokenizer", c->tokenizer,
        "tokenizer.model: also write token shards, tokens/train, and this model beside them");
    command
        ->add_option("--val-fraction", c->val_fraction,
                     "With --tokenizer: share of the documents that goes to tokens/val, by the "
                     "hash of their text")
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--shard-tokens", c->shard_tokens, "Tokens after which a new shard begins")
        ->check(CLI::PositiveNumber);
    command->add_option("--level", c->mix.level, "Of zstd, for what is written")
        ->check(CLI::Range(1, 19));
    command->add_flag("--json", c->json, "Print the groups as JSON");
    command->footer(
        "Writes mixed/part-NNNNN.jsonl.zst, records as they were read, in a random order that "
        "depends on inputs, options\nand seed alone, and stats.json. More: docs/corpus.md.");
    on_run(command, [c] { return run_mix_command(*c); });
}

} // namespace tnl
