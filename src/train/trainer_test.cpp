#include "train/trainer.h"

#include "base/json.h"
#include "model/checkpoint.h"
#include "train/testbed.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <functional>
#include <numeric>
#include <sstream>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::RunBed;
using Outcome = Trainer::Outcome;

// Does something after so many micro-batches: a signal, or a failure as sudden as any.
class DisturbedSource : public BatchSource {
  public:
    DisturbedSource(BatchSource& inner, int after, std::function<void()> what)
        : inner_(inner), left_(after), what_(std::move(what)) {}
    void next(int64_t rows, TokenRows& out) override {
        if (left_-- == 0) what_();
        inner_.next(rows, out);
    }
    LoaderState state() const override { return inner_.state(); }
    void seek(const LoaderState& state) override { inner_.seek(state); }
    int64_t rows_per_epoch() const override { return inner_.rows_per_epoch(); }
    double bytes_per_token() const override { return inner_.bytes_per_token(); }
    std::string fingerprint() const override { return inner_.fingerprint(); }

  private:
    BatchSource& inner_;
    int left_;
    std::function<void()> what_;
};

// metrics.jsonl but for what a clock says.
std::string metrics_of(const fs::path& run) {
    std::istringstream lines(read_file(run / "metrics.jsonl"));
    std::string out;
    for (std::string line; std::getline(lines, line);) {
        Json json = Json::parse(line);
        json.erase("seconds");
        json.erase("tokens_per_second");
        out += json.dump() + "\n";
    }
    return out;
}

class TrainerTest : public ::testing::Test {
  protected:
    TrainerTest() {
        testing::write_corpus(directory / "train.tnl", 60, 1);
        testing::write_corpus(directory / "val.tnl", 20, 2);
    }
    TrainConfig config(const std::string& run) const {
        return testing::small_config(directory / run);
    }
    std::unique_ptr<RunBed> bed(TrainConfig c) const {
        c.validate();
        return std::make_unique<RunBed>(std::move(c), directory / "train.tnl",
                                        directory / "val.tnl");
    }
    // Begins the run, or goes on with it from its latest checkpoint, until the source, or that of
    // the evaluations, does `what`.
    Outcome run(const TrainConfig& c, int after = -1, std::function<void()> what = {},
                bool at_evaluation = false) const {
        const auto b = bed(c);
        if (c.train.lora.rank > 0) b->base = {c.init, weights_checksum(c.init)};
        DisturbedSource source(b->train, at_evaluation ? -1 : after, what);
        DisturbedSource held_out(b->validation, at_evaluation ? after : -1, what);
        TrainerParts parts = b->parts(source);
        parts.validation = &held_out;
        Trainer trainer(parts);
        if (const auto steps = checkpoint_steps(c.run); !steps.empty())
            trainer.resume(steps.back(), first_weights(b->config, b->model).data());
        else
            b->start(trainer);
        return trainer.run();
    }
    // A model for runs that train adapters.
    std::string write_base(const std::string& name, uint64_t seed) const {
        const TrainConfig c = config("none");
        const Model model(c.model);
        const auto device = make_cpu_device(1);
        OwnedTensor flat(*device, DType::f32, {model.params().flat_size()});
        initialize(model.params(), model.config(), seed, flat.as<float>());
        save_model(directory / name, model, flat, *device, {DType::f32, 1 << 30, std::nullopt});
        return (directory / name).string();
    }
    void expect_same_end(const std::string& a, const std::string& b) const {
        const fs::path last = "checkpoints/step-00000012";
        const bool adapters = fs::exists(directory / a / last / "adapter_model.safetensors");
        for (const char* file : {adapters ? "adapter_model.safetensors" : "model.safetensors",
                                 "optimizer.safetensors"}) {
            const fs::path at = last / file;
            EXPECT_EQ(read_file(directory / a / at), read_file(directory / b / at)) << file;
        }
        EXPECT_EQ(metrics_of(directory / a), metrics_of(directory / b));
    }
    testing::TemporaryDirectory directory;
};

