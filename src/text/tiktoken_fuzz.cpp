// Whatever bytes a text has, its pieces cover it, and a tiktoken vocabulary encodes it so that
// decoding gives it back, with tokens that a scan of every pair finds, too.
#include "text/byte_pairs.h"
#include "text/cl100k_split.h"

#include <cstdlib>

namespace {

// The bytes, then every pair and triple of some that texts are made of.
std::vector<std::string> vocabulary() {
    std::vector<std::string> out;
    for (int i = 0; i < 256; ++i) out.emplace_back(1, static_cast<char>(i));
    const std::string_view some = "a e\n1'.\xE2\x82\xAC";
    for (const char a : some)
        for (const char b : some) {
            out.push_back({b, a});
            for (const char c : some) out.push_back({a, c, b});
        }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::vector<std::string> tokens = vocabulary();
    static const tnl::BytePairs pairs(tokens);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    tnl::BytePairs::Scratch scratch;
    for (size_t begin = 0, end = 0; begin < size; begin = end) {
        end = tnl::cl100k_piece_end(text, begin);
        if (end <= begin || end > size) std::abort();
        const std::string_view piece = text.substr(begin, end - begin);
        std::vector<int32_t> ids;
        pairs.encode(piece, ids, scratch);
        std::string joined;
        for (const int32_t id : ids) joined += tokens[static_cast<size_t>(id)];
        if (joined != piece) std::abort();
        // No pair that could be merged is left.
        for (size_t i = 0; i + 1 < ids.size(); ++i)
            if (pairs.rank(tokens[static_cast<size_t>(ids[i])] +
                           tokens[static_cast<size_t>(ids[i + 1])]) >= 0)
                std::abort();
    }
    return 0;
}
