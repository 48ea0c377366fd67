#include "text/tokenizer.h"

#include "base/check.h"
#include "base/file.h"
#include "text/model_check.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <unordered_map>

namespace tnl {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81"; // U+2581

// Bytes of text encoded at once.
constexpr size_t kPart = 1 << 15;

bool is_word(std::string_view text, size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
}

int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string read_model(const std::filesystem::path& path) {
    constexpr size_t kMost = size_t{1} << 30;
    const MappedFile file(path);
    if (file.size() > kMost)
        fail("{}: {} bytes, wanted a SentencePiece model of at most {}", path.string(), file.size(),
             kMost);
    return std::string(file.view());
}

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

struct Tokenizer::Impl {
    sentencepiece::SentencePieceProcessor processor;
    std::string serialized;
    bool leading_space = false;
    std::vector<std::string> bytes;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer::Tokenizer(const std::filesystem::path& model)
    : Tokenizer(from_bytes(read_model(model), model.string())) {}

Tokenizer Tokenizer::from_bytes(std::string serialized, const std::string& name) {
    auto impl = std::make_unique<Impl>();
    if (serialized.empty()) fail("{}: empty, wanted a SentencePiece model", name);
    check_sentencepiece_model(serialized, name);
    const auto status = impl->processor.LoadFromSerializedProto(serialized);
    if (!status.ok())
        fail("{}: not a SentencePiece model, truncated or corrupt ({} bytes): {}", name,
             serialized.size(), status.ToString());
    impl->serialized = std::move(serialized);
    auto& p = impl->processor;
    for (int id = 0; id < p.GetPieceSize(); ++id) {
        std::string text;
        const std::string& piece = p.IdToPiece(id);
        if (p.IsByte(id)) { // <0x1F>
            const int high = piece.size() == 6 ? hex_digit(piece[3]) : -1;
            const int low = piece.size() == 6 ? hex_digit(piece[4]) : -1;
            if (high < 0 || low < 0)
                fail("{}: piece {} is of a byte, but called \"{}\"; the model is corrupt", name, id,
                     piece);
            text = static_cast<char>(high * 16 + low);
        } else if (!p.IsControl(id) && !p.IsUnknown(id)) {
            for (size_t at = 0; at < piece.size();) {
                const bool space = piece.compare(at, kSpace.size(), kSpace) == 0;
                text += space ? " " : piece.substr(at, 1);
                at += space ? kSpace.size() : 1;
            }
        }
        impl->bytes.push_back(std::move(text));
    }
    std::vector<std::string> pieces;
    if (p.Encode("a", &pieces).ok() && !pieces.empty())
        impl->leading_space = pieces.front().compare(0, kSpace.size(), kSpace) == 0;
    return Tokenizer(std::move(impl));
}

// Long texts are encoded in parts: time and memory per byte then stay the same whatever the length.
// A part ends before a lone space, where no piece goes on: the next part's leading space is that
// one. encode_part(part, its first byte in the text).
template <class Encode>
void Tokenizer::in_parts(std::string_view text, Encode&& encode_part) const {
    for (size_t begin = 0; begin < text.size();) {
        size_t cut = text.size();
        if (cut - begin > kPart) {
            cut = begin + kPart;
            while (cut < text.size() &&
                   !(text[cut] == ' ' && is_word(text, cut - 1) && is_word(text, cut + 1)))
                ++cut;
        }
        encode_part(text.substr(begin, cut - begin), begin);
        begin = cut == text.size() ? cut : cut + (impl_->leading_space ? 1 : 0);
    }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
    std::vector<int32_t> out;
    std::vector<int> ids;
    in_parts(text, [&](std::string_view part, size_t) {
        const auto status = impl_->processor.Encode({part.data(), part.size()}, &ids);
        if (!status.ok()) fail("tokenizer: cannot encode: {}", status.ToString());
        out.insert(out.end(), ids.begin(), ids.end());
    });
    return out;
}

std::vector<Tokenizer::Token> Tokenizer::encode_tokens(std::string_view text) const {
    std::vector<Token> out;
    in_parts(text, [&](std::string_view part, size_t begin) {
        const auto pieces = impl_->processor.EncodeAsImmutableProto({part.data(), part.size()});
        for (size_t i = 0; i < pieces.pieces_size(); ++i) {
            const auto piece = pieces.pieces(static_cast<int>(i));
            out.push_back(
                {static_cast<int32_t>(piece.id()), begin + piece.begin(), begin + piece.end()});
        }
    });
    return out;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
    for (int32_t id : ids)
        TNL_CHECK(id >= 0 && id < vocab_size(), "token id {} is outside the vocabulary of {}", id,
                  vocab_size());
    std::string text;
    const auto status = impl_->processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    if (!status.ok()) fail("tokenizer: cannot decode: {}", status.ToString());
    return text;
}

std::string Tokenizer::token_bytes(int32_t id) const {
    TNL_CHECK(id >= 0 && id < vocab_size(), "token id {} is outside the vocabulary of {}", id,
              vocab_size());
    return impl_->bytes[static_cast<size_t>(id)];
}

const std::string& Tokenizer::piece(int32_t id) const {
    TNL_CHECK(id >= 0 && id < vocab_size(), "token id {} is outside the vocabulary of {}", id,
              vocab_size());
    return impl_->processor.IdToPiece(id);
}

int64_t Tokenizer::vocab_size() const { return impl_->processor.GetPieceSize(); }
int32_t Tokenizer::unk() const { return impl_->processor.unk_id(); }
int32_t Tokenizer::bos() const { return impl_->processor.bos_id(); }
int32_t Tokenizer::eos() const { return impl_->processor.eos_id(); }
int32_t Tokenizer::pad() const { return impl_->processor.pad_id(); }
bool Tokenizer::adds_leading_space() const { return impl_->leading_space; }
const std::string& Tokenizer::serialized() const { return impl_->serialized; }
uint64_t Tokenizer::hash() const {
    return XXH3_64bits(impl_->serialized.data(), impl_->serialized.size());
}

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
