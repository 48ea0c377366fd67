// The tensors of a directory: model.safetensors, or shards named by model.safetensors.index.json.
#pragma once

#include "model/safetensors.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tnl {

class TensorFiles {
  public:
    struct Place {
        const SafetensorsFile* file = nullptr;
        const TensorInfo* info = nullptr;
        explicit operator bool() const { return info != nullptr; }
    };
    // Throws where neither file is there, where a shard is missing, or where index and shards
    // disagree about which tensor is where.
    explicit TensorFiles(const std::filesystem::path& directory);

    Place find(const std::string& tensor) const; // empty if absent
    const std::vector<Place>& all() const { return places_; }
    const std::string& name() const { return name_; } // the file, or the index, for errors

  private:
    void open_index(const std::filesystem::path& directory);
    std::string name_;
    std::vector<std::unique_ptr<SafetensorsFile>> files_;
    std::vector<Place> places_;
    std::unordered_map<std::string, size_t> index_;
};

// Writes tensors as one file, or as model-00001-of-000NN.safetensors with an index where they
// exceed max_shard_bytes (a larger tensor gets a shard of its own). fill(writer, tensor) must write
// the data of that tensor.
void write_tensor_files(const std::filesystem::path& directory,
                        const std::vector<TensorInfo>& tensors, uint64_t max_shard_bytes,
                        const std::function<void(SafetensorsWriter&, const TensorInfo&)>& fill);

} // namespace tnl
