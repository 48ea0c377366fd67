#include "text/tokenizer.h"

#include "base/check.h"
#include "base/file.h"
#include "text/tokenizer_model.h"

#include <xxhash.h>

namespace tnl {
namespace {

std::string read_model(const std::filesystem::path& path) {
    constexpr size_t kMost = size_t{1} << 30;
    const MappedFile file(path);
    if (file.size() > kMost)
        fail("{}: {} bytes, wanted a tokenizer's file of at most {}", path.string(), file.size(),
             kMost);
    return std::string(file.view());
}

} // namespace

Tokenizer::Tokenizer(std::unique_ptr<TokenizerModel> model) : model_(std::move(model)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer::Tokenizer(const std::filesystem::path& model)
    : Tokenizer(from_bytes(read_model(model), model.string())) {}

Tokenizer Tokenizer::from_bytes(std::string serialized, const std::string& name) {
    if (serialized.empty())
        fail("{}: empty, wanted a SentencePiece model or a tiktoken vocabulary", name);
    return Tokenizer(looks_like_tiktoken(serialized)
                         ? open_tiktoken(std::move(serialized), name)
                         : open_sentencepiece(std::move(serialized), name));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
    std::vector<int32_t> out;
    model_->encode(text, out);
    return out;
}

std::vector<Tokenizer::Token> Tokenizer::encode_tokens(std::string_view text) const {
    return model_->encode_tokens(text);
}

void Tokenizer::check(int32_t id) const {
    TNL_CHECK(id >= 0 && id < vocab_size(), "token id {} is outside the vocabulary of {}", id,
              vocab_size());
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
    for (const int32_t id : ids) check(id);
    return model_->decode(ids);
}

std::string Tokenizer::token_bytes(int32_t id) const {
    check(id);
    return model_->bytes[static_cast<size_t>(id)];
}

const std::string& Tokenizer::piece(int32_t id) const {
    check(id);
    return model_->pieces[static_cast<size_t>(id)];
}

const std::string& Tokenizer::kind() const { return model_->kind; }
int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(model_->bytes.size()); }
int32_t Tokenizer::unk() const { return model_->unk; }
int32_t Tokenizer::bos() const { return model_->bos; }
int32_t Tokenizer::eos() const { return model_->eos; }
int32_t Tokenizer::pad() const { return model_->pad; }
bool Tokenizer::adds_leading_space() const { return model_->leading_space; }
const std::string& Tokenizer::serialized() const { return model_->serialized; }
uint64_t Tokenizer::hash() const {
    return XXH3_64bits(model_->serialized.data(), model_->serialized.size());
}

std::filesystem::path find_tokenizer(const std::filesystem::path& directory) {
    namespace fs = std::filesystem;
    const fs::path model = directory / "tokenizer.model";
    if (fs::exists(model)) return model;
    std::error_code none; // no such directory: no file in it
    fs::path found;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory, none)) {
        if (entry.path().extension() != ".tiktoken") continue;
        if (!found.empty())
            fail("{}: has two tokenizers, {} and {}; wanted one", directory.string(),
                 found.filename().string(), entry.path().filename().string());
        found = entry.path();
    }
    return found;
}

} // namespace tnl
