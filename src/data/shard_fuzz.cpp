// Whatever a shard holds, it is refused with an Error or reads within its bounds. The checksums are
// made right where the first byte is odd, as nothing else would ever pass them.
#include "base/check.h"
#include "data/loader.h"
#include "testing/fuzz_file.h"

#include <xxhash.h>

#include <cstddef>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    if (size == 0) return 0;
    std::string file(reinterpret_cast<const char*>(data) + 1, size - 1);
    ShardHeader header;
    if (data[0] % 2 == 1 && file.size() >= sizeof header) {
        std::memcpy(&header, file.data(), sizeof header);
        header.data_checksum =
            XXH3_64bits(file.data() + sizeof header, file.size() - sizeof header);
        header.header_checksum = XXH3_64bits(&header, offsetof(ShardHeader, header_checksum));
        std::memcpy(file.data(), &header, sizeof header);
    }
    const auto path = testing::fuzz_file("shard-00000.tnl", file.data(), file.size());
    try {
        const ShardSet shards(path);
        Loader loader(shards, {.row_tokens = 1 + data[0] / 2 % 8}, {});
        TokenRows rows;
        for (int i = 0; i < 4; ++i) {
            loader.next(3, rows);
            for (const int32_t id : rows.ids)
                if (id < 0 || id >= shards.vocab_size()) std::abort();
            for (size_t s = 1; s < rows.cu_seqlens.size(); ++s)
                if (rows.cu_seqlens[s] <= rows.cu_seqlens[s - 1]) std::abort();
            if (rows.cu_seqlens.back() != static_cast<int32_t>(rows.ids.size())) std::abort();
        }
    } catch (const Error&) {
    }
    return 0;
}
