// Steps of training on a GPU against the same steps on the CPU, in f32: what the loop adds to the
// operators, which have their own tests.
#include "train/learner.h"

#include "ops/cuda_testbed.h"
#include "train/testbed.h"

#include <cmath>

namespace tnl {
namespace {

using testing::floats_of;

struct Case {
    const char* name;
    void (*set)(TrainConfig&);
    bool masked = false;
};

class LearnerOnCuda : public ::testing::TestWithParam<Case> {
  protected:
    // Loss and gradient of one step, and the loss of the next, from the same weights.
    struct Result {
        double first = 0, second = 0, norm = 0;
        std::vector<float> gradient;
    };
    Result step(TrainConfig config, const std::string& device_name) const {
        const auto device = make_device(device_name, 2);
        const Model model(config.model, config.train.lora);
        const ParamTable& table = model.params();
        std::vector<float> weights(static_cast<size_t>(table.flat_size()));
        initialize(Model(config.model).params(), config.model, 4, weights.data());
        if (table.has_adapters()) initialize(table, config.model, 4, weights.data());
        for (const Param& p : table.adapters()) // B, too, off zero
            for (int64_t i = 0; i < p.size; ++i)
                weights[static_cast<size_t>(p.offset + i)] += static_cast<float>(
                    0.02 * Philox{5, 5}.normal(static_cast<uint64_t>(p.offset + i)));
        const ShardSet shards(directory / "train.tnl");
        const int64_t pieces = config.train.pieces;
        ShardSource source(shards, {config.train.length * pieces, true, config.data.reset, pieces},
                           {3, 0, 0});
        Learner learner(config, model, *device);
        learner.set_weights(weights.data());
        const auto read = [&] {
            std::vector<TokenRows> batches(static_cast<size_t>(config.train.accumulate));
            for (TokenRows& batch : batches) {
                source.next(config.train.rows, batch);
                for (size_t i = 0; GetParam().masked && i < batch.targets.size(); i += 3) {
                    batch.counted -= batch.targets[i] >= 0;
                    batch.targets[i] = -1;
                }
            }
            return batches;
        };
        const Learner::Step a = learner.gradients(read());
        learner.update(1e-3, a.norm);
        Result out{a.loss, learner.gradients(read()).loss, a.norm,
                   floats_of(*device, learner.optimizer().m())};
        return out;
    }
    testing::TemporaryDirectory directory;
};

TEST_P(LearnerOnCuda, IsTheLearnerOnTheCpu) {
    TNL_NEEDS_GPU();
    testing::write_corpus(directory / "train.tnl", 60, 1);
    TrainConfig config = testing::small_config(directory / "run");
    config.optimizer.beta1 = 0; // the mean is the gradient
    config.optimizer.clip = 0;
    GetParam().set(config);
    const Result cpu = step(config, "cpu"), gpu = step(config, "cuda");
    EXPECT_NEAR(gpu.first, cpu.first, 1e-5);
    EXPECT_NEAR(gpu.second, cpu.second, 1e-4);
    EXPECT_NEAR(gpu.norm, cpu.norm, 1e-4 * cpu.norm);
    double difference = 0, size = 0;
    for (size_t i = 0; i < cpu.gradient.size(); ++i) {
        difference += std::pow(
            static_cast<double>(cpu.gradient[i]) - static_cast<double>(gpu.gradient[i]), 2);
        size += std::pow(static_cast<double>(cpu.gradient[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference / size), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Of, LearnerOnCuda,
    ::testing::Values(Case{"all_weights", [](TrainConfig&) {}},
                      Case{"masked", [](TrainConfig& c) { c.train.accumulate = 3; }, true},
                      Case{"adapters", [](TrainConfig& c) { c.train.lora.rank = 4; }, true},
                      Case{"adapters_of_some",
                           [](TrainConfig& c) {
                               c.train.lora = {2, 8, {"l2", "out_proj"}};
                               c.train.recompute = Recomputation::block;
                           }},
                      Case{"documents_in_pieces",
                           [](TrainConfig& c) {
                               c.train.pieces = 3;
                               c.train.accumulate = 6;
                               c.train.through = Through::exact;
                           }},
                      Case{"documents_over_steps",
                           [](TrainConfig& c) {
                               c.train.pieces = 3;
                               c.train.accumulate = 2;
                           }}),
    [](const auto& i) { return std::string(i.param.name); });

} // namespace
} // namespace tnl
