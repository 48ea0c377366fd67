// transnormer tokenizer train | encode | decode
#include "text/tokenizer.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/records.h"
#include "text/reader.h"

#include "base/check.h"
#include "base/file.h"
#include "base/threads.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <chrono>
#include <iostream>
#include <iterator>

namespace tnl {
namespace {

std::string read_input(const std::string& file) {
    if (file != "-") return read_file(file);
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

// ---- train ----

struct TrainCommand {
    std::vector<std::string> inputs;
    std::filesystem::path output;
    std::string chat_template;
    ReaderOptions reader;
    TokenizerTraining training;
    std::string characters;
    int64_t most_characters = 20'000;
    bool json = false;
};

int run_train(TrainCommand c) {
    const auto start = std::chrono::steady_clock::now();
    if (c.training.threads <= 0) c.training.threads = available_cores();
    if (!c.characters.empty())
        c.training.characters = frequent_characters(c.characters, c.most_characters);
    c.reader.bad_utf8 = BadUtf8::replace;
    c.reader.format = ChatTemplate::load_or_plain(c.chat_template);
    DocumentReader reader(c.inputs, c.reader);
    AtomicFile output(c.output); // what cannot be written is told before the work
    Document document;
    size_t at = 0;
    const std::string model = train_tokenizer(c.training, [&](std::string& line) {
        for (;;) {
            while (at >= document.text.size()) {
                at = 0;
                if (!reader.next(document)) return false;
            }
            const size_t end = std::min(document.text.find('\n', at), document.text.size());
            line.assign(document.text, at, end - at);
            at = end + 1;
            if (!line.empty()) return true;
        }
    });
    const Tokenizer tokenizer = Tokenizer::from_bytes(model, c.output.string());
    output.write(model);
    output.commit();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const nlohmann::ordered_json summary = {{"model", c.output.string()},
                                            {"vocab_size", tokenizer.vocab_size()},
                                            {"text_bytes", reader.counts().bytes},
                                            {"documents", reader.counts().documents},
                                            {"seconds", seconds}};
    if (c.json)
        std::cout << summary.dump(2) << '\n';
    else
        fmt::print("{}: {} pieces from {:.2f} MB of text in {:.1f} s\n", c.output.string(),
                   tokenizer.vocab_size(), static_cast<double>(reader.counts().bytes) * 1e-6,
                   seconds);
    return kOk;
}

void add_train(CLI::App& parent) {
    auto c = std::make_shared<TrainCommand>();
    c->training.threads = 0;
    CLI::App* command =
        parent.add_subcommand("train", "Train a BPE tokenizer with byte fallback on text");
    command
        ->add_option("inputs", c->inputs,
                     "Text or .jsonl files, plain, .gz or .zst; wildcards are expanded")
        ->required();
    command->add_option("-o,--output", c->output, "Model file to write")->required();
    command
        ->add_option("--vocab-size", c->training.vocab_size,
                     "Pieces, 259 bytes and special tokens included")
        ->check(CLI::Range(300, 1000000));
    command
        ->add_option("--character-coverage", c->training.character_coverage,
                     "Share of the text's characters that get a piece; the rest become bytes")
        ->check(CLI::Range(0.9, 1.0));
    command->add_option("--characters", c->characters,
                        "Table of characters, each on a line with how often it is: the most "
                        "frequent get a piece, whatever the text is");
    command->add_option("--most-characters", c->most_characters, "Of that table, at most")
        ->check(CLI::PositiveNumber);
    command->add_option("--max-lines", c->training.max_sentences, "Lines read at most")
        ->check(CLI::PositiveNumber);
    add_records_options(*command, c->reader, c->chat_template);
    command->add_option("--threads", c->training.threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--json", c->json, "Print the summary as JSON");
    on_run(command, [c] { return run_train(*c); });
}

// ---- encode, decode ----

struct ConvertCommand {
    std::filesystem::path tokenizer;
    std::string input = "-", text;
    bool json = false, pieces = false;
};

int run_encode(const ConvertCommand& c) {
    const Tokenizer tokenizer(c.tokenizer);
    const auto ids = tokenizer.encode(c.text.empty() ? read_input(c.input) : c.text);
    if (c.json) {
        nlohmann::ordered_json out = {{"ids", ids}};
        for (int32_t id : ids) out["pieces"].push_back(tokenizer.piece(id));
        std::cout << out.dump() << '\n';
        return kOk;
    }
    std::string line;
    for (int32_t id : ids)
        line += c.pieces ? fmt::format("{}{}", line.empty() ? "" : " ", tokenizer.piece(id))
                         : fmt::format("{}{}", line.empty() ? "" : " ", id);
    std::cout << line << '\n';
    return kOk;
}

int run_decode(const ConvertCommand& c) {
    const Tokenizer tokenizer(c.tokenizer);
    const std::string input = c.text.empty() ? read_input(c.input) : c.text;
    std::vector<int32_t> ids;
    const char *at = input.data(), *end = at + input.size();
    for (;;) {
        while (at != end && (std::isspace(static_cast<unsigned char>(*at)) || *at == ',' ||
                             *at == '[' || *at == ']'))
            ++at;
        if (at == end) break;
        int32_t id = 0;
        const auto [next, error] = std::from_chars(at, end, id);
        if (error != std::errc())
            fail("not a token id at byte {} of the input; wanted whole numbers", at - input.data());
        ids.push_back(id);
        at = next;
    }
    const std::string text = tokenizer.decode(ids);
    if (c.json)
        std::cout << nlohmann::ordered_json{{"text", text}}.dump(
                         -1, ' ', false, nlohmann::json::error_handler_t::replace)
                  << '\n';
    else
        std::cout << text;
    return kOk;
}

void add_convert(CLI::App& parent, const char* name, const char* help, const char* what,
                 int (*run)(const ConvertCommand&)) {
    auto c = std::make_shared<ConvertCommand>();
    CLI::App* command = parent.add_subcommand(name, help);
    command->add_option("--tokenizer", c->tokenizer, "SentencePiece model or tiktoken vocabulary")
        ->required();
    command->add_option("input", c->input, "File, or - for standard input");
    command->add_option("--text", c->text, what);
    command->add_flag("--json", c->json, "Print JSON");
    if (run == run_encode) command->add_flag("--pieces", c->pieces, "Print pieces, not ids");
    on_run(command, [c, run] { return run(*c); });
}

} // namespace

void add_tokenizer_command(CLI::App& app) {
    CLI::App* group = app.add_subcommand("tokenizer", "Train a tokenizer; encode and decode text");
    group->require_subcommand(1);
    add_train(*group);
    if (add_tokenizer_report_command != nullptr) add_tokenizer_report_command(*group);
    add_convert(*group, "encode", "Text to token ids, separated by spaces",
                "Text to encode, instead of a file", run_encode);
    add_convert(*group, "decode", "Token ids to text",
                "Ids to decode, \"5 8 13\", instead of a file", run_decode);
}

} // namespace tnl
