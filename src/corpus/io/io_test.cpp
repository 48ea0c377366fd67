#include "base/check.h"
#include "base/file.h"
#include "corpus/io/record_reader.h"
#include "corpus/io/record_writer.h"

#include <gmock/gmock.h>

#include <zlib.h>

#include <fstream>

namespace tnl::corpus {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CorpusIo : public ::testing::Test {
  protected:
    void SetUp() override {
        folder_ = fs::path(::testing::TempDir()) /
                  ::testing::UnitTest::GetInstance()->current_test_info()->name();
        fs::remove_all(folder_);
        fs::create_directories(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }
    fs::path put(const std::string& name, const std::string& content) {
        std::ofstream(folder_ / name, std::ios::binary) << content;
        return folder_ / name;
    }
    fs::path put_gz(const std::string& name, const std::vector<std::string>& members) {
        const fs::path path = folder_ / name;
        for (const std::string& member : members) {
            gzFile file = gzopen(path.c_str(), "ab");
            gzwrite(file, member.data(), static_cast<unsigned>(member.size()));
            gzclose(file);
        }
        return path;
    }
    static std::vector<Record> read(const fs::path& path, const RecordOptions& options = {}) {
        RecordReader reader(path, options);
        std::vector<Record> out;
        for (Record record; reader.next(record);) out.push_back(record);
        return out;
    }
    static std::string error_of(const fs::path& path, const RecordOptions& options = {}) {
        try {
            read(path, options);
        } catch (const Error& error) {
            return error.what();
        }
        ADD_FAILURE() << "no error for " << path;
        return "";
    }
    static std::string line_of(const Record& record) {
        std::string out;
        record.append_json(out);
        return out;
    }
    fs::path folder_;
};

TEST_F(CorpusIo, OtherFieldsStayAsTheyAre) {
    const std::vector<std::string> lines = {
        R"({"id": "a", "text": "one\ntwo \u00e9 \"q\"", "n": 1.50, "m": {"text": "inner", "x": [1, {"a": "}"}]}})",
        R"({"m":{"text":[]},"text":"é😀\ud83d\ude00","z":null})",
        R"( {  "n" : -0e1 , "text" : ""  } )",
        R"({"text":"\\","id":12})",
    };
    std::string file;
    for (const std::string& line : lines) file += line + "\n\n"; // blank lines are no records
    const std::vector<Record> records = read(put("a.jsonl", file));
    ASSERT_EQ(records.size(), lines.size());
    const char* const texts[] = {"one\ntwo é \"q\"", "é😀😀", "", "\\"};
    const char* const ids[] = {"a", "a.jsonl/1", "a.jsonl/2", "12"};
    for (size_t i = 0; i < lines.size(); ++i) {
        EXPECT_EQ(records[i].text, texts[i]);
        EXPECT_EQ(records[i].id, ids[i]);
        EXPECT_EQ(records[i].index, static_cast<int64_t>(i));
        EXPECT_EQ(records[i].line, static_cast<int64_t>(2 * i + 1));
        std::string trimmed = lines[i];
        while (trimmed.back() == ' ') trimmed.pop_back();
        EXPECT_EQ(line_of(records[i]), trimmed + "\n");
    }
    Record changed = records[0];
    changed.set_text("tab\t\x01\"\\é\n");
    EXPECT_EQ(
        line_of(changed),
        R"({"id": "a", "text": "tab\t\u0001\"\\é\n", "n": 1.50, "m": {"text": "inner", "x": [1, {"a": "}"}]}})"
        "\n");
    const std::vector<Record> again = read(put("b.jsonl", line_of(changed)));
    EXPECT_EQ(again[0].text, changed.text);
}

TEST_F(CorpusIo, FieldsByDottedName) {
    RecordOptions options;
    options.fields = {"url", "meta.url", "meta.n", "a.b", "none"};
    const auto records =
        read(put("a.jsonl",
                 R"({"text": "t", "url": "u\n", "meta": {"url": "v", "n": 1e3}, "a.b": true})"),
             options);
    EXPECT_THAT(records[0].fields, ElementsAre("u\n", "v", "1e3", "true", ""));
}

