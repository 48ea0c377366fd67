#include "train/checkpoint.h"

#include "base/atomic_directory.h"
#include "base/file.h"
#include "base/json.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr int kFormat = 2;

struct Buffer3 {
    const char* prefix; // of tensor names
    Tensor flat;        // f32, or bf16 weights that have no master; where the device reaches it
};
std::array<Buffer3, 3> buffers(const LearnerView& learner) {
    return {{{"master.", learner.trained()}, {"m.", learner.m}, {"v.", learner.v}}};
}

// As f32, which holds every bf16. flat: of the parameters from `first` of the table's on.
std::vector<float> download(Device& device, const Tensor& flat, const Param& p, int64_t first) {
    std::vector<float> out(static_cast<size_t>(p.size));
    const Tensor part = flat.slice(0, p.offset - first, p.offset - first + p.size);
    if (flat.dtype == DType::f32) {
        device.download(out.data(), part.data, out.size() * sizeof(float));
        return out;
    }
    std::vector<bf16> narrow(out.size());
    device.download(narrow.data(), part.data, narrow.size() * sizeof(bf16));
    std::copy(narrow.begin(), narrow.end(), out.begin());
    return out;
}

std::optional<int64_t> step_of(const std::string& name) {
    if (!name.starts_with(kPrefix)) return std::nullopt;
    int64_t step = 0;
    const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size();
    const auto [at, error] = std::from_chars(begin, end, step);
    if (error != std::errc() || at != end || begin == end) return std::nullopt;
    return step;
}

