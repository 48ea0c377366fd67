// The tensors of a directory: model.safetensors or pytorch_model.bin, or shards of either that
// model.safetensors.index.json or pytorch_model.bin.index.json names. Safetensors come first.
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
        const TensorFile* file = nullptr;
        const TensorInfo* info = nullptr;
        explicit operator bool() const { return info != nullptr; }
    };
    // Whether there is anything to open.
    static bool present(const std::filesystem::path& directory);
    // Throws where none of the files is there, where a shard is missing, or where index and shards
    // disagree about which tensor is where.
    explicit TensorFiles(const std::filesystem::path& directory);

    Place find(const std::string& tensor) const; // empty if absent
    const std::vector<Place>& all() const { return places_; }
    const std::string& name() const { return name_; } // the file, or the index, for errors

  private:
    void open_index(const std::filesystem::path& index);
    const TensorFile* open(const std::filesystem::path& file);
    std::string name_;
    std::vector<std::unique_ptr<TensorFile>> files_;
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
