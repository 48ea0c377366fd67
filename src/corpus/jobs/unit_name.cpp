#include "corpus/jobs/unit_name.h"

#include "corpus/jobs/file_hash.h"

#include <fmt/format.h>

#include <cctype>

namespace tnl::corpus {

std::string unit_name(std::string_view stage, std::string_view input) {
    std::string out = fmt::format("{}-", stage);
    for (const char c : input) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) || c == '-' || c == '.')
            out += c;
        else
            out += fmt::format("_{:02x}", byte);
    }
    // Longer ones are cut; what keeps them apart is behind the cut.
    if (out.size() > 150) out = out.substr(0, 100) + "_" + hash_text(out);
    return out;
}

} // namespace tnl::corpus
