// Whatever the bytes, parsing either throws Error or returns tensors that lie inside the file and
// have the bytes of their shape.
#include "base/check.h"
#include "model/safetensors.h"
#include "model/torch_file.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    try {
        for (const TensorInfo& t : parse_torch(std::as_bytes(std::span(data, size)), "fuzz")) {
            if (t.begin > t.end || t.end > size) std::abort();
            if (t.end - t.begin != safetensors_bytes(t, "fuzz")) std::abort();
        }
    } catch (const Error&) {
    }
    return 0;
}
