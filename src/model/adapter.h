// Adapters (lora.h) as directories that Hugging Face's PEFT reads and writes too:
// adapter_config.json and adapter_model.safetensors, f32, "base_model.model.<layer>.lora_A.weight"
// [rank,in] and "...lora_B.weight" [out,rank].
#pragma once

#include "model/model.h"
#include "model/tensor_files.h"

#include <filesystem>
#include <string>

namespace tnl {

// The model that an adapter was trained on.
struct AdapterBase {
    std::string path;     // of its directory
    std::string checksum; // weights_checksum of it; empty: not known
};

// XXH3-64 over name, dtype, shape and data of all tensors of a directory, by name.
std::string weights_checksum(const std::filesystem::path& directory);

class Adapter {
  public:
    // Throws naming file and field of what is missing, ill-formed, or another kind of adapter than
    // this project computes (DoRA, biases, ranks that differ, ...).
    explicit Adapter(const std::filesystem::path& directory);

    const LoraOptions& lora() const { return lora_; }
    const AdapterBase& base() const { return base_; }

    // Throws naming every tensor that is missing, unknown or of a wrong shape for the model, which
    // has lora().
    void check(const Model& model) const;
    // Checks, and fills the adapters of flat [flat_size], memory of `device`.
    void load(const Model& model, const Tensor& flat, Device& device) const;

    // Elements [begin, end) of a weight [out,in] of the model, f32 in host memory, to which its
    // adapter's s B A is added in f32. A weight without one stays.
    void merge(const Param& weight, int64_t begin, int64_t end, float* values,
               ThreadPool& threads) const;

  private:
    TensorFiles::Place place_of(const Param& param) const; // empty if absent
    std::vector<float> floats(const TensorFiles::Place& place, ThreadPool& threads) const;
    std::filesystem::path directory_;
    AdapterBase base_;
    LoraOptions lora_;
    SafetensorsFile file_;
};

// Writes both files into an existing directory. trained [trained_size]: f32 or bf16, on `device`.
void write_adapter(const std::filesystem::path& directory, const Model& model,
                   const Tensor& trained, Device& device, const AdapterBase& base);

} // namespace tnl
