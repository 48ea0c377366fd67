// The tensors of a file that torch.save wrote of a state dict (pytorch_model.bin): a zip archive of
// data.pkl, a pickle that describes them (pickle.h), and one entry data/KEY for each storage.
// Nothing is executed. Accepted are a dict or OrderedDict of tensors and parameters that lie on
// whatever device, contiguous, several in one storage if need be. Refused, naming file, offset in
// the pickle or tensor, is everything else: other globals and opcodes, strided views, compressed
// entries, tensors or storages whose sizes disagree, and the format from before PyTorch 1.6.
#pragma once

#include "model/tensor_file.h"

namespace tnl {

// Checks and reads the description in a whole file in memory; begin and end are offsets in it.
// `name` stands for the file in errors.
std::vector<TensorInfo> parse_torch(std::span<const std::byte> file, const std::string& name);

class TorchFile : public TensorFile {
  public:
    explicit TorchFile(const std::filesystem::path& path);
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    uint64_t data_offset() const override { return 0; }

  private:
    std::vector<TensorInfo> tensors_;
};

} // namespace tnl
