// Whatever a file holds, reading its records ends, with texts of valid UTF-8 and lines that read
// the same again, or with an Error. The first byte says what the file is called and how it is read.
#include "base/check.h"
#include "corpus/io/record_reader.h"
#include "testing/fuzz_file.h"
#include "text/utf8.h"

#include <array>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    using namespace tnl::corpus;
    if (size == 0) return 0;
    constexpr std::array<const char*, 4> kNames = {"a.jsonl", "a.txt", "a.warc", "a.warc.gz"};
    constexpr std::array<BadUtf8, 3> kPolicies = {BadUtf8::error, BadUtf8::replace, BadUtf8::skip};
    RecordOptions options;
    options.fields = {"url", "a.b"};
    options.bad_utf8 = kPolicies[data[0] / 8 % kPolicies.size()];
    options.bad_record = data[0] & 64 ? BadRecord::skip : BadRecord::error;
    options.chunks = {data[0] & 128 ? size_t{1} : size_t{1} << 20, size_t{1} << 20,
                      data[0] & 4 ? "--" : ""};
    const auto path = testing::fuzz_file(kNames[data[0] % 4], data + 1, size - 1);
    std::string lines;
    try {
        RecordReader reader(path, options);
        for (Record record; reader.next(record);) {
            if (first_invalid_utf8(record.text) != std::string::npos) std::abort();
            record.append_json(lines);
        }
    } catch (const Error&) {
    }
    if (lines.empty()) return 0;
    const auto again = testing::fuzz_file(
        "again.jsonl", reinterpret_cast<const uint8_t*>(lines.data()), lines.size());
    RecordReader reader(again);
    std::string second;
    for (Record record; reader.next(record);) record.append_json(second);
    if (second != lines) std::abort();
    return 0;
}