TEST_F(TrainerTest, LossGoesDownAndIsRecorded) {
    TrainConfig c = config("run");
    c.train.steps = 150;
    c.train.rows = 8;
    c.eval.every = 50;
    c.schedule.warmup = 5;
    c.log.tensorboard = true;
    const auto b = bed(c);
    Trainer trainer(b->parts());
    b->start(trainer);
    EXPECT_EQ(trainer.run(), Outcome::finished);
    // Seven of eight tokens follow from the one before: ln 58 / 8 and the choice's own entropy.
    EXPECT_LT(trainer.last_eval()->loss, 1.6);
    EXPECT_GT(trainer.last_eval()->loss, 0.7);
    EXPECT_NEAR(trainer.last_eval()->perplexity(), std::exp(trainer.last_eval()->loss), 1e-9);
    const std::string metrics = read_file(directory / "run/metrics.jsonl");
    EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 150 + 3);
    EXPECT_FALSE(fs::is_empty(directory / "run/tensorboard"));
    EXPECT_EQ(trainer.state().tokens, 150 * 8 * 16);
}

// The same corpus and schedule: a Transformer that looks back finds what the last token says, too.
TEST_F(TrainerTest, LlamaLearnsThroughTheSameTrainer) {
    TrainConfig c = config("run");
    testing::make_llama(c);
    c.train.steps = 150;
    c.train.rows = 8;
    c.schedule.warmup = 5;
    const auto b = bed(c);
    Trainer trainer(b->parts());
    b->start(trainer);
    EXPECT_EQ(trainer.run(), Outcome::finished);
    EXPECT_LT(trainer.last_eval()->loss, 1.6);
    EXPECT_GT(trainer.last_eval()->loss, 0.7);
    c = config("pieces");
    testing::make_llama(c);
    c.data.reset = false;
    c.train.pieces = 2;
    EXPECT_THAT(error_of([&] { c.validate(); }),
                ::testing::AllOf(HasSubstr("train.pieces = 2"), HasSubstr("model_type is llama")));
}

// Losses in bf16 with master weights, in products of 8 bits, with bf16 weights alone.
TEST_F(TrainerTest, FewerBitsLearnAsWell) {
    double losses[3] = {};
    for (const int i : {0, 1, 2}) {
        TrainConfig c = config(std::to_string(i));
        testing::use_fp8(c);
        if (i != 1) c.train.products = Products::dtype;
        if (i == 2) testing::use_stochastic_rounding(c);
        c.train.steps = 150;
        c.train.rows = 8;
        c.schedule.warmup = 5;
        const auto b = bed(c);
        Trainer trainer(b->parts());
        b->start(trainer);
        EXPECT_EQ(trainer.run(), Outcome::finished);
        losses[i] = trainer.last_eval()->loss;
    }
    EXPECT_LT(losses[0], 1.6);
    EXPECT_NEAR(losses[1], losses[0], 0.03);
    EXPECT_NEAR(losses[2], losses[0], 0.03);
}

struct Variant {
    const char* name;
    std::function<void(TrainConfig&)> set;
};
class ResumeTest : public TrainerTest, public ::testing::WithParamInterface<Variant> {};

