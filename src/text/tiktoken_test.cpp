// Vocabularies of tiktoken: what files hold, pieces of text, merges against a plain form of them.
#include "base/check.h"
#include "base/rng.h"
#include "text/byte_pairs.h"
#include "text/cl100k_split.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace tnl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Texts = std::vector<std::string>;

Texts pieces_of(std::string_view text) {
    Texts out;
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
        end = cl100k_piece_end(text, begin);
        EXPECT_GT(end, begin);
        out.emplace_back(text.substr(begin, end - begin));
    }
    return out;
}

TEST(Cl100kSplit, Pieces) {
    const std::pair<const char*, Texts> cases[] = {
        {"And the king", {"And", " the", " king"}},
        {"it's I'LL we'Ve he'd 'tis don\xE2\x80\x99t",
         {"it", "'s", " I", "'LL", " we", "'Ve", " he", "'d", " '", "tis", " don",
          "\xE2\x80\x99t"}},
        {"'\xC5\xBF", {"'\xC5\xBF"}}, // the long s is an s
        {"'rx 're", {"'rx", " '", "re"}},
        {"12345 1 \xC2\xBD", {"123", "45", " ", "1", " ", "\xC2\xBD"}},
        {"a  b   c", {"a", " ", " b", "  ", " c"}},
        {"a  ", {"a", "  "}},
        {"x \n\n  y", {"x", " \n\n", " ", " y"}},
        {"\r\n\tz", {"\r\n", "\tz"}},
        {"a...\n\nb !? c", {"a", "...\n\n", "b", " !?", " c"}},
        {"(word) $9", {"(word", ")", " $", "9"}},
        {"\xE3\x80\x80\xE6\x9D\xB1", {"\xE3\x80\x80\xE6\x9D\xB1"}}, // ideographic space
        {"a\xFF\xFE!b", {"a", "\xFF\xFE!", "b"}},
        {"\xE2\x82", {"\xE2\x82"}},
    };
    for (const auto& [text, want] : cases) EXPECT_EQ(pieces_of(text), want) << text;
}

TEST(Unicode, Classes) {
    const auto kind = [](const char* text) { return char_at(text, 0).kind; };
    for (const char* letter : {"a", "Z", "é", "ß", "中", "ا", "ʰ", "ǅ", "𐐀"})
        EXPECT_EQ(kind(letter), CharClass::letter) << letter;
    for (const char* number : {"7", "½", "Ⅷ", "٣", "²"})
        EXPECT_EQ(kind(number), CharClass::number) << number;
    for (const char* space :
         {" ", "\t", "\v", "\xC2\x85", "\xC2\xA0", "\xE2\x80\xA8", "\xE3\x80\x80"})
        EXPECT_EQ(kind(space), CharClass::space) << space;
    for (const char* other : {"!", "_", "\x01", "€", "😀", "\xCC\x81", "\xE2\x80\x8B", "\xFF"})
        EXPECT_EQ(kind(other), CharClass::other) << other;
    EXPECT_EQ(kind("\n"), CharClass::line);
    EXPECT_EQ(char_at("a", 1).bytes, 0u);
}

// The same by scanning all pairs for each merge.
std::vector<int32_t> plainly(const BytePairs& pairs, std::string_view piece) {
    Texts parts;
    for (const char c : piece) parts.emplace_back(1, c);
    for (;;) {
        int32_t best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
            const int32_t rank = pairs.rank(parts[i] + parts[i + 1]);
            if (rank >= 0 && (best < 0 || rank < best)) {
                best = rank;
                at = i;
            }
        }
        if (best < 0) break;
        parts[at] += parts[at + 1];
        parts.erase(parts.begin() + static_cast<int64_t>(at) + 1);
    }
    std::vector<int32_t> out;
    for (const std::string& part : parts) out.push_back(pairs.rank(part));
    return out;
}

Texts all_bytes() {
    Texts out;
    for (int i = 0; i < 256; ++i) out.emplace_back(1, static_cast<char>(i));
    return out;
}

TEST(BytePairs, AsScanningEveryPair) {
    const Philox numbers{1, 2};
    uint64_t drawn = 0;
    const auto draw = [&](uint64_t below) { return numbers.below(drawn++, below); };
    for (int round = 0; round < 40; ++round) {
        Texts tokens = all_bytes();
        while (tokens.size() < 400) { // of few letters, so that ranks conflict
            std::string token;
            for (uint64_t n = 2 + draw(4); n > 0; --n)
                token += static_cast<char>('a' + static_cast<int>(draw(3)));
            tokens.push_back(token);
        }
        const BytePairs pairs(tokens);
        BytePairs::Scratch scratch;
        for (int i = 0; i < 50; ++i) {
            std::string piece;
            for (uint64_t n = 1 + draw(60); n > 0; --n)
                piece += static_cast<char>('a' + static_cast<int>(draw(4)));
            std::vector<int32_t> got;
            pairs.encode(piece, got, scratch);
            const int32_t whole = pairs.rank(piece);
            EXPECT_EQ(got, whole >= 0 ? std::vector{whole} : plainly(pairs, piece)) << piece;
        }
    }
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; ++i)
            bits = bits << 8 |
                   (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
        for (size_t i = 0; i < 4; ++i)
            out += at + i > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * i) & 63];
    }
    return out;
}

std::string file_of(const Texts& tokens) {
    std::string out;
    for (size_t rank = 0; rank < tokens.size(); ++rank)
        out += base64(tokens[rank]) + " " + std::to_string(rank) + "\n";
    return out;
}

