// What import and export share.
#pragma once

#include "cli/cli.h"
#include "model/config.h"

#include <string>

namespace tnl {

struct Conversion {
    std::string source, output, adapter, dtype = "keep";
    uint64_t shard_bytes = uint64_t{5} << 30;
    int threads = 0;
    bool without_tokenizer = false, json = false;
};

void add_conversion_options(CLI::App& command, Conversion& conversion);

// Writes weights, generation_config.json, tokenizer files and config_json(config, its torch_dtype
// set) as the new directory conversion.output, whole or not at all, and says what it wrote.
// `code`: a folder whose .py files are copied too; "": none.
void convert(const Conversion& conversion, std::string (*config_json)(const ModelConfig&),
             const std::string& code = "");

} // namespace tnl
