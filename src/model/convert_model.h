// The weights of one directory into another, tensor by tensor: of memory it takes one piece.
#pragma once

#include "model/adapter.h"

#include <filesystem>
#include <optional>

namespace tnl {

struct ConvertOptions {
    std::optional<DType> dtype; // of every stored weight: bf16, f32, f16 or f64; none: as it is
    uint64_t max_shard_bytes = uint64_t{5} << 30;
    const Adapter* adapter = nullptr; // added to the weights, in f32
};

struct ConvertedWeights {
    int64_t tensors = 0, parameters = 0;
    uint64_t bytes = 0;
    DType dtype = DType::f32; // of the embedding: what config.json then calls torch_dtype
};

// Reads whatever TensorFiles opens in `source`, checks names, shapes and dtypes against `config`
// and that every value is finite, and writes safetensors into the existing `directory`.
ConvertedWeights convert_weights(const std::filesystem::path& source, const ModelConfig& config,
                                 const std::filesystem::path& directory,
                                 const ConvertOptions& options, ThreadPool& threads);

} // namespace tnl