// A checksum over the data of tensors, in the order of the file.
class DataChecksum {
  public:
    DataChecksum() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
    void add(const void* data, size_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
    std::string text() const { return fmt::format("{:016x}", XXH3_64bits_digest(state_.get())); }

  private:
    std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// Returns the checksum of the data.
std::string write_optimizer(const fs::path& path, const LearnerView& learner) {
    const ParamTable& table = learner.model->params();
    std::vector<TensorInfo> tensors;
    for (const auto& [prefix, flat] : buffers(learner))
        for (const Param& p : table.trained())
            tensors.push_back({prefix + p.name, "F32", p.shape, 0, 0});
    SafetensorsWriter writer(path, tensors);
    DataChecksum checksum;
    for (const TensorInfo& t : writer.tensors())
        for (const auto& [prefix, flat] : buffers(learner)) {
            if (!t.name.starts_with(prefix)) continue;
            const Param& p = table[table.find(t.name.substr(std::strlen(prefix)))];
            const std::vector<float> host =
                download(*learner.device, flat, p, table.trained_begin());
            for (size_t i = 0; i < host.size(); ++i)
                if (!std::isfinite(host[i]))
                    fail("{}[{}] is {}: the run has diverged", t.name, i, host[i]);
            writer.write(host.data(), host.size() * sizeof(float));
            checksum.add(host.data(), host.size() * sizeof(float));
        }
    writer.finish();
    return checksum.text();
}

constexpr const char* kStates = "states.safetensors";

// The states of sequences that the step ended amid. Returns the checksum of the data.
std::string write_states(const fs::path& path, const States& states, Device& device) {
    std::vector<TensorInfo> tensors;
    for (size_t l = 0; l < states.layers.size(); ++l) {
        const Tensor& t = states.layers[l];
        tensors.push_back({fmt::format("layers.{:04}", l),
                           "F32",
                           {t.shape[0], t.shape[1], t.shape[2], t.shape[3]},
                           0,
                           0});
    }
    SafetensorsWriter writer(path, tensors);
    DataChecksum checksum;
    std::vector<float> host;
    for (const TensorInfo& t : writer.tensors()) {
        const Tensor& state = states.layers[static_cast<size_t>(std::stoll(t.name.substr(7)))];
        host.resize(static_cast<size_t>(state.size()));
        device.download(host.data(), state.data, host.size() * sizeof(float));
        writer.write(host.data(), host.size() * sizeof(float));
        checksum.add(host.data(), host.size() * sizeof(float));
    }
    writer.finish();
    return checksum.text();
}

void check_data(const SafetensorsFile& file, const std::string& wanted) {
    DataChecksum checksum;
    for (const TensorInfo& t : file.header().tensors)
        checksum.add(file.bytes(t).data(), file.bytes(t).size());
    if (checksum.text() != wanted)
        fail("{}: the data has checksum {}, trainer.json says {}: the file is damaged", file.name(),
             checksum.text(), wanted);
}

// Every parameter's values under `prefix` as one flat host buffer, padding zero.
std::vector<float> read_flat(const SafetensorsFile& file, const char* prefix,
                             const ParamTable& table) {
    std::vector<float> flat(static_cast<size_t>(table.trained_size()));
    for (const Param& p : table.trained()) {
        const TensorInfo& t = file.at(prefix + p.name);
        if (t.dtype != "F32" || t.shape != p.shape)
            fail("{}: tensor \"{}\" is {} {}, wanted F32 of the model's shape ({} numbers)",
                 file.name(), t.name, t.dtype, t.shape_string(), p.size);
        const auto bytes = file.bytes(t);
        std::memcpy(flat.data() + p.offset - table.trained_begin(), bytes.data(), bytes.size());
    }
    return flat;
}

void read_states(const SafetensorsFile& file, const States& states, Device& device) {
    for (size_t l = 0; l < states.layers.size(); ++l) {
        const TensorInfo& t = file.at(fmt::format("layers.{:04}", l));
        const Tensor& state = states.layers[l];
        if (t.dtype != "F32" || static_cast<int64_t>(file.bytes(t).size()) != state.bytes())
            fail("{}: tensor \"{}\" is {} {}, wanted F32 {}", file.name(), t.name, t.dtype,
                 t.shape_string(), state.shape_string());
        device.upload(state.data, file.bytes(t).data(), file.bytes(t).size());
    }
    device.synchronize(); // before the file goes
}

Json to_json(const TrainerState& s, const TrainConfig& config, int64_t updates,
             const std::string& checksum, const std::string& states_checksum) {
    Json out;
    out["format"] = kFormat;
    out["step"] = s.step;
    out["updates"] = updates;
    out["tokens"] = s.tokens;
    out["seconds"] = s.seconds;
    // The order of the data is a function of these.
    out["loader"]["seed"] = s.loader.seed;
    out["loader"]["epoch"] = s.loader.epoch;
    out["loader"]["cursor"] = s.loader.cursor;
    out["loader"]["piece"] = s.loader.piece;
    out["guard"] = s.guard;
    out["eval_loss"] = s.eval_loss ? Json(*s.eval_loss) : Json(nullptr);
    out["best_loss"] = s.best_loss ? Json(*s.best_loss) : Json(nullptr);
    out["best_step"] = s.best_step;
    out["device"] = s.device;
    out["data"] = s.data;
    out["base"] = s.base.empty() ? Json(nullptr) : Json(s.base);
    out["optimizer_checksum"] = checksum; // XXH3-64
    out["states_checksum"] = states_checksum.empty() ? Json(nullptr) : Json(states_checksum);
    out["config"] = Json::parse(config.json());
    return out;
}

} // namespace

StoredState parse_trainer_state(std::string_view text, const std::string& name) {
    const Json json = parse_json(text, name);
    const JsonFields fields(json, name), loader = fields.section("loader");
    if (const int64_t format = fields.whole("format"); format != kFormat)
        fail("{}: format {}, this program reads {}", name, format, kFormat);
    StoredState out;
    TrainerState& s = out.state;
    s.step = fields.whole("step");
    out.updates = fields.whole("updates");
    s.tokens = fields.whole("tokens");
    s.seconds = fields.number("seconds");
    s.loader = {loader.natural("seed"), loader.whole("epoch"), loader.whole("cursor"),
                loader.whole("piece")};
    s.guard = fields.at("guard");
    s.eval_loss = fields.number_or_null("eval_loss");
    s.best_loss = fields.number_or_null("best_loss");
    s.best_step = fields.whole("best_step", -1);
    s.device = fields.text("device");
    s.data = fields.text("data");
    if (json.contains("base") && !json["base"].is_null()) s.base = fields.text("base");
    out.checksum = fields.text("optimizer_checksum");
    if (!fields.at("states_checksum").is_null())
        out.states_checksum = fields.text("states_checksum");
    return out;
}

std::vector<int64_t> checkpoint_steps(const fs::path& run_directory) {
    std::vector<int64_t> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run_directory / "checkpoints", error))
        if (const auto step = step_of(entry.path().filename().string());
            step && entry.is_directory())
            out.push_back(*step);
    std::sort(out.begin(), out.end());
    return out;
}

CheckpointStore::CheckpointStore(const fs::path& run_directory, const CheckpointConfig& config)
    : run_(run_directory), directory_(run_directory / "checkpoints"), config_(config) {
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) fail("{}: cannot be made: {}", directory_.string(), error.message());
    lock_ = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ < 0) fail("{}: cannot be opened: {}", directory_.string(), std::strerror(errno));
    // Freed when the process ends, however it ends. A file system without locks does without.
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(lock_);
        fail("{}: another process is training in it", run_.string());
    }
    std::vector<fs::path> stale;
    for (const auto& entry : fs::directory_iterator(directory_))
        if (entry.path().filename().string().starts_with(".")) stale.push_back(entry.path());
    for (const fs::path& path : stale) fs::remove_all(path);
}

