#include "corpus/jobs/nested_counts.h"

#include <algorithm>

namespace tnl::corpus {

Json nested_counts(const Json& flat) {
    Json out = Json::object();
    for (const auto& [name, value] : flat.items()) {
        Json* at = &out;
        size_t begin = 0;
        for (size_t tab = 0; (tab = name.find('\t', begin)) != std::string::npos; begin = tab + 1)
            at = &(*at)[name.substr(begin, tab - begin)];
        (*at)[name.substr(begin)] = value;
    }
    return out;
}

std::string count_part(std::string_view text) {
    std::string out(text);
    std::replace(out.begin(), out.end(), '\t', ' ');
    return out;
}

} // namespace tnl::corpus
