// The safetensors format: u64 little-endian length n, n bytes of JSON
//   {"__metadata__": {text: text}, name: {"dtype": "BF16", "shape": [..], "data_offsets": [b, e]},
//   ..}
// then the data, little endian, C order. Offsets count from the start of the data.
// The reader is strict: ranges inside the file, no overlap, no hole, no duplicate name, lengths
// that agree with shape and dtype, a header of at most 100 MB. Every error names file, tensor,
// offset.
#pragma once

#include "model/tensor_file.h"

#include <map>
#include <memory>

namespace tnl {

std::string_view safetensors_name(DType dtype); // "F32"

struct SafetensorsHeader {
    std::vector<TensorInfo> tensors; // in the order of the data
    std::map<std::string, std::string> metadata;
    uint64_t data_offset = 0; // of the data within the file
};

// Checks and reads the header of a whole file in memory. `name` stands for the file in errors.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& name);

class SafetensorsFile : public TensorFile {
  public:
    explicit SafetensorsFile(const std::filesystem::path& path);
    const SafetensorsHeader& header() const { return header_; }
    const std::vector<TensorInfo>& tensors() const override { return header_.tensors; }
    uint64_t data_offset() const override { return header_.data_offset; }
    const TensorInfo& at(const std::string& tensor) const; // throws with the names there are

    // Whole tensors as numbers; throws where the dtype is of the other kind. BOOL reads as 0 and 1.
    std::vector<int64_t> integers(const std::string& tensor) const;
    std::vector<double> floats(const std::string& tensor) const;

  private:
    SafetensorsHeader header_;
};

// Writes a file in one pass: the header first, then the data of each tensor in the order of
// tensors(). The file appears under its name at finish(), whole and on disk, or never.
class SafetensorsWriter {
  public:
    // tensors: name, dtype and shape are read; the writer orders them (widest dtype first, then by
    // name, so that every tensor is aligned) and sets begin and end.
    SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                      const std::map<std::string, std::string>& metadata = {{"format", "pt"}});
    const std::vector<TensorInfo>& tensors() const { return tensors_; }
    void write(const void* data, size_t bytes);
    void finish(); // throws if the bytes written are not those announced

  private:
    std::vector<TensorInfo> tensors_;
    std::string name_;
    std::unique_ptr<AtomicFile> file_;
    uint64_t expected_ = 0, written_ = 0;
};

// Bytes of a tensor of this dtype and shape; throws naming the tensor.
uint64_t safetensors_bytes(const TensorInfo& tensor, const std::string& file);

} // namespace tnl
