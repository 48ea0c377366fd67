// SentencePiece's models, by libsentencepiece.
#include "base/check.h"
#include "text/model_check.h"
#include "text/tokenizer_model.h"

#include <sentencepiece_processor.h>

#include <cctype>

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

class SentencePiece final : public TokenizerModel {
  public:
    SentencePiece(std::string file, const std::string& name) {
        kind = "SentencePiece";
        check_sentencepiece_model(file, name);
        const auto status = processor_.LoadFromSerializedProto(file);
        if (!status.ok())
            fail("{}: not a SentencePiece model, truncated or corrupt ({} bytes): {}", name,
                 file.size(), status.ToString());
        serialized = std::move(file);
        for (int id = 0; id < processor_.GetPieceSize(); ++id) {
            pieces.push_back(processor_.IdToPiece(id));
            bytes.push_back(bytes_of(id, name));
        }
        unk = processor_.unk_id();
        bos = processor_.bos_id();
        eos = processor_.eos_id();
        pad = processor_.pad_id();
        std::vector<std::string> first;
        if (processor_.Encode("a", &first).ok() && !first.empty())
            leading_space = first.front().compare(0, kSpace.size(), kSpace) == 0;
    }

    void encode(std::string_view text, std::vector<int32_t>& out) const override {
        std::vector<int> ids;
        in_parts(text, [&](std::string_view part, size_t) {
            const auto status = processor_.Encode({part.data(), part.size()}, &ids);
            if (!status.ok()) fail("tokenizer: cannot encode: {}", status.ToString());
            out.insert(out.end(), ids.begin(), ids.end());
        });
    }
    std::vector<Tokenizer::Token> encode_tokens(std::string_view text) const override {
        std::vector<Tokenizer::Token> out;
        in_parts(text, [&](std::string_view part, size_t begin) {
            const auto found = processor_.EncodeAsImmutableProto({part.data(), part.size()});
            for (size_t i = 0; i < found.pieces_size(); ++i) {
                const auto piece = found.pieces(static_cast<int>(i));
                out.push_back(
                    {static_cast<int32_t>(piece.id()), begin + piece.begin(), begin + piece.end()});
            }
        });
        return out;
    }
    std::string decode(const std::vector<int32_t>& ids) const override {
        std::string text;
        const auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
        if (!status.ok()) fail("tokenizer: cannot decode: {}", status.ToString());
        return text;
    }

  private:
    std::string bytes_of(int id, const std::string& name) const {
        const std::string& piece = pieces[static_cast<size_t>(id)];
        std::string out;
        if (processor_.IsByte(id)) { // <0x1F>
            const int high = piece.size() == 6 ? hex_digit(piece[3]) : -1;
            const int low = piece.size() == 6 ? hex_digit(piece[4]) : -1;
            if (high < 0 || low < 0)
                fail("{}: piece {} is of a byte, but called \"{}\"; the model is corrupt", name, id,
                     piece);
            out = static_cast<char>(high * 16 + low);
        } else if (!processor_.IsControl(id) && !processor_.IsUnknown(id)) {
            for (size_t at = 0; at < piece.size();) {
                const bool space = piece.compare(at, kSpace.size(), kSpace) == 0;
                out += space ? " " : piece.substr(at, 1);
                at += space ? kSpace.size() : 1;
            }
        }
        return out;
    }

    // Long texts are encoded in parts: time and memory per byte then stay the same whatever the
    // length. A part ends before a lone space, where no piece goes on: the next part's leading
    // space is that one. encode_part(part, its first byte in the text).
    template <class Encode> void in_parts(std::string_view text, Encode&& encode_part) const {
        for (size_t begin = 0; begin < text.size();) {
            size_t cut = text.size();
            if (cut - begin > kPart) {
                cut = begin + kPart;
                while (cut < text.size() &&
                       !(text[cut] == ' ' && is_word(text, cut - 1) && is_word(text, cut + 1)))
                    ++cut;
            }
            encode_part(text.substr(begin, cut - begin), begin);
            begin = cut == text.size() ? cut : cut + (leading_space ? 1 : 0);
        }
    }

    sentencepiece::SentencePieceProcessor processor_;
};

} // namespace

std::unique_ptr<TokenizerModel> open_sentencepiece(std::string serialized,
                                                   const std::string& name) {
    return std::make_unique<SentencePiece>(std::move(serialized), name);
}

} // namespace tnl