TEST_P(ResumeTest, IsTheUninterruptedRunBitForBit) {
    TrainConfig whole = config("whole"), parts = config("parts");
    for (TrainConfig* c : {&whole, &parts}) {
        GetParam().set(*c);
        if (c->train.lora.rank > 0) c->init = write_base("base", 8);
    }
    EXPECT_EQ(run(whole), Outcome::finished);

    const auto a = static_cast<int>(parts.train.accumulate);
    // Stopped while step 3 is read, beside step 2; the step at work is finished and saved.
    EXPECT_EQ(run(parts, 2 * a, [] { std::raise(SIGTERM); }), Outcome::interrupted);
    ASSERT_THAT(checkpoint_steps(parts.run), ElementsAre(::testing::AnyOf(2, 3)));
    const int64_t stop = checkpoint_steps(parts.run).back();
    // Fails in step 7, after the checkpoint of step 4: 5 and 6 are done again.
    EXPECT_THAT(
        error_of([&] { run(parts, static_cast<int>(6 - stop) * a, [] { fail("power cut"); }); }),
        ::testing::AllOf(HasSubstr("step 6: "),
                         HasSubstr("power cut. The last good checkpoint is")));
    EXPECT_THAT(checkpoint_steps(parts.run), ElementsAre(stop, 4));
    // Stopped in step 8, in an evaluation, and a checkpoint is due anyway.
    EXPECT_EQ(run(
                  parts, 0, [] { std::raise(SIGINT); }, true),
              Outcome::interrupted);
    EXPECT_EQ(checkpoint_steps(parts.run).back(), 8);
    EXPECT_EQ(run(parts), Outcome::finished);
    expect_same_end("whole", "parts");
    EXPECT_EQ(run(parts), Outcome::finished); // nothing is left to do
    expect_same_end("whole", "parts");
}

INSTANTIATE_TEST_SUITE_P(
    Of, ResumeTest,
    ::testing::Values(Variant{"plain", [](TrainConfig&) {}},
                      Variant{"accumulating", [](TrainConfig& c) { c.train.accumulate = 3; }},
                      Variant{"bf16", [](TrainConfig& c) { c.train.dtype = "bf16"; }},
                      Variant{"fp8", testing::use_fp8},
                      Variant{"stochastic_rounding", testing::use_stochastic_rounding},
                      Variant{"recomputing",
                              [](TrainConfig& c) { c.train.recompute = Recomputation::block; }},
                      Variant{"epochs", [](TrainConfig& c) { c.train.rows = 50; }},
                      Variant{"sequences_over_steps", // of three, some steps end amid them
                              [](TrainConfig& c) {
                                  c.data.reset = false;
                                  c.train.pieces = 3;
                                  c.train.accumulate = 2;
                              }},
                      Variant{"documents_over_steps",
                              [](TrainConfig& c) {
                                  c.train.pieces = 3;
                                  c.train.accumulate = 2;
                              }},
                      Variant{"documents_over_pieces",
                              [](TrainConfig& c) {
                                  c.train.pieces = 4;
                                  c.train.accumulate = 4;
                                  c.train.through = Through::exact;
                              }},
                      Variant{"adapters", [](TrainConfig& c) { c.train.lora.rank = 3; }},
                      Variant{"adapters_without_masters",
                              [](TrainConfig& c) {
                                  c.train.lora.rank = 3;
                                  testing::use_stochastic_rounding(c);
                              }},
                      Variant{"bf16_adapters",
                              [](TrainConfig& c) {
                                  c.train.lora = {2, 8, {"l1", "l3", "out_proj"}};
                                  c.train.dtype = "bf16";
                              }},
                      Variant{"low_rank_gate", [](TrainConfig& c) { c.model.gate_dim = 5; }},
                      Variant{"llama", testing::make_llama},
                      Variant{"llama_recomputing_rows",
                              [](TrainConfig& c) {
                                  testing::make_llama(c);
                                  c.model.num_key_value_heads = 1;
                                  c.train.recompute = Recomputation::block;
                                  c.train.dtype = "bf16";
                                  c.data.reset = false;
                              }},
                      Variant{"linear_without_clip",
                              [](TrainConfig& c) {
                                  c.schedule.kind = ScheduleKind::linear;
                                  c.optimizer.clip = 0;
                              }}),
    [](const auto& i) { return std::string(i.param.name); });

