#include "train/config.h"

#include "base/json.h"
#include "text/tokenizer.h"
#include "train/testbed.h"

#include <gmock/gmock.h>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryDirectory;

TrainConfig read(std::vector<std::string> overrides, std::vector<fs::path> files = {},
                 std::vector<std::string>* given = nullptr) {
    return read_train_config({std::move(files), std::move(overrides)}, given);
}

TEST(TrainConfig, OverridesWinOverFilesOverThePreset) {
    TemporaryDirectory directory;
    write_file_atomic(directory / "a.toml", "preset = \"tiny\"\n[train]\nsteps = 10\nrows = 2\n"
                                            "[model]\nglu_dim = 100\n[optimizer]\nlr = 0.5\n");
    write_file_atomic(directory / "b.json", R"({"train": {"rows": 3}})");
    std::vector<std::string> given;
    const TrainConfig c = read({"optimizer.lr=2e-3", "model.bias=true"},
                               {directory / "a.toml", directory / "b.json"}, &given);
    EXPECT_EQ(c.train.steps, 10);
    EXPECT_EQ(c.train.rows, 3);
    EXPECT_EQ(c.optimizer.lr, 2e-3);
    EXPECT_EQ(c.model.glu_dim, 100);
    EXPECT_TRUE(c.model.bias);
    EXPECT_EQ(c.model.decoder_embed_dim, model_preset("tiny").decoder_embed_dim);
    EXPECT_THAT(given, Contains("model.glu_dim"));
    EXPECT_THAT(given, Not(Contains("model.vocab_size")));
}

TEST(TrainConfig, ErrorsNameFieldValueAndWhatIsRight) {
    const auto error = [](std::vector<std::string> overrides) {
        overrides.insert(overrides.begin(), {"preset=tiny", "train.steps=10"});
        try {
            read(overrides);
        } catch (const UsageError& e) {
            return std::string(e.what());
        }
        return std::string("no error");
    };
    EXPECT_THAT(error({"optimizer.lr=-1"}), HasSubstr("optimizer.lr = -1: wanted a positive"));
    EXPECT_THAT(error({"optimizer.rl=1"}), HasSubstr("nearest is optimizer.lr"));
    EXPECT_THAT(error({"train.rows=many"}), HasSubstr("train.rows"));
    EXPECT_THAT(error({"train.tokens=1000"}), HasSubstr("wanted steps or tokens, or minutes"));
    EXPECT_THAT(error({"train.batch_tokens=5000"}), HasSubstr("8 * 512 = 4096"));
    EXPECT_THAT(error({"train.dtype=f16"}), HasSubstr("f32 or bf16"));
    EXPECT_THAT(error({"train.products=fp4"}), HasSubstr("fp8"));
    EXPECT_THAT(error({"train.products=fp8"}), HasSubstr("train.dtype = f32: wanted bf16"));
    EXPECT_THAT(error({"optimizer.rounding=stochastic"}),
                HasSubstr("train.dtype = f32: wanted bf16 where optimizer.rounding is stochastic"));
    const auto fp8 = [&](const std::string& key) {
        return error({"train.products=fp8", "train.dtype=bf16", key});
    };
    EXPECT_THAT(fp8("train.length=512"), HasSubstr("no error"));
    EXPECT_THAT(fp8("train.length=511"), HasSubstr("4088: wanted a multiple of 16"));
    EXPECT_THAT(fp8("model.glu_dim=360"), HasSubstr("model.glu_dim = 360: wanted a multiple"));
    EXPECT_THAT(error({"schedule.kind=cosin"}), HasSubstr("cosine"));
    EXPECT_THAT(error({"model.position_embeddings=100"}), HasSubstr("train.length = 512"));
    EXPECT_THAT(error({"guard.ratio=0.5"}), HasSubstr("guard.ratio = 0.5"));
    EXPECT_THAT(error({"schedule.warmup=11"}), HasSubstr("no error")); // known once steps are
    EXPECT_THAT(error({"preset=tinny"}), HasSubstr("unknown model preset"));
    EXPECT_THROW(read({"train.steps=10"}), UsageError); // no model
}

TEST(TrainConfig, BudgetsBecomeSteps) {
    TrainConfig c = read({"preset=tiny", "train.tokens=10000", "train.batch_tokens=8192"});
    EXPECT_EQ(c.train.accumulate, 2);
    c.resolve_steps(0);
    EXPECT_EQ(c.train.steps, 2);
    EXPECT_EQ(c.schedule.warmup, 0);
    c = read({"preset=tiny", "train.minutes=2"});
    c.resolve_steps(0.5);
    EXPECT_EQ(c.train.steps, 240);
    EXPECT_EQ(c.schedule.warmup, 12);
    c = read({"preset=tiny", "train.minutes=2", "train.steps=100"}); // what ends first
    c.resolve_steps(0.5);
    EXPECT_EQ(c.train.steps, 100);
    c = read({"preset=tiny", "train.minutes=2", "train.tokens=10000000"});
    c.resolve_steps(0.5);
    EXPECT_EQ(c.train.steps, 240);
    c = read({"preset=tiny", "train.steps=5", "schedule.warmup=9"});
    EXPECT_THROW(c.resolve_steps(0), UsageError);
}

