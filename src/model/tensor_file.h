// A mapped file of named tensors, whichever its format.
#pragma once

#include "base/file.h"
#include "tensor/dtype.h"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tnl {

struct TensorInfo {
    std::string name;
    std::string dtype; // as safetensors calls it: "F32", "BF16", "I64", "BOOL", ...
    std::vector<int64_t> shape;
    uint64_t begin = 0, end = 0; // bytes within the data
    int64_t size() const;        // elements
    std::string shape_string() const;
    std::optional<DType> type() const; // absent for the formats that this project has no use for
};

class TensorFile {
  public:
    virtual ~TensorFile() = default;
    TensorFile(const TensorFile&) = delete;
    TensorFile& operator=(const TensorFile&) = delete;

    const std::string& name() const { return name_; }
    virtual const std::vector<TensorInfo>& tensors() const = 0; // checked: ranges lie in the file
    virtual uint64_t data_offset() const = 0;                   // of the data within the file
    const TensorInfo* find(const std::string& tensor) const;    // null if absent
    // C order, little endian, perhaps unaligned.
    std::span<const std::byte> bytes(const TensorInfo& tensor) const;

  protected:
    explicit TensorFile(const std::filesystem::path& path);
    void make_index(); // of tensors(), once they are known

    MappedFile file_;
    std::string name_;

  private:
    std::unordered_map<std::string, size_t> index_;
};

} // namespace tnl
