// Vocabularies of tiktoken, byte pair encoding over bytes: lines of a token in base64, a space, and
// its rank, which is its id. Text is cut into pieces (cl100k_split.h); in each the adjacent pair
// whose union has the lowest rank is merged, the leftmost first, until none is left.
#include "base/check.h"
#include "text/byte_pairs.h"
#include "text/cl100k_split.h"
#include "text/tokenizer_model.h"
#include "text/utf8.h"

#include <charconv>

namespace tnl {
namespace {

constexpr int32_t kMostRanks = 1 << 20;

// The file has no special tokens. TransNormerLLM-15B's ids are those of its config.json; the names
// are those of the vocabulary's first user, where it has them.
constexpr int32_t kReleasedRanks = 100256;
constexpr std::pair<int32_t, const char*> kReleasedSpecials[] = {
    {100257, "<|endoftext|>"},  {100258, "<|fim_prefix|>"}, {100259, "<|fim_middle|>"},
    {100260, "<|fim_suffix|>"}, {100261, "<|bos|>"},        {100262, "<|pad|>"}};

int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// False where `code` is no base64 of whole bytes.
bool decode_base64(std::string_view code, std::string& out) {
    out.clear();
    if (code.empty() || code.size() % 4 != 0) return false;
    for (int padding = 0; padding < 2 && code.ends_with('='); ++padding) code.remove_suffix(1);
    uint32_t bits = 0;
    int count = 0;
    for (const char c : code) {
        const int digit = base64_digit(c);
        if (digit < 0) return false;
        bits = bits << 6 | static_cast<uint32_t>(digit);
        if ((count += 6) < 8) continue;
        count -= 8;
        out += static_cast<char>(bits >> count & 0xFF);
    }
    return (bits & ((1u << count) - 1)) == 0;
}

// Parts of one line; empty where it is none.
struct Line {
    std::string_view code, rank;
};
Line split_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t space = line.find(' ');
    if (space == line.npos) return {};
    return {line.substr(0, space), line.substr(space + 1)};
}

// For people: spaces as U+2581, bytes that show nothing or are no UTF-8 as <0x0A>.
std::string shown(const std::string& bytes) {
    std::string out;
    for (size_t at = 0; at < bytes.size();) {
        const Utf8Char c = first_utf8(std::string_view(bytes).substr(at));
        if (c.code == ' ')
            out += "\xE2\x96\x81";
        else if (c.valid && c.code >= 0x20 && c.code != 0x7F)
            out += bytes.substr(at, c.bytes);
        else
            for (size_t i = 0; i < c.bytes; ++i)
                out += fmt::format("<0x{:02X}>", static_cast<unsigned char>(bytes[at + i]));
        at += c.bytes;
    }
    return out;
}

class Tiktoken final : public TokenizerModel {
  public:
    Tiktoken(std::string file, const std::string& name) {
        kind = "tiktoken";
        serialized = std::move(file);
        read_ranks(name);
        for (int byte = 0; byte < 256; ++byte)
            if (pairs_.rank(std::string(1, static_cast<char>(byte))) < 0)
                fail("{}: has no token of the byte 0x{:02X} alone: texts with it could not be "
                     "encoded",
                     name, byte);
        add_specials();
    }

    void encode(std::string_view text, std::vector<int32_t>& out) const override {
        BytePairs::Scratch scratch;
        for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
            end = cl100k_piece_end(text, begin);
            pairs_.encode(text.substr(begin, end - begin), out, scratch);
        }
    }
    std::vector<Tokenizer::Token> encode_tokens(std::string_view text) const override {
        std::vector<int32_t> ids;
        encode(text, ids);
        std::vector<Tokenizer::Token> out;
        size_t at = 0;
        for (const int32_t id : ids) {
            const size_t size = bytes[static_cast<size_t>(id)].size();
            out.push_back({id, at, at + size});
            at += size;
        }
        return out;
    }
    std::string decode(const std::vector<int32_t>& ids) const override {
        std::string out;
        for (const int32_t id : ids) out += bytes[static_cast<size_t>(id)];
        return out;
    }

  private:
    void read_ranks(const std::string& name) {
        const std::string_view file = serialized;
        int64_t number = 0, known = 0;
        std::string token;
        for (size_t at = 0; at < file.size();) {
            ++number;
            const size_t end = std::min(file.find('\n', at), file.size());
            const Line line = split_line(file.substr(at, end - at));
            at = end + 1;
            const auto bad = [&](const std::string& what) {
                fail("{}:{}: {}; wanted a token in base64, a space, and its rank", name, number,
                     what);
            };
            int32_t rank = -1;
            const char* last = line.rank.data() + line.rank.size();
            const auto parsed = std::from_chars(line.rank.data(), last, rank);
            if (line.rank.empty() || parsed.ec != std::errc() || parsed.ptr != last)
                bad("no rank at the end");
            if (rank < 0 || rank >= kMostRanks)
                bad(fmt::format("rank {}, wanted 0 to {}", rank, kMostRanks - 1));
            if (!decode_base64(line.code, token)) bad("no base64");
            if (static_cast<size_t>(rank) >= bytes.size())
                bytes.resize(static_cast<size_t>(rank) + 1);
            std::string& place = bytes[static_cast<size_t>(rank)];
            if (!place.empty()) bad(fmt::format("rank {} is there twice", rank));
            place = token;
            ++known;
        }
        if (static_cast<size_t>(known) * 2 < bytes.size())
            fail("{}: {} tokens with ranks up to {}: most ranks are missing", name, known,
                 bytes.size() - 1);
        for (size_t id = 0; id < bytes.size(); ++id)
            pieces.push_back(bytes[id].empty() ? fmt::format("<|unused {}|>", id)
                                               : shown(bytes[id]));
        pairs_ = BytePairs(bytes);
        for (size_t id = 0; id < bytes.size(); ++id)
            if (!bytes[id].empty() && pairs_.rank(bytes[id]) != static_cast<int32_t>(id))
                fail("{}: the token {} is there twice, as {} and {}", name, pieces[id],
                     pairs_.rank(bytes[id]), id);
    }

    void add_specials() {
        const auto ranks = static_cast<int32_t>(bytes.size());
        const auto add = [&](int32_t id, const char* special) {
            for (auto at = static_cast<int32_t>(bytes.size()); at <= id; ++at) {
                bytes.emplace_back();
                pieces.push_back(fmt::format("<|unused {}|>", at));
            }
            pieces[static_cast<size_t>(id)] = special;
        };
        if (ranks != kReleasedRanks) return add(eos = ranks, "<|endoftext|>");
        for (const auto& [id, special] : kReleasedSpecials) add(id, special);
        eos = 100257;
        bos = 100261;
        pad = 100262;
    }

    BytePairs pairs_;
};

} // namespace

bool looks_like_tiktoken(std::string_view file) {
    const Line line = split_line(file.substr(0, std::min(file.find('\n'), size_t{4096})));
    std::string token;
    return !line.rank.empty() && line.rank.find_first_not_of("0123456789") == line.rank.npos &&
           decode_base64(line.code, token);
}

std::unique_ptr<TokenizerModel> open_tiktoken(std::string serialized, const std::string& name) {
    return std::make_unique<Tiktoken>(std::move(serialized), name);
}

} // namespace tnl