TEST(RunConfig, GoesOnWithTheCommandLineThatBeganIt) {
    TemporaryDirectory directory;
    const std::vector<std::string> begun = {"preset=tiny", "train.tokens=100000",
                                            "model.bias=true"};
    TrainConfig c = read(begun);
    c.resolve_steps(0);
    fs::create_directories(directory / "run");
    write_file_atomic(directory / "run/run.json", c.json());
    c.run = (directory / "run").string();

    const auto resumed = [&](std::vector<std::string> overrides) {
        return read_run_config(directory / "run", {{}, std::move(overrides)});
    };
    EXPECT_EQ(resumed({}).json(), c.json());
    EXPECT_EQ(resumed(begun).json(), c.json());
    EXPECT_EQ(resumed({"log.every=3", "guard.action=skip"}).log.every, 3);
    EXPECT_EQ(resumed({"train.minutes=3"}).train.steps, c.train.steps); // measured once
    EXPECT_EQ(resumed({"train.minutes=3", "train.tokens=100"}).train.steps, c.train.steps);
    for (const char* change : {"optimizer.lr=1", "train.steps=3", "model.bias=false",
                               "data.reset=false", "train.seed=5"})
        EXPECT_THAT(error_of([&] { resumed({change}); }),
                    HasSubstr(std::string(change).substr(0, std::string(change).find('='))));
    EXPECT_THAT(error_of([&] { resumed({"train.tokens=200000"}); }),
                HasSubstr("train.steps = 49: the run in"));
    EXPECT_THAT(error_of([&] { resumed({"optimizer.lr=1"}); }),
                HasSubstr("optimizer.lr = 1.0: the run in"));
    EXPECT_THAT(error_of([&] { resumed({"init=elsewhere"}); }),
                HasSubstr("init = \"elsewhere\": the run in"));
    EXPECT_THAT(error_of([&] { read_run_config(directory / "none", {}); }),
                HasSubstr("run.json: not found"));
}

TEST(Setup, FindsWhatTokenizeWrote) {
    TemporaryDirectory directory;
    for (const char* split : {"train", "val"})
        testing::write_corpus(directory / (std::string("data/") + split + "/shard-00000.tnl"), 10,
                              1);
    write_file_atomic(directory / "data/tokenizer.model", "not read here");
    DataConfig data;
    data.train = (directory / "data").string();
    find_data(data);
    EXPECT_EQ(data.train, directory / "data/train");
    EXPECT_EQ(data.validation, directory / "data/val");
    EXPECT_EQ(data.tokenizer, directory / "data/tokenizer.model");
    DataConfig again = data;
    find_data(again);
    EXPECT_EQ(again.train, data.train);
    EXPECT_EQ(again.validation, data.validation);

    DataConfig missing;
    EXPECT_THAT(error_of([&] { find_data(missing); }), HasSubstr("data.train is not given"));
    missing.train = (directory / "nothing").string();
    EXPECT_THAT(error_of([&] { find_data(missing); }), HasSubstr("there is no such file"));
}

TEST(Setup, TheModelFitsTheTokenizerUnlessTold) {
    TemporaryDirectory directory;
    TokenizerTraining training;
    training.vocab_size = 300;
    training.threads = 1;
    int left = 200;
    const std::string bytes = train_tokenizer(training, [&](std::string& line) {
        line = fmt::format("The {} quick brown foxes jump over {} lazy dogs", left, left * 7);
        return left-- > 0;
    });
    const Tokenizer tokenizer = Tokenizer::from_bytes(bytes, "test");
    fs::create_directories(directory / "data/train");
    write_file_atomic(directory / "data/tokenizer.model", bytes);
    {
        ShardWriter writer(directory / "data/train/shard-00000.tnl", 300, tokenizer.hash());
        writer.add(std::vector<int32_t>(600, 5), 600);
        writer.commit();
    }
    const auto fitted = [&](std::vector<std::string> overrides) {
        overrides.insert(overrides.end(), {"preset=tiny", "train.steps=1",
                                           "data.train=" + (directory / "data").string()});
        std::vector<std::string> given;
        TrainConfig c = read(overrides, {}, &given);
        find_data(c.data);
        fit_model(c, RunData(c).train, given);
        return c.model;
    };
    EXPECT_EQ(fitted({}).vocab_size, 300);
    EXPECT_EQ(fitted({}).eos_token_id, tokenizer.eos());
    EXPECT_EQ(fitted({}).torch_dtype, "float32");
    EXPECT_EQ(fitted({"checkpoint.dtype=bf16"}).torch_dtype, "bfloat16");
    EXPECT_EQ(fitted({"model.vocab_size=320"}).vocab_size, 320);
    EXPECT_THAT(error_of([&] { fitted({"model.vocab_size=200"}); }), HasSubstr("at least 300"));
    TokenizerTraining other = training;
    other.vocab_size = 310;
    left = 150;
    write_file_atomic(directory / "data/tokenizer.model",
                      train_tokenizer(other, [&](std::string& s) {
                          s = fmt::format("Pack my box with {} dozen jugs {}", left, left * 3);
                          return left-- > 0;
                      }));
    EXPECT_THAT(error_of([&] { fitted({}); }), HasSubstr("not the tokenizer that"));
}

} // namespace
} // namespace tnl
