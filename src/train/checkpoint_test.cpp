#include "train/checkpoint.h"

#include "base/json.h"
#include "train/checkpoint_writer.h"
#include "train/testbed.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::floats_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A learner that has taken two steps, so that nothing in it is trivial.
class StoreTest : public ::testing::Test {
  protected:
    explicit StoreTest(const std::string& dtype = "f32") {
        testing::write_corpus(directory / "train.tnl", 60, 1);
        config = testing::small_config(directory / "run");
        config.train.dtype = dtype;
        model.emplace(config.model);
        shards.emplace(directory / "train.tnl");
        source.emplace(*shards, LoaderOptions{config.train.length, true, true});
        learner = make();
        learner->optimizer().set_master(first_weights(config, *model).data());
        for (int i = 0; i < 2; ++i) {
            std::vector<TokenRows> batch(1);
            source->next(config.train.rows, batch[0]);
            const Learner::Step step = learner->gradients(batch);
            learner->update(1e-2, step.norm);
        }
    }
    std::unique_ptr<Learner> make() const {
        return std::make_unique<Learner>(config, *model, *device);
    }
    TrainerState state(int64_t step, std::optional<double> eval_loss = {}) const {
        TrainerState s;
        s.step = step;
        s.tokens = 48 * step;
        s.seconds = 1.0 / 3;
        s.loader = {~uint64_t{0}, 2, 17};
        s.guard = Json::object({{"skipped", 3}});
        s.eval_loss = eval_loss;
        s.device = "somewhere";
        s.data = source->fingerprint();
        return s;
    }
    void save(CheckpointStore& store, const TrainerState& s) {
        store.save(s, config, *learner, std::nullopt);
    }
    // Names in checkpoints/ that are no whole checkpoint and no link.
    std::vector<std::string> litter() const {
        std::vector<std::string> out;
        for (const auto& entry : fs::directory_iterator(directory / "run/checkpoints")) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with(".")) out.push_back(name);
        }
        return out;
    }
    // Written beside what happens to the learner meanwhile, the files are those of the moment.
    void expect_a_moment() {
        CheckpointStore store(config.run, config.checkpoint);
        save(store, state(1));
        CheckpointWriter writer(store, config, *learner, std::nullopt, {});
        for (const int64_t step : {2, 3}) { // into a new copy, and into the same
            writer.save(state(step));
            const auto spoil = [&](const Tensor& t) {
                std::vector<std::byte> was(static_cast<size_t>(t.bytes()));
                std::memcpy(was.data(), t.data, was.size());
                std::memset(t.data, 0, was.size());
                return was;
            };
            const Optimizer& o = learner->optimizer();
            const Tensor all[] = {learner->weights(), o.master(), o.m(), o.v()};
            std::vector<std::vector<std::byte>> was;
            for (const Tensor& t : all) was.push_back(spoil(t));
            writer.wait();
            // Back to front: master may be the weights themselves.
            for (size_t i = std::size(all); i-- > 0;)
                std::memcpy(all[i].data, was[i].data(), was[i].size());
            for (const char* file : {"model.safetensors", "optimizer.safetensors"})
                EXPECT_EQ(read_file(step_path(step, file)), read_file(step_path(1, file))) << file;
        }
    }
    fs::path step_path(int64_t step, const std::string& file = "") const {
        return directory / fmt::format("run/checkpoints/step-{:08}/{}", step, file);
    }

    testing::TemporaryDirectory directory;
    TrainConfig config;
    std::unique_ptr<Device> device = make_cpu_device(2);
    std::optional<Model> model;
    std::optional<ShardSet> shards;
    std::optional<ShardSource> source;
    std::unique_ptr<Learner> learner;
};

class Bf16StoreTest : public StoreTest {
  protected:
    Bf16StoreTest() : StoreTest("bf16") {}
};

void expect_same(Learner& a, Learner& b) {
    EXPECT_EQ(floats_of(a.device(), a.optimizer().master()),
              floats_of(b.device(), b.optimizer().master()));
    EXPECT_EQ(floats_of(a.device(), a.optimizer().m()), floats_of(b.device(), b.optimizer().m()));
    EXPECT_EQ(floats_of(a.device(), a.optimizer().v()), floats_of(b.device(), b.optimizer().v()));
    EXPECT_EQ(a.optimizer().updates(), b.optimizer().updates());
    EXPECT_EQ(
        std::memcmp(a.weights().data, b.weights().data, static_cast<size_t>(a.weights().bytes())),
        0);
}