TEST_F(CorpusIo, WhatIsWrongIsNamed) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({"text": "a"} x)", "a.jsonl:2: invalid JSON at line 1, column 15"},
        {R"({"text": "a", "b": tru})", "invalid JSON"},
        {R"({"text": "a", "b": 01})", "invalid JSON"},
        {R"({"text": "a", "b": [1,]})", "invalid JSON"},
        {R"({"text": "\ud800"})", "invalid JSON"},
        {R"({"text": "a", "b": "\x"})", "invalid JSON"},
        {R"({"text": 12})", "a.jsonl:2: field 'text' is 12, wanted a string"},
        {R"({"tex": "a"})", "a.jsonl:2: the record has no field 'text', wanted one"},
        {R"({"text": "a", "text": "b"})", "the record has two fields 'text', wanted one"},
        {R"({"te\u0078t": "a"})", "is written with escapes"},
        {R"(["text"])", "the record is no JSON object"},
        {"{\"text\": \"a\xff\"}", "a.jsonl:2: invalid UTF-8 at byte 11"},
    };
    RecordOptions skip;
    skip.bad_record = BadRecord::skip;
    skip.bad_utf8 = BadUtf8::skip;
    for (const auto& [line, wanted] : cases) {
        const fs::path path =
            put("a.jsonl", std::string("{\"text\":\"first\"}\n") + line + "\n{\"text\":\"last\"}");
        EXPECT_THAT(error_of(path), HasSubstr(wanted)) << line;
        RecordReader reader(path, skip);
        std::vector<std::string> texts;
        for (Record record; reader.next(record);) texts.push_back(record.text);
        EXPECT_THAT(texts, ElementsAre("first", "last")) << line;
        EXPECT_EQ(reader.counts().skipped, 1);
    }
    RecordOptions replace;
    replace.bad_utf8 = BadUtf8::replace;
    const auto repaired = read(put("a.jsonl", "{\"text\": \"a\xff\"}"), replace);
    EXPECT_EQ(repaired[0].text, "a\uFFFD");
    EXPECT_THAT(error_of(put("a.jsonl", "{\"text\":\"" + std::string(5000000, 'a') + "\"}"),
                         {.chunks = {.max_record_bytes = 1 << 20}}),
                HasSubstr("a.jsonl:1: the record that begins here has 1048576 bytes or more"));
}

TEST_F(CorpusIo, ChunksNeverChangeTheRecords) {
    std::string lines, text;
    for (int i = 0; i < 3000; ++i) {
        const std::string body(static_cast<size_t>(i % 977), static_cast<char>('a' + i % 26));
        lines += fmt::format("{{\"id\":{},\"text\":\"{}\"}}\r\n", i, body);
        text += fmt::format("{}\n{}--\n", i, body + "\n");
    }
    const fs::path jsonl = put("a.jsonl", lines), plain = put("a.txt", text);
    const auto whole = read(jsonl), documents = read(plain, {.chunks = {.separator = "--"}});
    ASSERT_EQ(whole.size(), 3000u);
    ASSERT_EQ(documents.size(), 3000u);
    EXPECT_EQ(documents[2].text, "2\ncc\n");
    EXPECT_EQ(documents[2].line, 7);
    EXPECT_EQ(line_of(documents[2]), "{\"id\": \"a.txt/2\", \"text\": \"2\\ncc\\n\"}\n");
    for (const size_t chunk : {size_t{1}, size_t{1000}, size_t{300000}}) {
        RecordOptions options;
        options.chunks = {.chunk_bytes = chunk, .separator = "--"};
        const auto parts = read(jsonl, options), texts = read(plain, options);
        ASSERT_EQ(parts.size(), whole.size());
        ASSERT_EQ(texts.size(), documents.size());
        for (size_t i = 0; i < whole.size(); ++i) {
            EXPECT_EQ(line_of(parts[i]), line_of(whole[i]));
            EXPECT_EQ(texts[i].text, documents[i].text);
            EXPECT_EQ(texts[i].line, documents[i].line);
        }
    }
}