TEST_F(TrainerTest, AdaptersLearnAndTheirCheckpointsHoldThemAlone) {
    TrainConfig c = config("run");
    c.init = write_base("base", 8);
    c.train.lora.rank = 4;
    c.train.steps = 60;
    c.train.rows = 16;
    c.optimizer.lr = 3e-2;
    EXPECT_EQ(run(c), Outcome::finished);
    std::vector<std::string> files;
    const fs::path last = fs::path(c.run) / "checkpoints/step-00000060";
    for (const auto& entry : fs::directory_iterator(last))
        files.push_back(entry.path().filename().string());
    EXPECT_THAT(files,
                ::testing::UnorderedElementsAre("adapter_config.json", "adapter_model.safetensors",
                                                "optimizer.safetensors", "trainer.json"));
    const Adapter adapter(last);
    EXPECT_EQ(adapter.base().path, c.init);
    EXPECT_EQ(adapter.base().checksum, weights_checksum(c.init));
    std::istringstream lines(read_file(fs::path(c.run) / "metrics.jsonl"));
    std::vector<double> losses;
    for (std::string line; std::getline(lines, line);)
        if (const Json json = Json::parse(line); json.contains("loss"))
            losses.push_back(json["loss"].get<double>());
    ASSERT_EQ(losses.size(), 60u);
    const auto mean = [](auto begin) { return std::accumulate(begin, begin + 10, 0.0) / 10; };
    EXPECT_LT(mean(losses.end() - 10), mean(losses.begin()) - 0.03); // embeddings are frozen
    // What it learned is for these weights.
    c.init = write_base("other", 9);
    EXPECT_THAT(error_of([&] { run(c); }), HasSubstr("are of other weights"));
}

TEST_F(TrainerTest, TheSameConfigGivesTheSameBits) {
    run(config("a"));
    run(config("b"));
    expect_same_end("a", "b");
    TrainConfig c = config("c");
    c.train.seed = 2;
    run(c);
    EXPECT_NE(metrics_of(directory / "a"), metrics_of(directory / "c"));
}

TEST_F(TrainerTest, DivergenceStopsWithTheLastGoodCheckpoint) {
    TrainConfig c = config("run");
    c.optimizer.lr = 1e30;
    c.checkpoint.every = 1;
    c.schedule.warmup = 0;
    const std::string error = error_of([&] { run(c); });
    EXPECT_THAT(error, ::testing::MatchesRegex("step [0-9]+: .*(There is no checkpoint yet|The "
                                               "last good checkpoint is .*/step-0000000[0-9])"));
    for (const int64_t step : checkpoint_steps(c.run)) {
        const auto b = bed(c);
        Learner learner(b->config, b->model, *b->device);
        CheckpointStore::load(fs::path(c.run) / fmt::format("checkpoints/step-{:08}", step),
                              learner);
    }
    c = config("skips");
    c.optimizer.lr = 1e30;
    c.schedule.warmup = 0;
    c.train.steps = 40;
    c.guard.action = GuardAction::skip;
    c.guard.max_skips = 5;
    EXPECT_THAT(error_of([&] { run(c); }), HasSubstr("5 steps in a row were skipped"));
}

