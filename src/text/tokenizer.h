// A SentencePiece tokenizer (libsentencepiece): BPE with byte fallback, as released with
// TransNormerLLM. Text round-trips through ids byte for byte, but for the whitespace rules of the
// model file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

class Tokenizer {
  public:
    // Throws naming the file when it is missing, empty, truncated or no SentencePiece model.
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
    const std::string& piece(int32_t id) const;

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
    struct Impl;
    explicit Tokenizer(std::unique_ptr<Impl> impl);
    template <class Encode> void in_parts(std::string_view text, Encode&& encode_part) const;
    std::unique_ptr<Impl> impl_;
};

struct TokenizerTraining {
    int64_t vocab_size = 4096;
    double character_coverage = 0.9995; // the rest falls back to bytes
    int64_t max_sentences = 2'000'000;  // lines; the rest is not read
    int threads = 2;
};

// Trains on the lines that `next` gives until it returns false, and returns the serialized model.
// Ids: unk 0, bos 1, eos 2, no pad (as released). Deterministic. Throws when the text is empty or
// too small for the vocabulary, saying the largest possible size.
std::string train_tokenizer(const TokenizerTraining& options,
                            const std::function<bool(std::string& line)>& next);

} // namespace tnl
