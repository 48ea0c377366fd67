#include "model/convert_model.h"

#include "model/checkpoint.h"
#include "model/convert.h"
#include "model/tensor_files.h"

#include <algorithm>
#include <set>

namespace tnl {
namespace {

constexpr int64_t kPiece = int64_t{1} << 24; // elements

} // namespace

ConvertedWeights convert_weights(const std::filesystem::path& source, const ModelConfig& config,
                                 const std::filesystem::path& directory,
                                 const ConvertOptions& options, ThreadPool& threads) {
    want_floats(config.weights, "converting");
    const Model model(config);
    const ParamTable& table = model.params();
    const TensorFiles files(source);
    check_weights(files, table);
    ConvertedWeights out;
    std::vector<TensorInfo> tensors;
    int64_t largest = 0;
    for (const Param& p : table.all()) {
        const DType dtype = options.dtype ? *options.dtype : *files.find(p.name).info->type();
        if (tensors.empty()) out.dtype = dtype; // the embedding comes first
        tensors.push_back({p.name, std::string(safetensors_name(dtype)), p.shape, 0, 0});
        out.bytes += static_cast<uint64_t>(p.size * size_of(dtype));
        largest = std::max(largest, p.size);
    }
    out.tensors = static_cast<int64_t>(tensors.size());
    out.parameters = table.parameter_count();
    const auto stage = std::make_unique_for_overwrite<std::byte[]>(
        static_cast<size_t>(std::min(largest, kPiece)) * sizeof(double));
    std::vector<float> sums;
    std::set<std::string> targets; // weights that the adapter changes
    if (options.adapter) {
        sums.resize(static_cast<size_t>(std::min(largest, kPiece)));
        const Model adapted(config, options.adapter->lora());
        options.adapter->check(adapted);
        for (const Param& p : adapted.params().adapters())
            targets.insert(p.name.substr(0, p.name.rfind(".lora_")) + ".weight");
    }
    const auto write = [&](SafetensorsWriter& writer, const TensorInfo& t) {
        const TensorFiles::Place place = files.find(t.name);
        const DType dtype = *t.type();
        for (int64_t begin = 0; begin < t.size(); begin += kPiece) {
            const int64_t end = std::min(t.size(), begin + kPiece);
            if (targets.contains(t.name)) {
                read_elements(place, begin, end, DType::f32, sums.data(), threads);
                const Param& p = table[table.find(t.name)];
                options.adapter->merge(p, begin, end, sums.data(), threads);
                const int64_t bad =
                    convert_floats(dtype, stage.get(), DType::f32,
                                   reinterpret_cast<const std::byte*>(sums.data()), end - begin);
                if (bad >= 0)
                    fail("{} with its adapter holds {} at index {}, which is no finite {}", t.name,
                         sums[static_cast<size_t>(bad)], begin + bad, name_of(dtype));
            } else {
                read_elements(place, begin, end, dtype, stage.get(), threads);
            }
            writer.write(stage.get(), static_cast<size_t>((end - begin) * size_of(dtype)));
        }
    };
    write_tensor_files(directory, tensors, options.max_shard_bytes, write);
    return out;
}

} // namespace tnl