Texts small() {
    Texts tokens = all_bytes();
    for (const char* token : {"th", " the", "he", " th", "in", "ing", " k", "\xE6\x9D"})
        tokens.emplace_back(token);
    return tokens;
}

TEST(Tiktoken, AnyBytesRoundTrip) {
    const Tokenizer t = Tokenizer::from_bytes(file_of(small()), "test");
    EXPECT_EQ(t.kind(), "tiktoken");
    EXPECT_EQ(t.vocab_size(), 265);
    EXPECT_EQ(t.eos(), 264);
    EXPECT_EQ(t.piece(264), "<|endoftext|>");
    EXPECT_EQ(t.piece(257), "\xE2\x96\x81the");
    EXPECT_EQ(t.piece('\n'), "<0x0A>");
    EXPECT_FALSE(t.adds_leading_space());
    EXPECT_THAT(t.encode(" thing"), ElementsAre(259, 261));
    const Philox numbers{3, 4};
    for (uint64_t i = 0; i < 500; ++i) {
        std::string text;
        for (uint64_t k = 0; k < i; ++k)
            text += static_cast<char>(numbers.below(i * 1000 + k, i % 2 ? 256 : 128));
        const std::vector<int32_t> ids = t.encode(text);
        EXPECT_EQ(t.decode(ids), text);
        std::string joined;
        size_t at = 0;
        for (const Tokenizer::Token& token : t.encode_tokens(text)) {
            EXPECT_EQ(token.begin, at);
            at = token.end;
            joined += t.token_bytes(token.id);
        }
        EXPECT_EQ(joined, text);
        EXPECT_EQ(at, text.size());
    }
    EXPECT_EQ(t.decode(t.encode("<|endoftext|>")), "<|endoftext|>"); // it stays text
    EXPECT_EQ(t.decode({264}), "");
    EXPECT_THROW(t.decode({265}), Error);
}

TEST(Tiktoken, IdsOfTheReleasedVocabulary) {
    Texts tokens = all_bytes();
    for (int a = 0; a < 256 && tokens.size() < 100256; ++a)
        for (int b = 0; b < 256 && tokens.size() < 100256; ++b)
            tokens.push_back({static_cast<char>(a), static_cast<char>(b)});
    for (int a = 0; tokens.size() < 100256; ++a)
        tokens.push_back({'x', static_cast<char>(a >> 8), static_cast<char>(a)});
    std::string file = file_of(tokens);
    for (size_t at = 0; (at = file.find('\n', at)) != file.npos; at += 2) file.insert(at, "\r");
    const Tokenizer t = Tokenizer::from_bytes(file, "test");
    EXPECT_EQ(t.vocab_size(), 100263);
    EXPECT_EQ(t.eos(), 100257);
    EXPECT_EQ(t.bos(), 100261);
    EXPECT_EQ(t.pad(), 100262);
    EXPECT_EQ(t.unk(), -1);
    EXPECT_EQ(t.piece(100256), "<|unused 100256|>");
}

TEST(Tiktoken, LongWordsTakeNoLonger) {
    const Tokenizer t = Tokenizer::from_bytes(file_of(small()), "test");
    std::string text(2'000'000, 'h'); // one piece; by scanning pairs this would take hours
    for (size_t i = 1; i < text.size(); i += 3) text[i] = 'e';
    EXPECT_EQ(t.decode(t.encode(text)), text);
}

TEST(Tiktoken, DamagedFilesAreRefused) {
    const auto error = [](const std::string& file) {
        try {
            Tokenizer::from_bytes(file, "x.tiktoken");
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string("taken");
    };
    const std::string good = file_of(small());
    EXPECT_EQ(error(good), "taken");
    EXPECT_THAT(error(good + "aGk= 3\n"), HasSubstr("x.tiktoken:265: rank 3 is there twice"));
    EXPECT_THAT(error(good + "dGg= 264\n"), HasSubstr("is there twice, as 256 and 264"));
    EXPECT_THAT(error(good + "a*== 264\n"), HasSubstr("x.tiktoken:265: no base64"));
    EXPECT_THAT(error(good + "aGl= 264\n"), HasSubstr("no base64")); // bits left over
    EXPECT_THAT(error(good + "aGk=\n"), HasSubstr("no rank"));
    EXPECT_THAT(error(good + "aGk= 12x\n"), HasSubstr("no rank"));
    EXPECT_THAT(error(good + "aGk= 99999999\n"), HasSubstr("rank 99999999, wanted 0 to"));
    EXPECT_THAT(error(good + "aGk= 9999\n"), HasSubstr("most ranks are missing"));
    EXPECT_THAT(error(good.substr(good.find('\n') + 1)), HasSubstr("the byte 0x00 alone"));
}

TEST(Tiktoken, FoundInADirectory) {
    namespace fs = std::filesystem;
    const fs::path folder = fs::path(::testing::TempDir()) / "tiktoken_found";
    fs::remove_all(folder);
    EXPECT_EQ(find_tokenizer(folder), fs::path());
    fs::create_directories(folder);
    std::ofstream(folder / "a.tiktoken") << file_of(small());
    EXPECT_EQ(find_tokenizer(folder), folder / "a.tiktoken");
    std::ofstream(folder / "b.tiktoken") << "x";
    EXPECT_THROW(find_tokenizer(folder), Error);
    fs::copy_file(folder / "a.tiktoken", folder / "tokenizer.model"); // told by its content
    EXPECT_EQ(Tokenizer(find_tokenizer(folder)).kind(), "tiktoken");
    fs::remove_all(folder);
}

} // namespace
} // namespace tnl
