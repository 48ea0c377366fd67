#include "base/check.h"
#include "text/tokenizer.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <unordered_map>

namespace tnl {
namespace {

// Lines for the trainer, cut where libsentencepiece would drop them (4192 bytes).
class Lines final : public sentencepiece::SentenceIterator {
  public:
    explicit Lines(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }
    bool done() const override { return done_; }
    void Next() override {
        if (rest_.empty() && !next_(rest_)) {
            done_ = true;
            return;
        }
        size_t cut = std::min(rest_.size(), size_t{4000});
        while (cut < rest_.size() && cut > 0 &&
               (static_cast<unsigned char>(rest_[cut]) & 0xC0) == 0x80)
            --cut;
        line_ = rest_.substr(0, cut);
        rest_.erase(0, cut);
        ++lines_;
    }
    const std::string& value() const override { return line_; }
    sentencepiece::util::Status status() const override { return {}; }
    int64_t lines() const { return lines_; }

  private:
    const std::function<bool(std::string&)>& next_;
    std::string line_, rest_;
    bool done_ = false;
    int64_t lines_ = 0;
};

} // namespace

std::string train_tokenizer(const TokenizerTraining& options,
                            const std::function<bool(std::string& line)>& next) {
    TNL_CHECK(options.vocab_size >= 300 && options.vocab_size <= 1'000'000,
              "vocab_size is {}, wanted 300 to 1000000 (259 are bytes and special tokens)",
              options.vocab_size);
    Lines lines(next);
    if (lines.done()) fail("the corpus is empty: no text to train a tokenizer on");
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
