// What a reference implementation computed from a checkpoint, recorded in safetensors files.
//   input_ids [B,T], greedy_ids [B,G]: integers. attention_mask [B,T]: optional, 0 at padding
//   prefill_logits [B,T,V]
//   prefill_state.<layer> [B,H,D,E]: after the last token, that token at weight 1
//   greedy_ids: the continuation that always takes the largest logit, first that of the prompt
//   decode_logits [B,G,V]: after each of greedy_ids
//   train_loss [1]: mean cross-entropy of the next token over input_ids; optional where there is a
//   mask, and left alone where no token has a next one
// Of a llama model, which has no recurrence, there are input_ids, prefill_logits and train_loss.
// Gradients of train_loss lie in a file of their own, under the parameters' names.
#pragma once

#include "model/params.h"
#include "model/safetensors.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tnl {

class Recorded {
  public:
    // Throws naming file and field where one is missing, of a wrong shape or dtype, out of range or
    // not finite.
    Recorded(const std::filesystem::path& path, const ModelConfig& config);

    int64_t sequences = 0, length = 0, steps = 0; // B, T, G
    std::vector<int32_t> ids;                     // [B,T]
    std::vector<int32_t> mask;                    // [B,T]; empty: no padding
    std::vector<int32_t> greedy;                  // [B,G]
    std::optional<double> train_loss;
    std::vector<std::string> unknown; // tensors that are none of these, or left alone

    bool counts(int64_t row, int64_t token) const {
        return mask.empty() || mask[static_cast<size_t>(row * length + token)] != 0;
    }
    // Masked tokens at the left of a row where none is masked after them, and -1 for any other row.
    int64_t left_padding(int64_t row) const;
    std::vector<double> values(const std::string& tensor) const { return file_.floats(tensor); }

  private:
    std::vector<int32_t> read_ids(const char* tensor, int64_t columns, int64_t limit) const;
    void check_floats(const std::string& tensor, const std::vector<int64_t>& shape) const;
    SafetensorsFile file_;
};

class RecordedGradients {
  public:
    // Throws likewise, in terms of the parameters of `table`.
    RecordedGradients(const std::filesystem::path& path, const ParamTable& table);
    std::vector<std::string> unknown;
    std::vector<double> values(const std::string& parameter) const {
        return file_.floats(parameter);
    }

  private:
    SafetensorsFile file_;
};

// "[1, 299, 17]": element `index` (row major) of a tensor.
std::string coordinate(const std::vector<int64_t>& shape, int64_t index);

} // namespace tnl
