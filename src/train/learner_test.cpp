#include "train/learner.h"

#include "train/testbed.h"

#include <cmath>

namespace tnl {
namespace {

using testing::floats_of;
using testing::TemporaryDirectory;

class LearnerTest : public ::testing::Test {
  protected:
    LearnerTest() { testing::write_corpus(directory / "train.tnl", 60, 1); }

    // The gradient of the first 12 rows in micro-batches of so many, as Adam's mean sees it.
    struct Result {
        Learner::Step step;
        std::vector<float> gradient;
    };
    Result gradient(int64_t rows, DType dtype = DType::f32,
                    Recomputation recompute = Recomputation::none, bool wide = false,
                    Products products = Products::dtype) const {
        TrainConfig config = testing::small_config(directory / "run");
        if (wide) testing::use_fp8(config);
        config.train.products = products;
        config.train.rows = rows;
        config.train.accumulate = 12 / rows;
        config.train.dtype = std::string(name_of(dtype));
        config.train.recompute = recompute;
        config.optimizer.beta1 = 0; // the mean is the gradient
        config.optimizer.clip = 0;
        const Model model(config.model);
        const auto device = make_cpu_device(2);
        const ShardSet shards(directory / "train.tnl");
        ShardSource source(shards, {config.train.length, true, true}, {3, 0, 0});
        Learner learner(config, model, *device);
        learner.optimizer().set_master(first_weights(config, model).data());
        std::vector<TokenRows> batches(static_cast<size_t>(config.train.accumulate));
        for (TokenRows& batch : batches) source.next(rows, batch);
        Result out;
        out.step = learner.gradients(batches);
        learner.update(1e-3, out.step.norm);
        out.gradient = floats_of(*device, learner.optimizer().m());
        return out;
    }
    static double distance(const std::vector<float>& a, const std::vector<float>& b) {
        double difference = 0, size = 0;
        for (size_t i = 0; i < a.size(); ++i) {
            difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
            size += std::pow(static_cast<double>(b[i]), 2);
        }
        return std::sqrt(difference / size);
    }
    TemporaryDirectory directory;
};

TEST_F(LearnerTest, MicroBatchesAreOneBatch) {
    const Result whole = gradient(12);
    for (const int64_t rows : {1, 3, 6}) {
        const Result parts = gradient(rows);
        EXPECT_NEAR(parts.step.loss, whole.step.loss, 1e-6) << rows;
        EXPECT_NEAR(parts.step.norm, whole.step.norm, 1e-5 * whole.step.norm) << rows;
        EXPECT_LT(distance(parts.gradient, whole.gradient), 1e-5) << rows;
    }
}

// Rows of 48 tokens whole, and in pieces whose states and gradients pass on; of one sequence, and
// of the documents in them.
TEST_F(LearnerTest, PiecesOfASequenceAreTheSequence) {
    for (const bool reset : {false, true}) {
        const auto sequences = [&](int64_t pieces, Through through, Recomputation recompute) {
            TrainConfig config = testing::small_config(directory / "run");
            config.data.reset = reset;
            config.train.rows = 2;
            config.train.length = 48 / pieces;
            config.train.pieces = pieces;
            config.train.through = through;
            config.train.accumulate = 2 * pieces;
            config.train.recompute = recompute;
            config.optimizer.beta1 = 0; // the mean is the gradient
            config.optimizer.clip = 0;
            config.validate();
            const Model model(config.model);
            const auto device = make_cpu_device(2);
            const ShardSet shards(directory / "train.tnl");
            ShardSource source(shards, {48, true, reset, pieces}, {3, 0, 0});
            Learner learner(config, model, *device);
            learner.optimizer().set_master(first_weights(config, model).data());
            std::vector<TokenRows> batches(static_cast<size_t>(config.train.accumulate));
            for (TokenRows& batch : batches) source.next(2, batch);
            Result out;
            out.step = learner.gradients(batches);
            learner.update(1e-3, out.step.norm);
            out.gradient = floats_of(*device, learner.optimizer().m());
            return out;
        };
        const Result whole = sequences(1, Through::truncated, Recomputation::none);
        for (const Recomputation recompute :
             {Recomputation::none, Recomputation::glu, Recomputation::block}) {
            for (const int64_t pieces : {3, 4, 12}) {
                const Result exact = sequences(pieces, Through::exact, recompute);
                EXPECT_NEAR(exact.step.loss, whole.step.loss, 1e-6) << pieces;
                EXPECT_LT(distance(exact.gradient, whole.gradient), 1e-5) << pieces;
            }
            const Result truncated = sequences(3, Through::truncated, recompute);
            EXPECT_NEAR(truncated.step.loss, whole.step.loss, 1e-6);
            EXPECT_GT(distance(truncated.gradient, whole.gradient), 1e-3);
            EXPECT_LT(distance(truncated.gradient, whole.gradient), 0.5);
        }
    }
}

// The sum over all targets is that over some and that over the rest, in steps whose micro-batches
// count unequally many; the mean is each sum by what it counts.
TEST_F(LearnerTest, MaskedTargetsLeaveTheMeanOverTheOthers) {
    TrainConfig config = testing::small_config(directory / "run");
    config.train.accumulate = 4;
    config.optimizer.beta1 = 0; // the mean is the gradient
    config.optimizer.clip = 0;
    const Model model(config.model);
    const auto device = make_cpu_device(2);
    const ShardSet shards(directory / "train.tnl");
    enum Part { all, some, others, nothing };
    const auto step = [&](Part part) {
        ShardSource source(shards, {config.train.length, true, true}, {3, 0, 0});
        Learner learner(config, model, *device);
        learner.optimizer().set_master(first_weights(config, model).data());
        std::vector<TokenRows> batches(4);
        for (size_t b = 0; b < 4; ++b) {
            source.next(config.train.rows, batches[b]);
            batches[b].counted = 0;
            for (size_t i = 0; i < batches[b].targets.size(); ++i) {
                int32_t& target = batches[b].targets[i];
                const bool in = b == 1 || (b == 2 && i % 3 == 0); // none of the first micro-batch
                if (part == nothing || (part != all && in != (part == some))) target = -1;
                batches[b].counted += target >= 0;
            }
        }
        Result out;
        out.step = learner.gradients(batches);
        learner.update(1e-3, out.step.norm);
        out.gradient = floats_of(*device, learner.optimizer().m());
        return out;
    };
    const Result whole = step(all), a = step(some), b = step(others);
    ASSERT_EQ(a.step.counted + b.step.counted, whole.step.counted);
    ASSERT_GT(a.step.counted, 0);
    const auto share =
        static_cast<double>(a.step.counted) / static_cast<double>(whole.step.counted);
    EXPECT_NEAR(share * a.step.loss + (1 - share) * b.step.loss, whole.step.loss, 1e-6);
    std::vector<float> sum;
    for (size_t i = 0; i < a.gradient.size(); ++i)
        sum.push_back(static_cast<float>(share * static_cast<double>(a.gradient[i]) +
                                         (1 - share) * static_cast<double>(b.gradient[i])));
    EXPECT_LT(distance(sum, whole.gradient), 1e-5);
    EXPECT_GT(distance(a.gradient, whole.gradient), 0.05);
    const Result none = step(nothing);
    EXPECT_EQ(none.step.counted, 0);
    EXPECT_EQ(none.step.loss, 0);
    EXPECT_EQ(none.step.norm, 0);
}

TEST_F(LearnerTest, AdaptersLeaveTheFrozenWeightsAndTakeLittleMemory) {
    TrainConfig config = testing::small_config(directory / "run");
    const auto device = make_cpu_device(2);
    const Model plain(config.model);
    std::vector<float> base(static_cast<size_t>(plain.params().flat_size()));
    initialize(plain.params(), config.model, 4, base.data());
    const ShardSet shards(directory / "train.tnl");
    ShardSource source(shards, {config.train.length, true, true}, {3, 0, 0});
    std::vector<TokenRows> batches(1);
    source.next(config.train.rows, batches[0]);
    for (const char* dtype : {"f32", "bf16"}) {
        config.train.dtype = dtype;
        const Model adapted(config.model, {2, 4, {}});
        const ParamTable& table = adapted.params();
        std::vector<float> all(static_cast<size_t>(table.flat_size()));
        std::copy(base.begin(), base.end(), all.begin());
        initialize(table, config.model, 5, all.data());
        Learner whole(config, plain, *device), low(config, adapted, *device);
        whole.set_weights(base.data());
        low.set_weights(all.data());
        const Tensor frozen = low.weights().slice(0, 0, table.trained_begin());
        const auto bytes_of = [](const Tensor& t) {
            return std::string(static_cast<const char*>(t.data), static_cast<size_t>(t.bytes()));
        };
        const std::string before = bytes_of(frozen);
        EXPECT_EQ(before, bytes_of(whole.weights()));
        EXPECT_EQ(low.loss_sum(batches[0]), whole.loss_sum(batches[0])) << "B = 0";
        const auto first = low.gradients(batches);
        EXPECT_EQ(first.loss, whole.gradients(batches).loss);
        for (int i = 0; i < 20; ++i) low.update(1e-2, low.gradients(batches).norm);
        EXPECT_LT(low.gradients(batches).loss, first.loss - 0.05);
        EXPECT_EQ(bytes_of(frozen), before);
        const MemoryPlan a = plan_memory(config, plain, *device),
                         b = plan_memory(config, adapted, *device);
        const auto bytes = [](const MemoryPlan& plan, const std::string& name) {
            for (const auto& [line, n] : plan.lines)
                if (line.starts_with(name)) return n;
            return size_t{0};
        };
        const auto trained = static_cast<size_t>(table.trained_size());
        EXPECT_EQ(bytes(b, "gradients"), 4 * trained);
        EXPECT_EQ(bytes(b, "AdamW"), 8 * trained);
        EXPECT_EQ(bytes(b, "master"), config.train.dtype == "bf16" ? 4 * trained : 0);
        EXPECT_LT(bytes(b, "gradients"), bytes(a, "gradients") / 4);
    }
}

TEST_F(LearnerTest, LossOfAnUntrainedModelIsThatOfGuessing) {
    EXPECT_NEAR(gradient(3).step.loss, std::log(static_cast<double>(testing::kVocab)), 0.15);
}

TEST_F(LearnerTest, NormIsTheNormOfTheGradient) {
    const Result r = gradient(4);
    double squares = 0;
    for (const float g : r.gradient) squares += static_cast<double>(g) * static_cast<double>(g);
    EXPECT_NEAR(r.step.norm, std::sqrt(squares), 1e-6 * r.step.norm);
}

TEST_F(LearnerTest, RecomputingGivesTheSameBits) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
        const Result kept = gradient(4, dtype);
        for (const Recomputation recompute : {Recomputation::glu, Recomputation::block}) {
            const Result again = gradient(4, dtype, recompute);
            EXPECT_EQ(kept.gradient, again.gradient) << name_of(dtype);
            EXPECT_EQ(kept.step.loss, again.step.loss);
        }
    }
}

