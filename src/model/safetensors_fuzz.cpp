// Whatever the bytes, parsing either throws Error or returns ranges that tile the data.
#include "base/check.h"
#include "model/safetensors.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    SafetensorsHeader header;
    try {
        header = parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz");
    } catch (const Error&) {
        return 0;
    }
    uint64_t at = 0;
    for (const TensorInfo& t : header.tensors) {
        if (t.begin != at || t.end < t.begin) std::abort();
        if (t.end - t.begin != safetensors_bytes(t, "fuzz")) std::abort();
        at = t.end;
    }
    if (header.data_offset + at != size) std::abort();
    return 0;
}
