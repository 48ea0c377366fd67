// Checkpoints of a run, RUN/checkpoints/step-00001234/: a model directory that Hugging Face tools
// read (config.json, model.safetensors, generation_config.json, tokenizer.model) and what training
// needs to go on bit for bit: optimizer.safetensors (f32: master.<parameter>, which are the weights
// themselves where there are no master weights, m.<parameter>,
// v.<parameter>) and trainer.json. A directory with such a name is whole: it is written under
// another name, flushed, renamed; and renamed again before it is removed. Where adapters are
// trained, they and the optimizer's state of them are all: the model is in the directory that
// adapter_config.json names. `latest` and `best`
// beside them are symbolic links, a convenience: nothing here reads them.
#pragma once

#include "model/adapter.h"
#include "train/learner_copy.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

// What trainer.json holds beside the run's config.
struct TrainerState {
    int64_t step = 0;   // steps done
    int64_t tokens = 0; // read in them
    double seconds = 0; // spent in them
    LoaderState loader; // of the next micro-batch
    Json guard = Json::object();
    std::optional<double> eval_loss; // at this very step
    std::optional<double> best_loss; // lowest of any checkpoint so far
    int64_t best_step = -1;
    std::string device; // that it ran on, with its threads: others may round otherwise
    std::string data;   // BatchSource::fingerprint() of what it was trained on
    std::string base;   // weights_checksum of what its adapters are for; empty: it trains all
};

// trainer.json, with what it says of optimizer.safetensors.
struct StoredState {
    TrainerState state;
    int64_t updates = 0;         // of the weights
    std::string checksum;        // of the data of the optimizer's tensors
    std::string states_checksum; // of the states between pieces; empty: none
};
// Throws naming `name`, which stands for the file, and the field that is missing or wrong.
StoredState parse_trainer_state(std::string_view json, const std::string& name);

// Steps of the checkpoints of a run, ascending; none where there is no such directory.
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& run_directory);

class CheckpointStore {
  public:
    // Makes RUN/checkpoints, claims it for this object (throws where another process trains there),
    // and removes what a killed process left half-written or half-removed.
    CheckpointStore(const std::filesystem::path& run_directory, const CheckpointConfig& config);
    ~CheckpointStore();
    CheckpointStore(const CheckpointStore&) = delete;
    CheckpointStore& operator=(const CheckpointStore&) = delete;

    // Writes the checkpoint of state.step, moves the links, removes those no longer kept. Throws
    // naming what could not be written, or a weight that is not finite; then nothing new is left
    // and the others stand.
    void save(const TrainerState& state, const TrainConfig& config, const LearnerView& learner,
              const std::optional<std::filesystem::path>& tokenizer, const AdapterBase& base = {});

    // Sets the learner's weights and optimizer; throws naming file and field where the checkpoint
    // is damaged or of another model.
    static TrainerState load(const std::filesystem::path& checkpoint, Learner& learner);

    std::vector<int64_t> steps() const; // of all checkpoints, ascending
    std::optional<std::filesystem::path> latest() const;
    std::filesystem::path path_of(int64_t step) const;
    // Removes the checkpoints after `step`: the run goes back to it. Returns how many.
    int64_t remove_after(int64_t step);

  private:
    void remove(int64_t step);
    void link(const char* name, int64_t step);
    void prune(const TrainerState& state);
    std::filesystem::path run_, directory_;
    int lock_ = -1;
    CheckpointConfig config_;
};

} // namespace tnl
