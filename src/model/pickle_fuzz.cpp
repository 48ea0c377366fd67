// Whatever the bytes, the machine throws Error or ends with values that can be described.
#include "base/check.h"
#include "model/pickle.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    try {
        const Pickle pickle(std::as_bytes(std::span(data, size)), "fuzz",
                            [](std::string_view global) { return global != "os.system"; });
        for (const Pickled* item : pickle.root().items)
            if (item->description().empty()) std::abort();
        for (const auto& [key, value] : pickle.root().pairs)
            if (key->description().empty() || value->description().empty()) std::abort();
    } catch (const Error&) {
    }
    return 0;
}