TEST_F(StoreTest, RoundTripsEveryBit) {
    CheckpointStore store(config.run, config.checkpoint);
    TrainerState s = state(7, 1.0 / 7);
    s.best_loss = 0.1;
    s.best_step = 5;
    save(store, s);
    const auto other = make();
    const TrainerState back = CheckpointStore::load(store.path_of(7), *other);
    expect_same(*learner, *other);
    EXPECT_EQ(back.step, 7);
    EXPECT_EQ(back.tokens, s.tokens);
    EXPECT_EQ(back.seconds, s.seconds);
    EXPECT_EQ(back.loader, s.loader);
    EXPECT_EQ(back.guard, s.guard);
    EXPECT_EQ(back.eval_loss, s.eval_loss);
    EXPECT_EQ(back.best_loss, s.best_loss);
    EXPECT_EQ(back.best_step, 5);
    EXPECT_EQ(back.device, s.device);
    EXPECT_EQ(back.data, s.data);
}

TEST_F(Bf16StoreTest, RoundTripsEveryBit) {
    CheckpointStore store(config.run, config.checkpoint);
    save(store, state(7));
    const auto other = make();
    CheckpointStore::load(store.path_of(7), *other);
    expect_same(*learner, *other);
}

TEST_F(StoreTest, TheWriterKeepsTheMomentOfItsCall) { expect_a_moment(); }
TEST_F(Bf16StoreTest, TheWriterKeepsTheMomentOfItsCall) { expect_a_moment(); }

TEST_F(StoreTest, TheWriterTellsAtTheNextCallWhatFailed) {
    CheckpointStore store(config.run, config.checkpoint);
    CheckpointWriter writer(store, config, *learner, std::nullopt, {});
    writer.check();
    {
        const testing::FileSizeLimit full(700);
        writer.save(state(2));
        EXPECT_THAT(error_of([&] { writer.wait(); }),
                    HasSubstr("the checkpoint of step 2 could not be saved: "));
        writer.wait(); // once
        writer.save(state(3));
        EXPECT_THAT(error_of([&] { writer.save(state(4)); }), HasSubstr("checkpoint of step 3 "));
    }
    EXPECT_THAT(store.steps(), IsEmpty());
    EXPECT_THAT(litter(), IsEmpty());
    writer.save(state(5));
    writer.wait();
    EXPECT_THAT(store.steps(), ElementsAre(5));
}

TEST_F(StoreTest, KeepsTheLatestAndTheBest) {
    config.checkpoint.keep = 2;
    CheckpointStore store(config.run, config.checkpoint);
    for (int64_t step = 1; step <= 5; ++step) {
        TrainerState s = state(step, 1.0);
        s.best_step = 2;
        s.best_loss = 0.5;
        save(store, s);
    }
    EXPECT_THAT(store.steps(), ElementsAre(2, 4, 5));
    EXPECT_EQ(fs::read_symlink(directory / "run/checkpoints/latest"), "step-00000005");
    EXPECT_EQ(fs::read_symlink(directory / "run/checkpoints/best"), "step-00000002");
    EXPECT_EQ(store.latest(), store.path_of(5));
    EXPECT_THAT(litter(), IsEmpty());
    EXPECT_EQ(store.remove_after(4), 1);
    EXPECT_THAT(checkpoint_steps(config.run), ElementsAre(2, 4));
    EXPECT_EQ(fs::read_symlink(directory / "run/checkpoints/latest"), "step-00000004");
}

TEST_F(StoreTest, KeepsAllOrOnlyTheLatestWhereToldSo) {
    config.checkpoint.keep = 0;
    {
        CheckpointStore store(config.run, config.checkpoint);
        for (int64_t step = 1; step <= 4; ++step) save(store, state(step));
        EXPECT_THAT(store.steps(), ElementsAre(1, 2, 3, 4));
    }
    config.checkpoint.keep = 1;
    config.checkpoint.keep_best = false;
    CheckpointStore store(config.run, config.checkpoint);
    TrainerState s = state(5);
    s.best_step = 2;
    save(store, s);
    EXPECT_THAT(store.steps(), ElementsAre(5));
}

TEST_F(StoreTest, OneProcessAtATime) {
    const CheckpointStore store(config.run, config.checkpoint);
    EXPECT_THAT(error_of([&] { CheckpointStore(config.run, config.checkpoint); }),
                HasSubstr("another process is training in it"));
}

TEST_F(StoreTest, RemovesWhatAKilledProcessLeft) {
    const fs::path partial = directory / "run/checkpoints/.step-00000009.partial";
    fs::create_directories(partial);
    write_file_atomic(partial / "config.json", "{");
    const CheckpointStore store(config.run, config.checkpoint);
    EXPECT_THAT(litter(), IsEmpty());
    EXPECT_THAT(store.steps(), IsEmpty());
}

