// A model directory, ready to run: config, tokenizer, and weights on a device.
#pragma once

#include "infer/sampler.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

#include <filesystem>
#include <memory>
#include <optional>

namespace tnl {

struct LoadedModel {
    std::unique_ptr<Device> device;
    DType dtype;
    Model model;
    Tokenizer tokenizer;
    OwnedTensor weights; // flat, dtype, on device; some of them in 8 or 4 bits (ParamTable)

    // dtype: "f32", "bf16", or "auto": that of the stored weights, f16 as f32. Throws naming the
    // file that is missing or wrong, and where tokenizer and model disagree on the vocabulary.
    // adapter: directory of one (model/adapter.h) that the model computes with; empty: none. One
    // that was trained on other weights is told on stderr. weights: "int8" or "int4" makes these of
    // what is stored as floats; "keep": as stored.
    LoadedModel(const std::filesystem::path& directory, const std::string& device_spec, int threads,
                const std::string& dtype_name, const std::filesystem::path& adapter = {},
                const std::string& weights = "keep");
    // All but the weights, for those who may not need them; load_weights() brings them.
    struct Unloaded {};
    LoadedModel(Unloaded unloaded, const std::filesystem::path& directory,
                const std::string& device_spec, int threads, const std::string& dtype_name,
                const std::filesystem::path& adapter = {}, const std::string& weights = "keep");
    void load_weights(const std::filesystem::path& directory);

    // Token ids of a text as the model expects its beginning: bos first where the config says so.
    std::vector<int32_t> encode(std::string_view text) const;
};

// The fields of generation_config.json that this project knows; absent where the file or the field
// is.
struct GenerationConfig {
    std::optional<int64_t> max_new_tokens, top_k;
    std::optional<double> temperature, top_p, min_p, repetition_penalty;
    std::vector<int32_t> end_tokens; // eos_token_id: a number or a list
};
// do_sample false means temperature 0. Throws naming file, field and value where it is ill-typed.
GenerationConfig load_generation_config(const std::filesystem::path& directory);

// The sampler that the config asks for, not yet validated: rows of the embedding beyond the
// tokenizer's vocabulary, which stand for no text, are never drawn.
SamplerOptions default_sampler(const GenerationConfig& config, const LoadedModel& loaded);
// The config's, else the model's eos_token_id.
std::vector<int32_t> end_tokens_of(const GenerationConfig& config, const LoadedModel& loaded);

} // namespace tnl
