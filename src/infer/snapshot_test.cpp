#include "infer/snapshot.h"

#include "infer/generator.h"
#include "infer/testbed.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::ModelBed;
using testing::random_tokens;

ModelConfig snapshot_config(int64_t lrpe) {
    ModelConfig c;
    c.vocab_size = 61;
    c.decoder_embed_dim = c.hidden_dim = 32;
    c.decoder_layers = 2;
    c.decoder_attention_heads = 2;
    c.glu_dim = 48;
    c.linear_use_lrpe_list = {1, lrpe};
    return c;
}

class SnapshotTest : public ::testing::Test {
  protected:
    Session session(DType dtype = DType::f32) {
        return {bed.model, *bed.device, bed.weights, {dtype, 3, 16}};
    }
    // A state of 50 tokens in slot 1, saved.
    void save() {
        Session s = session();
        const std::span<const int32_t> text = tokens;
        s.prefill(1, {&text, 1});
        save_snapshot(path, s, 1, tokens);
    }
    std::string failure(Session& s) {
        try {
            load_snapshot(path, s, 0);
        } catch (const Error& e) {
            return e.what();
        }
        return "loaded";
    }
    void TearDown() override { fs::remove(path); }

    const fs::path path = fs::temp_directory_path() / fmt::format("tnl-state-{}", ::getpid());
    const std::vector<int32_t> tokens = random_tokens(50, 3);
    ModelBed bed{snapshot_config(0), DType::f32, cpu_kernels(), 1};
};

TEST_F(SnapshotTest, GoesOnAsIfItHadNeverStopped) {
    Session whole = session();
    GenerateRequest request;
    request.prompt = tokens;
    request.prompt.push_back(7);
    request.max_new_tokens = 20;
    request.sampler.presence_penalty = 0.5;
    request.sampler.repetition_penalty = 1.2;
    const std::span<const int32_t> text = tokens;
    whole.prefill(0, {&text, 1});
    const std::vector<int32_t> last{7};
    const std::span<const int32_t> rest = last;
    whole.prefill(0, {&rest, 1}); // cut where the snapshot cuts
    save();

    Session s = session();
    EXPECT_EQ(load_snapshot(path, s, 2), tokens);
    EXPECT_EQ(s.length(2), 50);
    s.prefill(2, {&rest, 1});
    EXPECT_TRUE(std::ranges::equal(s.logits(0), whole.logits(0)));

    const std::vector<int32_t> wanted = generate(whole, {&request, 1})[0].tokens;
    request.prompt = last;
    request.before = tokens;
    request.restore = [&](int64_t slot) { load_snapshot(path, s, slot); };
    EXPECT_EQ(generate(s, {&request, 1})[0].tokens, wanted);
}

TEST_F(SnapshotTest, RefusesWhatIsNotItsOwn) {
    save();
    Session s = session();
    EXPECT_EQ(failure(s), "loaded");
    float* weights = bed.weights.as<float>();
    weights[0] += 1;
    EXPECT_THAT(failure(s), HasSubstr("another model's"));
    weights[0] -= 1;
    const ModelBed other(snapshot_config(1), DType::f32, cpu_kernels(), 1);
    Session of_other(other.model, *other.device, other.weights, {DType::f32, 1, 16});
    EXPECT_THAT(failure(of_other), HasSubstr("another model's"));
    fs::resize_file(path, fs::file_size(path) - 8);
    EXPECT_THAT(failure(s), HasSubstr(path.string()));
    EXPECT_THROW(save_snapshot(path, s, 1, tokens), Error); // it has seen none
}

} // namespace
} // namespace tnl
