// Whatever a file of text holds, reading it ends, with documents of valid UTF-8 or an Error. The
// first byte says how the file is called and what is done with invalid UTF-8.
#include "base/check.h"
#include "testing/fuzz_file.h"
#include "text/reader.h"
#include "text/utf8.h"

#include <array>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    if (size == 0) return 0;
    constexpr std::array<const char*, 4> kNames = {"a.txt", "a.jsonl", "a.txt.gz", "a.jsonl.zst"};
    constexpr std::array<BadUtf8, 3> kPolicies = {BadUtf8::error, BadUtf8::replace, BadUtf8::skip};
    ReaderOptions options;
    options.max_bytes = 1 << 20;
    options.bad_utf8 = kPolicies[data[0] / 8 % kPolicies.size()];
    if (data[0] & 4) options.separator = "--";
    const auto path = testing::fuzz_file(kNames[data[0] % 4], data + 1, size - 1);
    try {
        DocumentReader reader({path.string()}, options);
        for (Document document; reader.next(document);) {
            if (document.text.empty() || document.line < 1) std::abort();
            if (first_invalid_utf8(document.text) != std::string::npos) std::abort();
        }
    } catch (const Error&) {
    }
    return 0;
}
