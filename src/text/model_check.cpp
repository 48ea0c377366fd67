#include "text/model_check.h"

#include "base/check.h"
#include "text/utf8.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <unordered_set>

namespace tnl {
namespace {

// A message in the wire format of protocol buffers, field by field.
class Message {
  public:
    // begin: offset of `bytes` in the file.
    Message(std::string_view bytes, size_t begin, const std::string& name)
        : bytes_(bytes), begin_(begin), name_(name) {}

    // Moves to the next field; false at the end.
    bool next() {
        if (at_ == bytes_.size()) return false;
        field_at_ = at_;
        const uint64_t key = varint();
        field_ = key >> 3;
        number_ = 0;
        content_ = {};
        switch (key & 7) {
        case 0:
            number_ = varint();
            break;
        case 1:
            content_ = take(8);
            break;
        case 2:
            content_ = take(varint());
            break;
        case 5:
            content_ = take(4);
            break;
        default:
            bad("a field of no known kind");
        }
        kind_ = static_cast<int>(key & 7);
        return true;
    }
    uint64_t field() const { return field_; }
    size_t offset() const { return begin_ + field_at_; } // of the field, in the file

    uint64_t number() const {
        if (kind_ != 0) bad("a field that is no number");
        return number_;
    }
    std::string_view bytes() const {
        if (kind_ != 2) bad("a field that is no text");
        return content_;
    }
    float real() const {
        if (kind_ != 5) bad("a field that is no float");
        float value = 0;
        std::memcpy(&value, content_.data(), sizeof value);
        return value;
    }
    Message message() const {
        return {bytes(), begin_ + static_cast<size_t>(content_.data() - bytes_.data()), name_};
    }
    [[noreturn]] void bad(const std::string& what) const {
        fail("{}: not a SentencePiece model, or corrupt: {} at offset {}", name_, what, offset());
    }

  private:
    uint64_t varint() {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<unsigned char>(take(1).front());
            value |= uint64_t{byte & 0x7Fu} << shift;
            if (byte < 0x80) return value;
        }
        bad("a number that does not end");
    }
    std::string_view take(uint64_t n) {
        if (n > bytes_.size() - at_)
            fail("{}: not a SentencePiece model, or truncated: the field at offset {} ends after "
                 "the {} bytes that there are",
                 name_, offset(), begin_ + bytes_.size());
        const std::string_view out = bytes_.substr(at_, n);
        at_ += n;
        return out;
    }
    std::string_view bytes_;
    size_t begin_, at_ = 0, field_at_ = 0;
    const std::string& name_;
    uint64_t field_ = 0, number_ = 0;
    std::string_view content_;
    int kind_ = 0;
};

enum Type : uint64_t { kNormal = 1, kByte = 6 };

void check_piece(Message piece, size_t id, std::unordered_set<std::string_view>& known) {
    std::string_view text;
    while (piece.next()) {
        if (piece.field() == 1) text = piece.bytes();
        if (piece.field() == 2 && !std::isfinite(piece.real())) piece.bad("a score not finite");
        if (piece.field() == 3 && (piece.number() < kNormal || piece.number() > kByte))
            piece.bad(fmt::format("type {} of a piece", piece.number()));
    }
    const auto bad = [&](const char* what) { piece.bad(fmt::format("piece {} is {}", id, what)); };
    if (text.empty()) bad("empty");
    if (text.find('\0') != text.npos || first_invalid_utf8(text) != text.npos)
        bad("no valid UTF-8 text");
    if (!known.insert(text).second) bad("there twice");
}

// The rules of a normalizer, "precompiled_charsmap": u32 bytes of a trie; the trie; what it maps
// to, strings ended by 0. The trie is a double array (darts-clone) of u32: at unit i, the child for
// byte c is unit i ^ offset ^ c, and the value is in unit i ^ offset if i has a leaf.
void check_rules(const Message& where, std::string_view rules) {
    if (rules.empty()) return; // none
    uint32_t trie_bytes = 0;
    if (rules.size() <= sizeof trie_bytes) where.bad("truncated rules of normalization");
    std::memcpy(&trie_bytes, rules.data(), sizeof trie_bytes);
    rules.remove_prefix(sizeof trie_bytes);
    if (trie_bytes >= rules.size() || trie_bytes % 1024 != 0 || trie_bytes == 0)
        where.bad("truncated rules of normalization");
    const std::string_view texts = rules.substr(trie_bytes);
    if (texts.back() != '\0') where.bad("rules of normalization without an end");
    const size_t units = trie_bytes / 4;
    const auto unit = [&](size_t i) {
        uint32_t value = 0;
        std::memcpy(&value, rules.data() + i * 4, sizeof value);
        return value;
    };
    for (size_t i = 0; i < units; ++i) {
        const uint32_t u = unit(i);
        if (u >> 31) continue; // a value
        const size_t base = i ^ (u >> 10 << ((u & (1u << 9)) >> 6));
        // 256 units from a multiple of 256 on: bytes change no higher bit.
        const bool leaf = (u >> 8 & 1) != 0;
        if (base >= units || (leaf && (unit(base) & 0x7FFFFFFFu) >= texts.size()))
            where.bad("rules of normalization that lead outside");
    }
}

void check_normalizer(Message spec) {
    while (spec.next())
        if (spec.field() == 2) check_rules(spec, spec.bytes());
}

void check_trainer(Message spec) {
    while (spec.next())
        if (spec.field() == 3 && (spec.number() < 1 || spec.number() > 4))
            spec.bad(fmt::format("model type {}", spec.number()));
}

} // namespace

void check_sentencepiece_model(std::string_view model, const std::string& name) {
    std::unordered_set<std::string_view> pieces;
    for (Message m(model, 0, name); m.next();) {
        if (m.field() == 1) check_piece(m.message(), pieces.size(), pieces);
        if (m.field() == 2) check_trainer(m.message());
        if (m.field() == 3 || m.field() == 5) check_normalizer(m.message());
    }
    if (pieces.empty()) fail("{}: the SentencePiece model has no pieces", name);
}

} // namespace tnl
