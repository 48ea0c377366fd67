#include "base/check.h"
#include "base/file.h"
#include "text/reader.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <gtest/gtest.h>

#include <zlib.h>
#include <zstd.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace tnl {
namespace {

TEST(Utf8, ValidAndInvalidSequences) {
    const size_t valid = std::string_view::npos;
    for (const char* good : {"", "a", "é", "€", "😀", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF",
                             "\xEE\x80\x80", "\xE0\xA0\x80", "\xF0\x90\x80\x80"})
        EXPECT_EQ(first_invalid_utf8(good), valid) << good;
    const std::pair<std::string, size_t> bad[] = {
        {"ab\x80", 2},   // lone continuation
        {"\xC0\xAF", 0}, // overlong
        {"\xC1\xBF", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xED\xA0\x80", 0},     // surrogate
        {"\xF4\x90\x80\x80", 0}, // past U+10FFFF
        {"\xF5\x80\x80\x80", 0},
        {"\xFF", 0},
        {"x\xE2\x82", 1}, // truncated
        {"\xE2\x82"
         "a",
         0},
    };
    for (const auto& [text, at] : bad) EXPECT_EQ(first_invalid_utf8(text), at);
}

TEST(Utf8, ReplacesMaximalPieces) {
    int64_t n = 0;
    EXPECT_EQ(replace_invalid_utf8("a\xE2\x82"
                                   "b\xFF\xF0\x9F\x98",
                                   &n),
              "a\uFFFD"
              "b\uFFFD\uFFFD");
    EXPECT_EQ(n, 3);
}

TEST(Utf8, AStreamNeverSplitsACharacter) {
    const std::string text = "aé€😀z\xFFq";
    const std::string whole = replace_invalid_utf8(text);
    for (size_t step = 1; step <= text.size(); ++step) {
        Utf8Stream stream;
        std::string out;
        for (size_t at = 0; at < text.size(); at += step) {
            const std::string part = stream.feed(std::string_view(text).substr(at, step));
            EXPECT_EQ(first_invalid_utf8(part), std::string_view::npos);
            out += part;
        }
        EXPECT_EQ(out + stream.finish(), whole);
    }
    Utf8Stream stream;
    EXPECT_EQ(stream.feed("\xF0\x9F"), "");
    EXPECT_EQ(stream.held(), 2u);
    EXPECT_EQ(stream.finish(), "\uFFFD");
}

class Reading : public ::testing::Test {
  protected:
    void SetUp() override {
        folder = std::filesystem::path(::testing::TempDir()) /
                 (std::string("text_") +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    std::string put(const std::string& name, const std::string& content) const {
        std::ofstream(folder / name, std::ios::binary) << content;
        return (folder / name).string();
    }
    static std::string gzip(const std::string& text) {
        z_stream z{};
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        std::string out(text.size() + 1000, '\0');
        z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
        z.avail_in = static_cast<uInt>(text.size());
        z.next_out = reinterpret_cast<Bytef*>(out.data());
        z.avail_out = static_cast<uInt>(out.size());
        deflate(&z, Z_FINISH);
        out.resize(z.total_out);
        deflateEnd(&z);
        return out;
    }
    static std::string zstd(const std::string& text) {
        std::string out(ZSTD_compressBound(text.size()), '\0');
        out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
        return out;
    }
    static std::vector<std::string> read(const std::vector<std::string>& inputs,
                                         const ReaderOptions& options = {}) {
        DocumentReader reader(inputs, options);
        std::vector<std::string> out;
        for (Document d; reader.next(d);) out.push_back(d.text);
        return out;
    }
    static std::string error(const std::vector<std::string>& inputs,
                             const ReaderOptions& options = {}) {
        try {
            read(inputs, options);
        } catch (const Error& e) {
            return e.what();
        }
        return "no error";
    }
    std::filesystem::path folder;
};

TEST_F(Reading, TextAndJsonlPlainAndCompressed) {
    std::string text, records;
    std::vector<std::string> lines;
    for (int i = 0; i < 5000; ++i) {
        const std::string line = "line " + std::to_string(i * i) + " é";
        text += line + "\n";
        records += "{\"id\": 1, \"text\": \"" + line + "\"}\n";
        lines.push_back(line);
    }
    using V = std::vector<std::string>;
    EXPECT_EQ(read({put("a.txt", text)}), V{text});
    EXPECT_EQ(read({put("a.txt.gz", gzip(text))}), V{text});
    EXPECT_EQ(read({put("a.txt.zst", zstd(text))}), V{text});
    EXPECT_EQ(read({put("two.gz", gzip(text) + gzip("more"))}), V{text + "more"});
    EXPECT_EQ(read({put("a.jsonl", records)}), lines);
    EXPECT_EQ(read({put("a.jsonl.gz", gzip(records))}), lines);
    EXPECT_EQ(read({put("b.jsonl.zst", zstd(records))}), lines);
    EXPECT_EQ(read({(folder / "*.jsonl*").string()}).size(), 3 * lines.size());
    EXPECT_EQ(read({put("s.txt", "one\n--\ntwo\nthree")}, {.separator = "--"}),
              (V{"one\n", "two\nthree"}));
    EXPECT_EQ(read({put("no_newline.txt", "end")}), V{"end"});
    EXPECT_EQ(read({put("blank.txt", " \n\n")}), V{});
}

TEST_F(Reading, ErrorsNameFileAndPlace) {
    const std::string text(300000, 'x');
    EXPECT_NE(error({(folder / "nothing*").string()}).find("nothing"), std::string::npos);
    for (auto [name, data] : {std::pair{"t.gz", gzip(text)}, std::pair{"t.zst", zstd(text)}}) {
        const std::string message = error({put(name, data.substr(0, data.size() - 5))});
        EXPECT_NE(message.find(name), std::string::npos) << message;
        EXPECT_NE(message.find("truncated"), std::string::npos) << message;
    }
    std::string broken = gzip("some text that is long enough to have a middle, middle, middle");
    broken[25] = static_cast<char>(~broken[25]);
    EXPECT_NE(error({put("c.gz", broken)}).find("corrupt"), std::string::npos);
    EXPECT_NE(error({put("j.jsonl", "{\"text\":\"a\"}\n{\"text\":\n")}).find("j.jsonl:2"),
              std::string::npos);
    EXPECT_NE(error({put("f.jsonl", "{\"body\":\"a\"}\n")}).find("'text'"), std::string::npos);
    EXPECT_NE(error({put("n.jsonl", "{\"text\":5}\n")}).find("number"), std::string::npos);
    EXPECT_NE(error({put("l.jsonl", "[1]\n")}).find("array"), std::string::npos);
    EXPECT_NE(error({put("u.txt", "ok \xFF")}).find("invalid UTF-8 at byte 3"), std::string::npos);
    EXPECT_EQ(read({put("u.txt", "ok \xFF")}, {.bad_utf8 = BadUtf8::replace}).at(0), "ok \uFFFD");
    EXPECT_TRUE(read({put("u.txt", "ok \xFF")}, {.bad_utf8 = BadUtf8::skip}).empty());
    for (const char* name : {"d.gz", "d.zst"})
        for (const char* data : {"", "plain text", "\x1F"})
            EXPECT_NE(error({put(name, data)}).find("it does not begin as such"),
                      std::string::npos);
    EXPECT_NE(error({put("deep.jsonl", std::string(100000, '[') + "\n")}).find("deeper"),
              std::string::npos);
    EXPECT_EQ(
        read({put("u.jsonl", "{\"text\":\"a\xFF\"}\n")}, {.bad_utf8 = BadUtf8::replace}).at(0),
        "a\uFFFD");
}

TEST_F(Reading, PipesAreReadWhole) {
    for (const std::string& data :
         {std::string("some text"), gzip("some text"), zstd("some text")}) {
        const std::string pipe = (folder / "pipe").string();
        ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
        std::thread writer([&] { std::ofstream(pipe, std::ios::binary) << data; });
        EXPECT_EQ(read({pipe}), std::vector<std::string>{"some text"});
        writer.join();
        std::filesystem::remove(pipe);
    }
}

TEST_F(Reading, FramesOfSomethingElseArePassedOver) {
    const std::string frame("\x5A\x2A\x4D\x18\x03\x00\x00\x00"
                            "abc",
                            11);
    EXPECT_EQ(read({put("a.zst", frame + zstd("text"))}), std::vector<std::string>{"text"});
}

TEST_F(Reading, ADocumentTooLargeForMemoryIsNamed) {
    const std::string long_line(1000, 'x');
    const std::string text = put("a.txt", "short\n--\n" + long_line + "\n" + long_line),
                      records = put("a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"" + long_line);
    EXPECT_NE(error({text}, {.max_bytes = 2000})
                  .find("a.txt:1: the document that begins here has "
                        "2000 bytes or more"),
              std::string::npos);
    EXPECT_NE(error({text}, {.separator = "--", .max_bytes = 1500}).find("a.txt:3"),
              std::string::npos);
    EXPECT_NE(error({records}, {.max_bytes = 500}).find("a.jsonl:2"), std::string::npos);
    EXPECT_EQ(read({text}, {.separator = "--", .max_bytes = 5000}).size(), 2u);
}

class Tokenizing : public Reading {
  protected:
    static Tokenizer small() {
        std::vector<std::string> lines;
        for (int i = 0; i < 400; ++i)
            lines.push_back("the quick brown fox number " + std::to_string(i) +
                            " jumps over the lazy dog and says hello to the world");
        size_t at = 0;
        const std::string model =
            train_tokenizer({.vocab_size = 320, .threads = 1}, [&](std::string& line) {
                if (at == lines.size()) return false;
                line = lines[at++];
                return true;
            });
        return Tokenizer::from_bytes(model, "test");
    }
};

TEST_F(Tokenizing, AnyTextRoundTrips) {
    const Tokenizer t = small();
    EXPECT_EQ(t.vocab_size(), 320);
    EXPECT_EQ(t.unk(), 0);
    EXPECT_EQ(t.bos(), 1);
    EXPECT_EQ(t.eos(), 2);
    for (std::string text : {"the quick dog", "  two  spaces  ", "line\none\n\ttab", "日本 😀 é", "",
                             "x", "\n", "a\r\nb"}) {
        const auto ids = t.encode(text);
        EXPECT_EQ(t.decode(ids), text);
        std::string joined;
        for (int32_t id : ids) joined += t.token_bytes(id);
        if (t.adds_leading_space() && !ids.empty()) {
            ASSERT_EQ(joined.at(0), ' ');
            joined.erase(0, 1);
        }
        EXPECT_EQ(joined, text);
    }
    EXPECT_EQ(small().serialized(), t.serialized()) << "training is not deterministic";
}

TEST_F(Tokenizing, LongTextsAreEncodedInPartsWithoutATrace) {
    const Tokenizer t = small();
    std::string sentence = "the quick brown fox, over  the\nlazy 12 dog says hello ", text;
    std::vector<int32_t> want;
    while (text.size() < 300000) text += sentence;
    // Each sentence but the first begins after a space that its leading one stands for.
    sentence.pop_back();
    for (size_t at = 0; at < text.size(); at += sentence.size() + 1) {
        const auto ids = t.encode(sentence);
        want.insert(want.end(), ids.begin(), ids.end());
    }
    text.pop_back();
    EXPECT_EQ(t.encode(text), want);
    EXPECT_EQ(t.decode(t.encode(text)), text);
}

TEST_F(Tokenizing, DamagedModelsAreRefused) {
    const std::string good = small().serialized();
    EXPECT_THROW(Tokenizer{folder / "none.model"}, Error);
    EXPECT_THROW(Tokenizer{put("empty.model", "")}, Error);
    EXPECT_THROW(Tokenizer{put("text.model", "this is no model at all, only some words")}, Error);
    int refused = 0, tried = 0;
    for (size_t size = 1; size < good.size(); size += 97, ++tried) {
        try {
            const Tokenizer t = Tokenizer::from_bytes(good.substr(0, size), "cut.model");
        } catch (const Error& e) {
            ++refused;
            EXPECT_NE(std::string(e.what()).find("cut.model"), std::string::npos);
        }
    }
    EXPECT_EQ(refused, tried);
    EXPECT_THROW(small().decode({5, 320}), Error);
    EXPECT_THROW(train_tokenizer({}, [](std::string&) { return false; }), Error);
    EXPECT_THROW(train_tokenizer({.vocab_size = 30000},
                                 [done = false](std::string& line) mutable {
                                     line = "short";
                                     return !std::exchange(done, true);
                                 }),
                 Error);
}

} // namespace
} // namespace tnl
