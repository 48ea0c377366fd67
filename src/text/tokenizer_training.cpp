#include "base/check.h"
#include "base/file.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace tnl {
namespace {

// Lines for the trainer, cut where libsentencepiece would drop them (4192 bytes). Before them, each
// on a line of its own, the characters that need a piece: the library ends the process where one of
// these is not in the text, and of too many lines it does not look at the last.
class Lines final : public sentencepiece::SentenceIterator {
  public:
    Lines(const std::function<bool(std::string&)>& next, const std::string& characters)
        : next_(next), characters_(characters), has_text_(next_(rest_)) {
        Next();
    }
    bool has_text() const { return has_text_; }
    bool done() const override { return done_; }
    void Next() override {
        if (at_ < characters_.size()) {
            size_t end = at_ + 1;
            while (end < characters_.size() && is_tail(characters_[end])) ++end;
            line_ = characters_.substr(at_, end - at_);
            at_ = end;
            return;
        }
        if (rest_.empty() && !next_(rest_)) {
            done_ = true;
            return;
        }
        size_t cut = std::min(rest_.size(), size_t{4000});
        while (cut < rest_.size() && cut > 0 && is_tail(rest_[cut])) --cut;
        line_ = rest_.substr(0, cut);
        rest_.erase(0, cut);
        ++lines_;
    }
    const std::string& value() const override { return line_; }
    sentencepiece::util::Status status() const override { return {}; }
    int64_t lines() const { return lines_; }

  private:
    static bool is_tail(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }
    const std::function<bool(std::string&)>& next_;
    const std::string& characters_;
    size_t at_ = 0; // in them
    std::string line_, rest_;
    bool has_text_;
    bool done_ = false;
    int64_t lines_ = 0;
};

} // namespace

std::string frequent_characters(const std::filesystem::path& table, int64_t most) {
    const std::string text = read_file(table);
    std::vector<std::pair<int64_t, std::string>> found;
    size_t number = 1;
    for (size_t at = 0; at < text.size(); ++number) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with('#') || line.find_first_not_of(" \t\r") == std::string::npos) continue;
        const size_t space = line.find_first_of(" \t");
        const std::string character = line.substr(0, space);
        int64_t count = -1;
        if (space != std::string::npos) {
            const size_t digits = line.find_first_not_of(" \t", space);
            if (digits != std::string::npos)
                std::from_chars(line.data() + digits, line.data() + line.size(), count);
        }
        size_t characters = 0;
        for (const char c : character) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        if (characters != 1 || count < 0 || first_invalid_utf8(character) != std::string::npos)
            fail("{}:{}: '{}', wanted a character, white space and how often it is", table.string(),
                 number, line.substr(0, 40));
        found.emplace_back(-count, character);
    }
    if (found.empty()) fail("{}: has no characters", table.string());
    std::sort(found.begin(), found.end()); // of equal counts by code point
    std::string out;
    for (int64_t i = 0; i < std::min<int64_t>(most, std::ssize(found)); ++i)
        out += found[static_cast<size_t>(i)].second;
    return out;
}

std::string train_tokenizer(const TokenizerTraining& options,
                            const std::function<bool(std::string& line)>& next) {
    TNL_CHECK(options.vocab_size >= 300 && options.vocab_size <= 1'000'000,
              "vocab_size is {}, wanted 300 to 1000000 (259 are bytes and special tokens)",
              options.vocab_size);
    Lines lines(next, options.characters);
    if (!lines.has_text()) fail("the corpus is empty: no text to train a tokenizer on");
    const std::unordered_map<std::string, std::string> arguments = {
        {"model_type", "bpe"},
        {"byte_fallback", "true"},
        {"vocab_size", fmt::format("{}", options.vocab_size)},
        {"character_coverage", fmt::format("{}", options.character_coverage)},
        {"unk_id", "0"},
        {"bos_id", "1"},
        {"eos_id", "2"},
        {"pad_id", "-1"},
        {"normalization_rule_name", "identity"}, // text comes back byte for byte
        {"remove_extra_whitespaces", "false"},
        {"allow_whitespace_only_pieces", "true"},
        {"split_digits", "true"},
        {"max_sentence_length", "8192"},
        {"input_sentence_size", fmt::format("{}", options.max_sentences)},
        {"shuffle_input_sentence", "false"}, // the shuffle is not seeded
        {"required_chars", options.characters},
        {"num_threads", fmt::format("{}", options.threads)},
        {"minloglevel", "2"},
    };
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &model);
    if (!status.ok())
        fail("cannot train a tokenizer of {} pieces on {} lines: {}", options.vocab_size,
             lines.lines(), status.ToString());
    return model;
}

} // namespace tnl