std::string warc_record(const std::string& type, const std::string& id, const std::string& body) {
    return fmt::format("WARC/1.0\r\nWARC-Type: {}\r\nWARC-Record-ID: {}\r\nwarc-target-uri: "
                       "http://x.org/{}\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n",
                       type, id, id, body.size(), body);
}

TEST_F(CorpusIo, TextsOfWetFiles) {
    const std::vector<std::string> members = {
        warc_record("warcinfo", "i", "software: x\r\n\r\n"),
        warc_record("conversion", "<urn:1>", "Hello\r\n\r\nyou\n"),
        warc_record("conversion", "<urn:2>", "zwei é")};
    RecordOptions options;
    options.fields = {"url"};
    for (const size_t chunk : {size_t{1}, size_t{1} << 20}) {
        options.chunks.chunk_bytes = chunk;
        const fs::path path = put_gz(fmt::format("{}.warc.wet.gz", chunk), members);
        RecordReader reader(path, options);
        std::vector<Record> records;
        for (Record record; reader.next(record);) records.push_back(record);
        ASSERT_EQ(records.size(), 2u);
        EXPECT_EQ(reader.counts().passed_over, 1);
        EXPECT_EQ(line_of(records[0]), "{\"id\": \"<urn:1>\", \"url\": \"http://x.org/<urn:1>\", "
                                       "\"text\": \"Hello\\r\\n\\r\\nyou\\n\"}\n");
        EXPECT_EQ(records[1].text, "zwei é");
        EXPECT_EQ(records[1].line, 3);
        EXPECT_THAT(records[1].fields, ElementsAre("http://x.org/<urn:2>"));
    }
    const std::string good = warc_record("conversion", "a", "text");
    EXPECT_THAT(
        error_of(put("a.warc", good.substr(0, good.size() - 6))),
        HasSubstr("a.warc: record 1: Content-Length is 4, but the file ends after 2 bytes"));
    EXPECT_THAT(error_of(put("a.warc", good + "HTTP/1.1 200\r\n")),
                HasSubstr("a.warc: record 2: begins with \"HTTP/\", wanted \"WARC/\""));
    EXPECT_THAT(error_of(put("a.warc", "WARC/1.0\r\nA: b\r\n\r\n")),
                HasSubstr("record 1: has no Content-Length"));
    EXPECT_THAT(error_of(put("a.warc", "WARC/1.0\r\nContent-Length: 1x\r\n\r\n")),
                HasSubstr("Content-Length is \"1x\", wanted a number of bytes"));
}

TEST_F(CorpusIo, FramesAreOneFile) {
    const fs::path one = folder_ / "one.jsonl.zst", two = folder_ / "two.jsonl.zst";
    std::string all;
    RecordWriter writer(one, 3, 1000);
    RecordWriter by_frames(two, 3, 1000);
    FrameEncoder encoder;
    std::string lines;
    for (int i = 0; i < 500; ++i) {
        Record record;
        record.before = fmt::format("{{\"id\":{},\"text\":", i);
        record.after = "}";
        record.set_text(std::string(static_cast<size_t>(i), 'x'));
        writer.add(record);
        record.append_json(lines);
        if (lines.size() < 1000) continue;
        std::string frame;
        encoder.append_frame(frame, lines);
        by_frames.add_frame(frame);
        lines.clear();
    }
    EXPECT_FALSE(fs::exists(one));
    if (!lines.empty()) {
        std::string frame;
        encoder.append_frame(frame, lines);
        by_frames.add_frame(frame);
    }
    writer.commit();
    by_frames.commit();
    EXPECT_EQ(read_file(one), read_file(two));
    const auto records = read(one);
    ASSERT_EQ(records.size(), 500u);
    EXPECT_EQ(records[499].text.size(), 499u);
    RecordWriter(folder_ / "none.jsonl.zst").commit();
    EXPECT_TRUE(read(folder_ / "none.jsonl.zst").empty());
}

} // namespace
} // namespace tnl::corpus