// Files may grow to `limit` bytes: from nothing, through the midst of each file, to enough.
TEST_F(StoreTest, AFullDiskLeavesNothingHalfWritten) {
    CheckpointStore store(config.run, config.checkpoint);
    save(store, state(1));
    const auto largest = static_cast<rlim_t>(fs::file_size(step_path(1, "optimizer.safetensors")));
    int failures = 0;
    for (const rlim_t limit :
         {rlim_t{0}, rlim_t{100}, rlim_t{700}, rlim_t{5000}, largest / 3, largest - 1, largest}) {
        std::string error;
        {
            const testing::FileSizeLimit full(limit);
            try {
                save(store, state(2));
            } catch (const Error& e) {
                error = e.what();
            }
        }
        EXPECT_THAT(litter(), IsEmpty()) << limit;
        if (limit == largest) {
            EXPECT_EQ(error, "");
            continue;
        }
        ++failures;
        EXPECT_THAT(error, HasSubstr("cannot write: File too large")) << limit;
        EXPECT_THAT(error, HasSubstr("step-00000002")) << limit;
        EXPECT_THAT(store.steps(), ElementsAre(1)) << limit;
        EXPECT_EQ(fs::read_symlink(directory / "run/checkpoints/latest"), "step-00000001");
    }
    EXPECT_EQ(failures, 6);
    EXPECT_THAT(store.steps(), ElementsAre(1, 2));
    CheckpointStore::load(store.path_of(1), *make());
    CheckpointStore::load(store.path_of(2), *make());
}

TEST_F(StoreTest, ARunThatHasDivergedIsNotSaved) {
    CheckpointStore store(config.run, config.checkpoint);
    learner->optimizer().v().as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(error_of([&] { save(store, state(3)); }),
                HasSubstr("v.model.embed_tokens.weight[5] is nan: the run has diverged"));
    EXPECT_THAT(store.steps(), IsEmpty());
    EXPECT_THAT(litter(), IsEmpty());
}

TEST_F(StoreTest, ADamagedCheckpointIsNamed) {
    CheckpointStore store(config.run, config.checkpoint);
    save(store, state(3));
    const auto load_error = [&] {
        return error_of([&] { CheckpointStore::load(store.path_of(3), *make()); });
    };
    const fs::path tensors = step_path(3, "optimizer.safetensors"),
                   trainer = step_path(3, "trainer.json");
    const std::string good_tensors = read_file(tensors), good_trainer = read_file(trainer);

    // Any bit of the data; a few are enough to try.
    for (const size_t at : {good_tensors.size() - 1, good_tensors.size() / 2, size_t{9000}}) {
        std::string bad = good_tensors;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        write_file_atomic(tensors, bad);
        EXPECT_THAT(load_error(), HasSubstr("optimizer.safetensors: the data has checksum")) << at;
    }
    for (const size_t length : {size_t{0}, size_t{7}, size_t{500}, good_tensors.size() - 1}) {
        write_file_atomic(tensors, good_tensors.substr(0, length));
        EXPECT_THAT(load_error(), HasSubstr("optimizer.safetensors")) << length;
    }
    write_file_atomic(tensors, good_tensors);

    for (const size_t length : {size_t{0}, size_t{1}, good_trainer.size() / 2}) {
        write_file_atomic(trainer, good_trainer.substr(0, length));
        EXPECT_THAT(load_error(), HasSubstr("trainer.json")) << length;
    }
    Json json = Json::parse(good_trainer);
    json["loader"].erase("cursor");
    write_file_atomic(trainer, json.dump());
    EXPECT_THAT(load_error(), HasSubstr("cursor"));
    json = Json::parse(good_trainer);
    json["step"] = "many";
    write_file_atomic(trainer, json.dump());
    EXPECT_THAT(load_error(), HasSubstr("trainer.json: step is \"many\", wanted a whole number"));
    json = Json::parse(good_trainer);
    json["updates"] = -1;
    write_file_atomic(trainer, json.dump());
    EXPECT_THAT(load_error(), HasSubstr("trainer.json: updates is -1"));
    json = Json::parse(good_trainer);
    json["loader"] = 5;
    write_file_atomic(trainer, json.dump());
    EXPECT_THAT(load_error(), HasSubstr("trainer.json: loader: 5, wanted an object"));
    json = Json::parse(good_trainer);
    json["format"] = 99;
    write_file_atomic(trainer, json.dump());
    EXPECT_THAT(load_error(), HasSubstr("format 99"));

    fs::remove(trainer);
    EXPECT_THAT(load_error(), HasSubstr("trainer.json"));
    write_file_atomic(trainer, good_trainer);
    CheckpointStore::load(store.path_of(3), *make());
}

TEST_F(StoreTest, ACheckpointOfAnotherModelIsRefused) {
    {
        CheckpointStore store(config.run, config.checkpoint);
        save(store, state(3));
    }
    config.model.glu_dim = 48;
    const Model other(config.model);
    Learner learner48(config, other, *device);
    EXPECT_THAT(error_of([&] { CheckpointStore::load(step_path(3), learner48); }),
                HasSubstr("wanted F32 of the model's shape"));
}

} // namespace
} // namespace tnl
