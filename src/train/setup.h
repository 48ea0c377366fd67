// From a config to what a run needs: where its data and tokenizer are, a model that fits them, the
// number of its steps, its first weights.
#pragma once

#include "data/shard.h"
#include "train/batch_source.h"
#include "train/config.h"
#include "train/learner.h"

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tnl {

// Tokenizes data.train and data.validation where they are text files (.jsonl, .txt), into
// `directory`, and makes them and data.tokenizer name what is there. The model says whether
// documents begin with bos. The same files give the same tokens, so that a run that goes on may do
// it again. Throws UsageError where there is no tokenizer or where validation is shards beside
// text.
void tokenize_text_data(TrainConfig& config, const std::filesystem::path& directory,
                        std::FILE* out);

// Replaces data.* by absolute paths of shards and of a tokenizer.model: a directory that tokenize
// wrote stands for its train/ and val/. Throws UsageError where data.train is empty, and naming the
// path where one is not there.
void find_data(DataConfig& data);

// The shards of a run, opened and checked.
struct RunData {
    explicit RunData(const TrainConfig& config);
    ShardSet train;
    std::optional<ShardSet> validation;
    ShardSource train_source;
    std::optional<ShardSource> validation_source;
};

// Takes vocabulary size, special tokens and dtype of the model from the data, its tokenizer and the
// run, but for the keys that were given (read_train_config); throws where those given cannot be.
void fit_model(TrainConfig& config, const ShardSet& data, const std::vector<std::string>& given);

// Seconds that a step takes on this device, the median of a few, with random weights. Takes all the
// run's memory meanwhile; leaves the source where it began.
double measure_step_seconds(const TrainConfig& config, const Model& model, Device& device,
                            BatchSource& source);

// The run's first weights, [flat_size] f32: random, or those of config.init, adapters as they
// begin.
std::vector<float> first_weights(const TrainConfig& config, const Model& model);

} // namespace tnl
