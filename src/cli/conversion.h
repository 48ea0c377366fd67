// What import and export share.
#pragma once

#include "cli/cli.h"
#include "model/config.h"

#include <filesystem>
#include <functional>
#include <string>

namespace tnl {

struct Conversion {
    std::string source, output, adapter, dtype = "keep";
    uint64_t shard_bytes = uint64_t{5} << 30;
    int threads = 0;
    bool without_tokenizer = false, json = false;
};

void add_conversion_options(CLI::App& command, Conversion& conversion);

// What quantize shares of it. Throws where the output exists.
void check_output(const Conversion& conversion);
// Copies the tokenizer's file and what describes it. Returns its number of pieces, 0 without one.
int64_t copy_tokenizer(const Conversion& conversion, const ModelConfig& config,
                       const std::filesystem::path& to);
// The source's, or one that config makes.
void copy_generation_config(const std::filesystem::path& source, const ModelConfig& config,
                            const std::filesystem::path& to);

// Writes weights, generation_config.json, tokenizer files and config_json(config, its torch_dtype
// set) as the new directory conversion.output, whole or not at all, and says what it wrote.
// add(directory) writes what else belongs into the new directory.
void convert(const Conversion& conversion, std::string (*config_json)(const ModelConfig&),
             const std::function<void(const std::filesystem::path& directory)>& add = {});

} // namespace tnl
