// Tokenizers of either kind released with TransNormerLLM, told by the file's content: SentencePiece
// models (libsentencepiece; 385M, 1B, 7B), BPE with byte fallback, and tiktoken's vocabularies
// (15B), BPE over bytes. Text round-trips through ids byte for byte, but for the whitespace rules
// of a SentencePiece model. No text ever becomes a special token.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

class TokenizerModel;

class Tokenizer {
  public:
    // Throws naming the file when it is missing, empty, truncated or no tokenizer.
    explicit Tokenizer(const std::filesystem::path& model);
    static Tokenizer from_bytes(std::string serialized, const std::string& name);
    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;

    std::vector<int32_t> encode(std::string_view text) const; // no bos, no eos
    // The same tokens, each with the bytes of the text that it stands for: none for the leading
    // space, or for all but the last byte piece of a character.
    struct Token {
        int32_t id = 0;
        size_t begin = 0, end = 0;
    };
    std::vector<Token> encode_tokens(std::string_view text) const;
    std::string decode(const std::vector<int32_t>& ids) const; // special tokens are dropped
    // The bytes that one token adds to a text: byte pieces <0xNN> give their byte, U+2581 a space,
    // special tokens nothing. The leading space that encoding adds is the caller's to drop.
    std::string token_bytes(int32_t id) const;
    // Its name in the vocabulary, for people. Tiktoken's are bytes: they show spaces as U+2581,
    // bytes that are no text as <0x0A>.
    const std::string& piece(int32_t id) const;

    const std::string& kind() const; // "SentencePiece" or "tiktoken"
    // One more than the largest id; of tiktoken's vocabularies with the special tokens, which the
    // file does not have: those of TransNormerLLM-15B where there are 100256 ranks, else one, eos,
    // after the last rank.
    int64_t vocab_size() const;
    int32_t unk() const;
    int32_t bos() const; // -1 if the model has none
    int32_t eos() const;
    int32_t pad() const;
    // The encoder puts a space before the text, which decoding drops again.
    bool adds_leading_space() const;

    const std::string& serialized() const; // the model file's bytes
    uint64_t hash() const;                 // XXH3 of them

  private:
    explicit Tokenizer(std::unique_ptr<TokenizerModel> model);
    void check(int32_t id) const;
    std::unique_ptr<TokenizerModel> model_;
};

// The tokenizer of a model directory: tokenizer.model, else the one *.tiktoken; empty if there is
// neither. Throws where there are several.
std::filesystem::path find_tokenizer(const std::filesystem::path& directory);

struct TokenizerTraining {
    int64_t vocab_size = 4096;
    double character_coverage = 0.9995; // the rest falls back to bytes
    int64_t max_sentences = 2'000'000;  // lines; the rest is not read
    int threads = 2;
    // Characters that get a piece however rare they are in the text, UTF-8 one after the other.
    std::string characters{};
};

// The most frequent `most` characters of a table: on each line a character, white space, and how
// often it is; lines that are blank or begin with # say nothing. Throws naming file and line.
std::string frequent_characters(const std::filesystem::path& table, int64_t most);

// Trains on the lines that `next` gives until it returns false, and returns the serialized model.
// Ids: unk 0, bos 1, eos 2, no pad (as released). Deterministic. Throws when the text is empty or
// too small for the vocabulary, saying the largest possible size.
std::string train_tokenizer(const TokenizerTraining& options,
                            const std::function<bool(std::string& line)>& next);

} // namespace tnl
