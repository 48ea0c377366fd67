// Whatever an index of shards says, it is refused with an Error or every tensor lies in its shard.
#include "base/check.h"
#include "model/tensor_files.h"
#include "testing/fuzz_file.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    static const bool shard_written = [] {
        SafetensorsWriter writer(testing::fuzz_directory() / "a.safetensors",
                                 {{"x", "F32", {2}, 0, 0}, {"y", "F32", {1}, 0, 0}});
        const float values[3] = {1, 2, 3};
        writer.write(values, sizeof values);
        writer.finish();
        return true;
    }();
    if (!shard_written) std::abort();
    testing::fuzz_file("model.safetensors.index.json", data, size);
    try {
        const TensorFiles files(testing::fuzz_directory());
        for (const TensorFiles::Place& place : files.all())
            if (place.file->bytes(*place.info).empty()) std::abort();
    } catch (const Error&) {
    }
    return 0;
}
