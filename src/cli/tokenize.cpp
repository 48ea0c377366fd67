// transnormer tokenize: text to token shards.
#include "data/tokenize.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/records.h"

#include "base/check.h"
#include "base/file.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cstdio>
#include <optional>

namespace tnl {
namespace {

struct TokenizeCommand {
    std::vector<std::string> inputs, held_out;
    std::string tokenizer, chat_template;
    ReaderOptions reader;
    TokenizeOptions tokenize;
    bool json = false;
};

nlohmann::ordered_json counts_json(const TokenizeCounts& c) {
    return {{"documents", c.documents},
            {"tokens", c.tokens},
            {"learned_tokens", c.learned},
            {"text_bytes", c.text_bytes}};
}

void show_progress(const TokenizeResult& r) {
    std::fprintf(stderr, "\r%ld documents, %.1f MB of text, %.2f M tokens, %.1f MB/s ",
                 static_cast<long>(r.read.documents), static_cast<double>(r.read.bytes) * 1e-6,
                 static_cast<double>(r.train.tokens + r.val.tokens) * 1e-6,
                 static_cast<double>(r.read.bytes) * 1e-6 / std::max(r.seconds, 1e-9));
}

int run_tokenize(TokenizeCommand& c) {
    c.reader.format = ChatTemplate::load_or_plain(c.chat_template);
    const Tokenizer tokenizer{std::filesystem::path(c.tokenizer)};
    DocumentReader reader(c.inputs, c.reader);
    std::optional<DocumentReader> held_out;
    if (!c.held_out.empty()) held_out.emplace(c.held_out, c.reader);
    const bool live = isatty(STDERR_FILENO) && !c.json;
    const TokenizeResult r = tokenize(reader, held_out ? &*held_out : nullptr, tokenizer,
                                      c.tokenize, [&](const TokenizeResult& so) {
                                          if (live) show_progress(so);
                                      });
    if (live) std::fputc('\n', stderr);
    write_file_atomic(c.tokenize.output / "tokenizer.model", tokenizer.serialized());
    const int64_t tokens = r.train.tokens + r.val.tokens;
    nlohmann::ordered_json summary = {
        {"files", reader.files().size() + (held_out ? held_out->files().size() : 0)},
        {"documents", r.read.documents},
        {"instructions", r.read.instructions},
        {"text_bytes", r.read.bytes},
        {"tokens", tokens},
        {"bytes_per_token", static_cast<double>(r.read.bytes) / static_cast<double>(tokens)},
        {"train", counts_json(r.train)},
        {"val", counts_json(r.val)},
        {"skipped", r.read.skipped},
        {"replaced", r.read.replaced},
        {"vocab_size", tokenizer.vocab_size()},
        {"seconds", r.seconds}};
    write_file_atomic(c.tokenize.output / "dataset.json", summary.dump(2) + "\n");
    if (c.json) {
        std::puts(summary.dump(2).c_str());
        return kOk;
    }
    fmt::print("{}: {} documents, {:.2f} MB, {} tokens ({:.2f} bytes each) in {:.1f} s\n"
               "  train {} tokens of {} documents, val {} tokens of {}\n",
               c.tokenize.output.string(), r.read.documents,
               static_cast<double>(r.read.bytes) * 1e-6, tokens,
               static_cast<double>(r.read.bytes) / static_cast<double>(tokens), r.seconds,
               r.train.tokens, r.train.documents, r.val.tokens, r.val.documents);
    if (r.read.instructions)
        fmt::print("  {} instructions: {} tokens of train and {} of val are to be learned\n",
                   r.read.instructions, r.train.learned, r.val.learned);
    if (r.read.skipped) fmt::print("  {} documents skipped: invalid UTF-8\n", r.read.skipped);
    if (r.read.replaced) fmt::print("  {} invalid pieces of UTF-8 replaced\n", r.read.replaced);
    return kOk;
}

} // namespace

void add_tokenize_command(CLI::App& app) {
    auto c = std::make_shared<TokenizeCommand>();
    CLI::App* command = app.add_subcommand("tokenize", "Turn text into token shards for training");
    command
        ->add_option("inputs", c->inputs,
                     "Text or .jsonl files, plain, .gz or .zst; wildcards are expanded")
        ->required();
    command->add_option("--tokenizer", c->tokenizer, "SentencePiece model or tiktoken vocabulary")
        ->required();
    command
        ->add_option("-o,--output", c->tokenize.output,
                     "Directory that receives train/, val/ and tokenizer.model")
        ->required();
    add_records_options(*command, c->reader, c->chat_template);
    command->add_option("--separator", c->reader.separator,
                        "Line that ends a document in plain text; without it a file is one");
    add_choice(*command, "--bad-utf8", c->reader.bad_utf8, "Documents with invalid UTF-8");
    command
        ->add_option("--val", c->held_out,
                     "File of held-out documents, for val/; repeatable, wildcards are expanded")
        ->allow_extra_args(false);
    command->add_option("--val-fraction", c->tokenize.val_fraction,
                        "Share of documents held out, chosen by hash, 0 to 1");
    command->add_option("--val-tail", c->tokenize.val_tail,
                        "Share of every document held out, its end, 0 to 1");
    command->add_option("--shard-tokens", c->tokenize.shard_tokens, "Tokens in one shard")
        ->check(CLI::PositiveNumber);
    command->add_flag("--bos", c->tokenize.bos, "Put bos before every document");
    command->add_option("--threads", c->tokenize.threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--json", c->json, "Print the summary as JSON");
    command->footer(kRecordsHelp);
    on_run(command, [c] { return run_tokenize(*c); });
}

} // namespace tnl
