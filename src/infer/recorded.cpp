#include "infer/recorded.h"

#include "base/check.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace tnl {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

void check_shape(const SafetensorsFile& file, const std::string& tensor,
                 const std::vector<int64_t>& shape) {
    const TensorInfo& info = file.at(tensor);
    if (info.shape != shape)
        fail("{}: tensor \"{}\" has shape {}, wanted {}", file.name(), tensor, info.shape_string(),
             shape_text(shape));
}

void check_finite(const SafetensorsFile& file, const std::string& tensor) {
    const std::vector<double> values = file.floats(tensor);
    for (size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]))
            fail("{}: tensor \"{}\" holds {} at {}, wanted finite numbers", file.name(), tensor,
                 values[i], coordinate(file.at(tensor).shape, static_cast<int64_t>(i)));
}

std::vector<std::string> others(const SafetensorsFile& file,
                                const std::unordered_set<std::string>& known) {
    std::vector<std::string> names;
    for (const TensorInfo& t : file.header().tensors)
        if (!known.contains(t.name)) names.push_back(t.name);
    return names;
}

} // namespace

std::string coordinate(const std::vector<int64_t>& shape, int64_t index) {
    std::vector<int64_t> at(shape.size());
    for (size_t d = shape.size(); d-- > 0;) {
        at[d] = index % std::max<int64_t>(shape[d], 1);
        index /= std::max<int64_t>(shape[d], 1);
    }
    return shape_text(at);
}

// Integers [sequences, columns], each in [0, limit).
std::vector<int32_t> Recorded::read_ids(const char* tensor, int64_t columns, int64_t limit) const {
    check_shape(file_, tensor, {sequences, columns});
    const std::vector<int64_t> wide = file_.integers(tensor);
    for (size_t i = 0; i < wide.size(); ++i)
        if (wide[i] < 0 || wide[i] >= limit)
            fail("{}: tensor \"{}\" holds {} at {}, wanted 0 to {}", file_.name(), tensor, wide[i],
                 coordinate({sequences, columns}, static_cast<int64_t>(i)), limit - 1);
    return {wide.begin(), wide.end()};
}

void Recorded::check_floats(const std::string& tensor, const std::vector<int64_t>& shape) const {
    check_shape(file_, tensor, shape);
    check_finite(file_, tensor);
}

Recorded::Recorded(const std::filesystem::path& path, const ModelConfig& config) : file_(path) {
    // What lies in [sequences, length] of the first two decides the other shapes.
    const bool recurrent = !config.is_llama();
    for (const auto& [tensor, columns] :
         {std::pair{"input_ids", &length}, std::pair{"greedy_ids", &steps}}) {
        if (columns == &steps && !recurrent) continue;
        const TensorInfo& info = file_.at(tensor);
        if (info.shape.size() != 2 || info.size() == 0)
            fail("{}: tensor \"{}\" has shape {}, wanted [sequences, tokens], at least 1 each",
                 file_.name(), tensor, info.shape_string());
        if (columns == &length) sequences = info.shape[0];
        *columns = info.shape[1];
    }
    ids = read_ids("input_ids", length, config.vocab_size);
    if (recurrent) greedy = read_ids("greedy_ids", steps, config.vocab_size);
    if (config.position_embeddings > 0 && length + steps > config.position_embeddings)
        fail("{}: sequences of {} and {} tokens, but the model has learned positions up to {}",
             file_.name(), length, steps, config.position_embeddings);

    std::unordered_set<std::string> known{"input_ids", "prefill_logits", "train_loss"};
    if (recurrent) known.insert({"greedy_ids", "attention_mask", "decode_logits"});
    if (recurrent && file_.find("attention_mask") != nullptr)
        mask = read_ids("attention_mask", length, 2);
    check_floats("prefill_logits", {sequences, length, config.vocab_size});
    if (recurrent) check_floats("decode_logits", {sequences, steps, config.vocab_size});
    for (int64_t l = 0; recurrent && l < config.decoder_layers; ++l) {
        const std::string name = fmt::format("prefill_state.{}", l);
        known.insert(name);
        check_floats(name, {sequences, config.decoder_attention_heads, config.key_dim(l),
                            config.head_dim()});
    }
    if (length == 1) {
        known.erase("train_loss"); // the mean of nothing, NaN in most recordings
    } else if (file_.find("train_loss") != nullptr) {
        if (file_.at("train_loss").size() != 1) check_shape(file_, "train_loss", {1});
        check_finite(file_, "train_loss");
        train_loss = file_.floats("train_loss").front();
    } else if (mask.empty()) {
        static_cast<void>(file_.at("train_loss")); // throws with the names there are
    }
    unknown = others(file_, known);
    for (const std::string& name : unknown)
        if (name.starts_with("prefill_state."))
            fail("{}: has a tensor \"{}\", but the model has layers 0 to {}", file_.name(), name,
                 config.decoder_layers - 1);
}

int64_t Recorded::left_padding(int64_t row) const {
    int64_t padding = 0;
    while (padding < length && !counts(row, padding)) ++padding;
    if (padding == length) return -1;
    for (int64_t t = padding; t < length; ++t)
        if (!counts(row, t)) return -1;
    return padding;
}

RecordedGradients::RecordedGradients(const std::filesystem::path& path, const ParamTable& table)
    : file_(path) {
    std::unordered_set<std::string> known;
    for (const Param& p : table.all()) {
        known.insert(p.name);
        check_shape(file_, p.name, p.shape);
        check_finite(file_, p.name);
    }
    unknown = others(file_, known);
}

} // namespace tnl
