#include "corpus/jobs/file_hash.h"

#include "base/check.h"

#include <sys/stat.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

namespace tnl::corpus {
namespace {

std::string hex(XXH128_hash_t hash) {
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

} // namespace

FileIdentity glance(const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        fail("{}: cannot stat: {}", path.string(), std::strerror(errno));
    return {static_cast<uint64_t>(info.st_size),
            int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec,
            {}};
}

FileIdentity identify(const std::filesystem::path& path) {
    FileIdentity out = glance(path);
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("{}: cannot open", path.string());
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                                XXH3_freeState);
    XXH3_128bits_reset(state.get());
    std::vector<char> block(size_t{1} << 18);
    while (file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        XXH3_128bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
    }
    if (file.bad()) fail("{}: cannot read", path.string());
    out.xxh3 = hex(XXH3_128bits_digest(state.get()));
    return out;
}

std::string hash_text(std::string_view text) { return hex(XXH3_128bits(text.data(), text.size())); }

} // namespace tnl::corpus
