// Whatever the bytes: validation, repair and the stream agree, and repaired text is valid.
#include "text/utf8.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const size_t bad = first_invalid_utf8(text);
    int64_t replaced = 0;
    const std::string repaired = replace_invalid_utf8(text, &replaced);
    if (first_invalid_utf8(repaired) != std::string_view::npos) std::abort();
    if ((bad == std::string_view::npos) != (replaced == 0)) std::abort();
    if (bad == std::string_view::npos && repaired != text) std::abort();
    for (size_t step : {size_t{1}, size_t{3}, size_t{7}}) {
        Utf8Stream stream;
        std::string out;
        for (size_t at = 0; at < size; at += step) {
            const std::string piece = stream.feed(text.substr(at, step));
            if (first_invalid_utf8(piece) != std::string_view::npos) std::abort();
            if (stream.held() > 3) std::abort();
            out += piece;
        }
        if (out + stream.finish() != repaired) std::abort();
    }
    return 0;
}