CheckpointStore::~CheckpointStore() { close(lock_); }

fs::path CheckpointStore::path_of(int64_t step) const {
    return directory_ / fmt::format("{}{:08}", kPrefix, step);
}

std::vector<int64_t> CheckpointStore::steps() const { return checkpoint_steps(run_); }

std::optional<fs::path> CheckpointStore::latest() const {
    // By name, not by the link: a kill may have come between the two.
    const std::vector<int64_t> all = steps();
    if (all.empty()) return std::nullopt;
    return path_of(all.back());
}

void CheckpointStore::save(const TrainerState& state, const TrainConfig& config,
                           const LearnerView& learner, const std::optional<fs::path>& tokenizer,
                           const AdapterBase& base) {
    const fs::path final = path_of(state.step);
    AtomicDirectory directory(final);
    const Model& model = *learner.model;
    Device& device = *learner.device;
    if (model.params().has_adapters()) {
        write_adapter(directory.path(), model, learner.trained(), device, base);
    } else {
        SaveOptions options;
        options.dtype = config.checkpoint_dtype();
        options.tokenizer = tokenizer;
        // From the master weights where more than the working copy's bits are asked for.
        const bool all = options.dtype == DType::f32 && learner.master.data;
        write_model(directory.path(), model, all ? learner.master : learner.weights, device,
                    options);
    }
    const std::string checksum =
        write_optimizer(directory.path() / "optimizer.safetensors", learner);
    std::string states_checksum;
    if (state.loader.piece > 0)
        states_checksum = write_states(directory.path() / kStates, learner.carried, device);
    write_file_atomic(directory.path() / "trainer.json",
                      to_json(state, config, learner.updates, checksum, states_checksum).dump(2) +
                          "\n");
    directory.commit();
    link("latest", state.step);
    if (config_.keep_best && state.best_step >= 0) link("best", state.best_step);
    prune(state);
}

TrainerState CheckpointStore::load(const fs::path& checkpoint, Learner& learner) {
    const fs::path state_path = checkpoint / "trainer.json";
    StoredState stored = parse_trainer_state(read_file(state_path), state_path.string());
    const SafetensorsFile file(checkpoint / "optimizer.safetensors");
    check_data(file, stored.checksum);
    const ParamTable& table = learner.model().params();
    Optimizer& optimizer = learner.optimizer();
    for (const auto& [prefix, flat] : buffers(learner)) {
        const std::vector<float> host = read_flat(file, prefix, table);
        if (flat.data != optimizer.m().data && flat.data != optimizer.v().data) {
            optimizer.set_master(host.data());
            continue;
        }
        learner.device().upload(flat.data, host.data(), host.size() * sizeof(float));
        learner.device().synchronize(); // before the host buffer goes
    }
    optimizer.set_updates(stored.updates);
    if (stored.state.loader.piece > 0) {
        const SafetensorsFile states(checkpoint / kStates);
        check_data(states, stored.states_checksum);
        read_states(states, learner.carried(), learner.device());
    }
    return std::move(stored.state);
}

void CheckpointStore::link(const char* name, int64_t step) {
    const fs::path partial = directory_ / fmt::format(".{}.partial", name);
    // Some file systems have no links: then there are none.
    std::error_code ignored;
    fs::remove(partial, ignored);
    fs::create_directory_symlink(path_of(step).filename(), partial, ignored);
    if (!ignored) fs::rename(partial, directory_ / name, ignored);
}

void CheckpointStore::remove(int64_t step) {
    const fs::path path = path_of(step);
    const fs::path doomed = directory_ / ("." + path.filename().string() + ".removed");
    fs::rename(path, doomed);
    fs::remove_all(doomed);
}

void CheckpointStore::prune(const TrainerState& state) {
    if (config_.keep == 0) return;
    const std::vector<int64_t> all = steps();
    for (size_t i = 0; i + static_cast<size_t>(config_.keep) < all.size(); ++i)
        if (!(config_.keep_best && all[i] == state.best_step)) remove(all[i]);
}

int64_t CheckpointStore::remove_after(int64_t step) {
    int64_t removed = 0;
    for (const int64_t each : steps()) {
        if (each <= step) continue;
        remove(each);
        ++removed;
    }
    if (removed > 0) link("latest", step);
    return removed;
}

} // namespace tnl