TEST_F(LearnerTest, EightBitsAreNearBf16AndRepeat) {
    const Result plain = gradient(4, DType::bf16, Recomputation::none, true);
    const Result fp8 = gradient(4, DType::bf16, Recomputation::none, true, Products::fp8);
    const Result again = gradient(4, DType::bf16, Recomputation::block, true, Products::fp8);
    const Result glu = gradient(4, DType::bf16, Recomputation::glu, true, Products::fp8);
    EXPECT_EQ(fp8.gradient, again.gradient);
    EXPECT_EQ(fp8.gradient, glu.gradient);
    EXPECT_NEAR(fp8.step.loss, plain.step.loss, 0.01);
    EXPECT_LT(distance(fp8.gradient, plain.gradient), 0.2);
    EXPECT_GT(distance(fp8.gradient, plain.gradient), 0.02); // it is 8 bits
}

TEST_F(LearnerTest, Bf16IsNearF32) {
    const Result exact = gradient(4), rounded = gradient(4, DType::bf16);
    EXPECT_NEAR(rounded.step.loss, exact.step.loss, 0.01);
    EXPECT_LT(distance(rounded.gradient, exact.gradient), 0.05);
}

TEST_F(LearnerTest, RecomputesWhereItMust) {
    TrainConfig config = testing::small_config(directory / "run");
    config.train.rows = 4096;
    const Model model(config.model);
    const auto device = make_cpu_device(1);
    const auto plan = [&](Recomputation recompute) {
        config.train.recompute = recompute;
        return plan_memory(config, model, *device);
    };
    const size_t none = plan(Recomputation::none).total, glu = plan(Recomputation::glu).total,
                 block = plan(Recomputation::block).total;
    ASSERT_LT(block, glu);
    ASSERT_LT(glu, none);
    EXPECT_EQ(plan(Recomputation::fit).total, none);
    // More rows, until only recomputation fits: of the SGLU, then of the block.
    const auto rows_between = [&](size_t more, size_t less) {
        const auto room = static_cast<double>(device->memory_free());
        return static_cast<int64_t>(4096 * room / static_cast<double>(more + less) * 2);
    };
    config.train.rows = rows_between(none, glu);
    EXPECT_EQ(plan(Recomputation::fit).recompute, Recompute::glu);
    config.train.rows = rows_between(glu, block);
    EXPECT_EQ(plan(Recomputation::fit).recompute, Recompute::block);
}

TEST_F(LearnerTest, ARunThatCannotFitSaysSoWithATable) {
    TrainConfig config = testing::small_config(directory / "run");
    const Model model(config.model);
    const auto device = make_cpu_device(1);
    // Twice as many rows as the machine's memory holds.
    const size_t base = plan_memory(config, model, *device).total;
    config.train.rows *= 16;
    const size_t more = plan_memory(config, model, *device).total;
    config.train.rows *= static_cast<int64_t>(2 * device->memory_total() / (more - base)) + 1;
    const std::string error = testing::error_of([&] { Learner(config, model, *device); });
    EXPECT_NE(error.find(fmt::format("train.rows = {}", config.train.rows)), std::string::npos)
        << error;
    EXPECT_NE(error.find("activations"), std::string::npos) << error;
    EXPECT_NE(error.find("GiB"), std::string::npos) << error;
}

} // namespace
} // namespace tnl
