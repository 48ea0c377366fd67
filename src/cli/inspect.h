// The parts of `transnormer inspect`.
#pragma once

#include "base/json.h"
#include "model/model.h"

#include <filesystem>
#include <optional>
#include <string>

namespace tnl {

struct InspectOptions {
    std::string what;
    // Absent: those of a run or checkpoint, else 8 sequences of 512 tokens in torch_dtype.
    std::optional<int64_t> rows, length;
    std::optional<std::string> dtype;
    LoraOptions lora; // of a run, or asked for
    int64_t slots = 1, chunk = 1024;
    std::string device = "auto";
    bool json = false, all = false;
};

// What there is to say, for people and for programs.
struct Inspection {
    std::string text;
    Json json = Json::object();
};

std::string format_bytes(double bytes); // 950 B, 12.3 MiB
std::string count_of(int64_t n);        // 950, 12.3k

// ---- inspect_model.cpp ----
void inspect_presets(Inspection& out);
// Config, parameters, state, memory of training and inference.
void inspect_model(Inspection& out, const ModelConfig& config, const InspectOptions& options);

// ---- inspect_files.cpp: each throws where the file is damaged ----
void inspect_weights(Inspection& out, const std::filesystem::path& directory,
                     const ModelConfig& config);
// Fills options that are absent with those of the run.
void inspect_run(Inspection& out, const std::filesystem::path& directory, InspectOptions& options,
                 ModelConfig& config);
void inspect_checkpoint(Inspection& out, const std::filesystem::path& directory,
                        InspectOptions& options);
void inspect_adapter(Inspection& out, const std::filesystem::path& directory);
void inspect_shards(Inspection& out, const std::filesystem::path& path);
void inspect_tokenizer(Inspection& out, const std::filesystem::path& path);
void inspect_safetensors(Inspection& out, const std::filesystem::path& path);

} // namespace tnl