TEST_F(TrainerTest, TheBestCheckpointStays) {
    TrainConfig c = config("run");
    c.checkpoint.keep = 1;
    c.checkpoint.every = c.eval.every = 2;
    c.schedule.kind = ScheduleKind::constant;
    c.optimizer.lr = 0.3; // gets worse after a while, if not at once
    c.guard.action = GuardAction::off;
    c.train.steps = 20;
    const auto b = bed(c);
    Trainer trainer(b->parts());
    b->start(trainer);
    trainer.run();
    double best = 1e9;
    int64_t best_step = -1;
    std::istringstream lines(read_file(directory / "run/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
        const Json json = Json::parse(line);
        if (!json.contains("eval_loss") || json["eval_loss"] >= best) continue;
        best = json["eval_loss"].get<double>();
        best_step = json["step"].get<int64_t>();
    }
    EXPECT_EQ(trainer.state().best_step, best_step);
    EXPECT_EQ(trainer.state().best_loss, best);
    const std::vector<int64_t> kept =
        best_step == 20 ? std::vector<int64_t>{20} : std::vector<int64_t>{best_step, 20};
    EXPECT_EQ(checkpoint_steps(c.run), kept);
}

TEST_F(TrainerTest, OtherDataAndDamageAreRefused) {
    TrainConfig c = config("run");
    run(c);
    testing::write_corpus(directory / "train.tnl", 60, 9);
    EXPECT_THAT(error_of([&] { run(c); }), HasSubstr("trained on other data"));
    testing::write_corpus(directory / "train.tnl", 60, 1);
    write_file_atomic(directory / "run/checkpoints/step-00000012/trainer.json", "{");
    EXPECT_THAT(error_of([&] { run(c); }),
                HasSubstr("--from 8 goes back to the checkpoint before"));
}

TEST_F(TrainerTest, EvaluationCountsEachHeldOutTokenOnce) {
    TrainConfig c = config("run");
    c.train.rows = 7;
    const auto b = bed(c);
    Learner learner(b->config, b->model, *b->device);
    learner.optimizer().set_master(first_weights(c, b->model).data());
    const int64_t rows = b->validation.rows_per_epoch();
    ASSERT_NE(rows % c.train.rows, 0); // the last batch is not a whole one
    double nats = 0;
    int64_t tokens = 0;
    for (int64_t r = 0; r < rows; ++r) { // the same rows in another order of batches
        ShardSource one(b->validation_shards, b->options(false), {0, 0, r});
        TokenRows batch;
        one.next(c.train.rows, batch);
        std::fill(batch.targets.begin() + c.train.length, batch.targets.end(), -1);
        nats += learner.loss_sum(batch);
        for (const int32_t target : batch.targets) tokens += target >= 0;
    }
    const EvalResult all = evaluate(learner, b->validation, 0, c.train.rows);
    EXPECT_EQ(all.tokens, tokens);
    EXPECT_NEAR(all.loss, nats / static_cast<double>(tokens), 1e-6);
    const double bytes = b->validation.bytes_per_token();
    EXPECT_NEAR(all.bits_per_byte, all.loss / std::log(2.0) / bytes, 1e-12);
    EXPECT_EQ(evaluate(learner, b->validation, 0, c.train.rows).loss, all.loss);
}

TEST(TrainingFlops, AreSixForEachWeightAndTheRecurrence) {
    const Model model(testing::small_config("run").model);
    double matrices = 24.0 * testing::kVocab; // the head, tied to the embedding
    for (const Param& p : model.params().all())
        if (p.name != "model.embed_tokens.weight" && p.shape.size() == 2)
            matrices += static_cast<double>(p.size);
    // Layer 0 has LRPE: its keys are twice as wide. 3 heads of 8.
    const double recurrence = 12.0 * 24 * 8 * 2 + 12.0 * 24 * 8;
    for (const int64_t length : {1, 512})
        EXPECT_DOUBLE_EQ(training_flops_per_token(model, length), 6 * matrices + recurrence);
}

TEST(TrainingFlops, OfSoftmaxAttentionGrowWithTheLength) {
    TrainConfig run = testing::small_config("run");
    testing::make_llama(run);
    const ModelConfig& config = run.model;
    const Model model(config);
    double matrices = 0; // the look-up multiplies nothing
    for (const Param& p : model.params().all())
        if (p.name != "model.embed_tokens.weight" && p.shape.size() == 2)
            matrices += static_cast<double>(p.size);
    const auto layers = static_cast<double>(config.decoder_layers);
    EXPECT_DOUBLE_EQ(training_flops_per_token(model, 1), 6 * matrices + 12 * 24 * layers);
    EXPECT_DOUBLE_EQ(training_flops_per_token(model, 99), 6 * matrices + 12 * 24 * 50 * layers);
}

} // namespace
} // namespace tnl
