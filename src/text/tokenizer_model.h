// What a Tokenizer is made of: one class for each kind of file.
#pragma once

#include "text/tokenizer.h"

namespace tnl {

// Members mean what Tokenizer's do.
class TokenizerModel {
  public:
    virtual ~TokenizerModel() = default;
    virtual void encode(std::string_view text, std::vector<int32_t>& out) const = 0; // appends
    virtual std::vector<Tokenizer::Token> encode_tokens(std::string_view text) const = 0;
    virtual std::string decode(const std::vector<int32_t>& ids) const = 0; // ids are in range

    std::string kind; // for users: "SentencePiece", "tiktoken"
    std::string serialized;
    std::vector<std::string> bytes;  // of each token
    std::vector<std::string> pieces; // their names
    int32_t unk = -1, bos = -1, eos = -1, pad = -1;
    bool leading_space = false;
};

// Each throws naming `name`, which stands for the file.
std::unique_ptr<TokenizerModel> open_sentencepiece(std::string serialized, const std::string& name);
std::unique_ptr<TokenizerModel> open_tiktoken(std::string serialized, const std::string& name);
// Whether a file begins as tiktoken's do: a token in base64, a space, a rank.
bool looks_like_tiktoken(std::string_view file);

} // namespace tnl
