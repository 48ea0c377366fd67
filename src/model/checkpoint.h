// A model as a directory that Hugging Face tools read too: config.json, generation_config.json,
// model.safetensors (or shards and their index), tokenizer.model.
#pragma once

#include "model/model.h"
#include "model/tensor_files.h"

#include <filesystem>
#include <optional>

namespace tnl {

ModelConfig load_model_config(const std::filesystem::path& directory); // its config.json

// Reads every parameter of `table` but adapters into flat [flat_size] (host memory; f64, f32 or
// bf16), padding and adapters zeroed. Files may hold F64, F32, BF16 or F16; they are mapped and
// converted in place by `threads`, without another copy. Throws naming every tensor that is
// missing, unknown, or of a wrong shape or dtype, and the first weight that is NaN or infinite.
// lm_head.weight beside tied embeddings is accepted if it equals them. A parameter that the table
// keeps in 8 or 4 bits is stored so (U8 [rows, bytes of a row], ops/quant/quant.h), or is made from
// floats here; a head in fewer bits than tied embeddings from these.
void load_weights(const std::filesystem::path& directory, const ParamTable& table, Tensor flat,
                  ThreadPool& threads);

// The first half of that: throws where names, shapes or dtypes are wrong. Values are not read.
void check_weights(const TensorFiles& files, const ParamTable& table);

// Elements [begin, end) of a floating-point tensor into `out`. Throws naming file, index and value
// where one of them is no finite number of `to`.
void read_elements(const TensorFiles::Place& place, int64_t begin, int64_t end, DType to, void* out,
                   ThreadPool& threads);

// The same as load_weights into new memory of a device.
OwnedTensor load_weights_to_device(const std::filesystem::path& directory, const Model& model,
                                   Device& device, DType dtype);

struct SaveOptions {
    DType dtype = DType::bf16; // of the stored weights: bf16, f32, f64 or f16
    uint64_t max_shard_bytes = uint64_t{5} << 30;
    std::optional<std::filesystem::path> tokenizer; // a file, copied as tokenizer.model
};

// The released generation_config.json, without its sampling choices.
std::string generation_config_json(const ModelConfig& config);

// Writes the files of a model, without adapters, into an existing directory. flat [flat_size]:
// memory of `device`, f64, f32 or bf16. For a directory that holds more than a model (a training
// checkpoint), inside an AtomicDirectory of the caller's.
void write_model(const std::filesystem::path& directory, const Model& model, Tensor flat,
                 Device& device, const SaveOptions& options);

// Writes a model as a new directory, or replaces one, atomically.
void save_model(const std::filesystem::path& directory, const Model& model, Tensor flat,
                Device& device, const SaveOptions& options);

} // namespace tnl
