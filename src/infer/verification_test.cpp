#include "infer/verification.h"

#include "model/checkpoint.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::HostBatch;
using testing::ModelBed;

constexpr int64_t kRows = 3, kLength = 37, kSteps = 4, kLogits = 61;

ModelConfig verification_config() {
    ModelConfig c;
    c.vocab_size = kLogits;
    c.decoder_embed_dim = c.hidden_dim = 24;
    c.decoder_layers = 2;
    c.decoder_attention_heads = 3;
    c.glu_dim = 40;
    c.init_std = 0.15;
    return c;
}

struct Item {
    std::vector<int64_t> shape;
    std::vector<double> values;
    bool integers = false;
};
using Items = std::map<std::string, Item>;

void write(const fs::path& path, const Items& items) {
    std::vector<TensorInfo> infos;
    for (const auto& [name, item] : items)
        infos.push_back({name, item.integers ? "I64" : "F64", item.shape, 0, 0});
    SafetensorsWriter writer(path, infos);
    for (const TensorInfo& info : writer.tensors()) {
        const Item& item = items.at(info.name);
        const std::vector<int64_t> whole(item.values.begin(), item.values.end());
        writer.write(item.integers ? static_cast<const void*>(whole.data()) : item.values.data(),
                     item.values.size() * 8);
    }
    writer.finish();
}

// A checkpoint, and what the oracle computes from it in f64: rows without padding, padded at the
// left, and at the right.
class VerificationTest : public ::testing::Test {
  protected:
    void SetUp() override {
        fs::remove_all(directory);
        save_model(directory, bed.model, bed.weights, *bed.device,
                   {DType::f64, uint64_t{1} << 30, std::nullopt});
        HostBatch batch = testing::random_batch(bed.model.config(), kRows, kLength, 3);
        batch.targets.clear();
        batch.mask.assign(batch.ids.size(), 1);
        std::fill_n(batch.mask.begin() + kLength, 5, 0);
        std::fill_n(batch.mask.begin() + 3 * kLength - 6, 6, 0);
        add("input_ids", {kRows, kLength}, batch.ids);
        add("attention_mask", {kRows, kLength}, batch.mask);
        OwnedTensor memory(*bed.device, DType::f64, {kRows * bed.model.config().state_bytes() / 4});
        States states;
        int64_t at = 0;
        for (int64_t l = 0; l < 2; ++l) {
            const int64_t D = bed.model.config().key_dim(l);
            const Tensor s = memory.slice(0, at, at + kRows * 3 * D * 8);
            states.layers.push_back(s.reshape({kRows, 3, D, 8}));
            at += s.size();
        }
        std::vector<double> logits = bed.logits(batch, nullptr, &states);
        items["prefill_logits"] = {{kRows, kLength, kLogits}, logits};
        for (size_t l = 0; l < 2; ++l)
            items[fmt::format("prefill_state.{}", l)] = {
                {kRows, 3, bed.model.config().key_dim(static_cast<int64_t>(l)), 8},
                ModelBed::values(states.layers[l])};
        decode(logits, states);
        write(directory / "expected.safetensors", items);
    }
    void TearDown() override { fs::remove_all(directory); }

    void add(const char* name, std::vector<int64_t> shape, const std::vector<int32_t>& values) {
        items[name] = {std::move(shape), {values.begin(), values.end()}, true};
    }
    void decode(std::vector<double> last, States& states) {
        last.erase(last.begin(), last.end() - kRows * kLength * kLogits);
        std::vector<std::vector<double>> rows;
        for (int64_t b = 0; b < kRows; ++b) {
            const auto end = last.begin() + (b + 1) * kLength * kLogits;
            rows.emplace_back(end - kLogits, end);
        }
        std::vector<double> logits(static_cast<size_t>(kRows * kSteps * kLogits));
        std::vector<int32_t> greedy(static_cast<size_t>(kRows * kSteps));
        for (int64_t step = 0; step < kSteps; ++step) {
            HostBatch next;
            next.sequences = kRows;
            for (const std::vector<double>& row : rows) {
                next.ids.push_back(
                    static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
                next.positions.push_back(static_cast<int32_t>(kLength + step));
            }
            const std::vector<double> after = bed.logits(next, &states, &states);
            for (int64_t b = 0; b < kRows; ++b) {
                greedy[static_cast<size_t>(b * kSteps + step)] = next.ids[static_cast<size_t>(b)];
                auto& row = rows[static_cast<size_t>(b)];
                row.assign(after.begin() + b * kLogits, after.begin() + (b + 1) * kLogits);
                std::copy(row.begin(), row.end(), logits.begin() + (b * kSteps + step) * kLogits);
            }
        }
        add("greedy_ids", {kRows, kSteps}, greedy);
        items["decode_logits"] = {{kRows, kSteps, kLogits}, logits};
    }
    Verification run(DType dtype, int64_t chunk = 10) {
        const Recorded recorded(directory / "expected.safetensors", bed.model.config());
        const auto device = make_cpu_device(2);
        return verify(directory, bed.model, *device, {dtype, chunk, nullptr, std::nullopt},
                      recorded, nullptr);
    }

    fs::path directory = fs::temp_directory_path() / fmt::format("tnl-verify-{}", ::getpid());
    ModelBed bed{verification_config(), DType::f64, cpu_oracle_kernels()};
    Items items;
};

TEST_F(VerificationTest, HoldsInEveryDtypeAndForEveryPiece) {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16})
        for (const int64_t chunk : {int64_t{1}, int64_t{16}, int64_t{1000}}) {
            const Verification v = run(dtype, chunk);
            EXPECT_TRUE(v.ok());
            ASSERT_EQ(v.tensors.size(), 4u); // no loss was recorded
            for (const Verdict& t : v.tensors) {
                EXPECT_TRUE(t.ok()) << t.deviation.tensor << " " << t.error;
                EXPECT_EQ(t.plain.has_value(), dtype == DType::bf16);
            }
        }
}

TEST_F(VerificationTest, FindsOneWrongNumberAndItsPlace) {
    for (const auto& [name, index] : {std::pair{"prefill_logits", kLength * kLogits - 2},
                                      {"prefill_state.1", int64_t{70}},
                                      {"decode_logits", kSteps * kLogits + 3}}) {
        Items wrong = items;
        wrong[name].values[static_cast<size_t>(index)] += 1e-3;
        write(directory / "expected.safetensors", wrong);
        const Verification v = run(DType::f32);
        EXPECT_FALSE(v.ok());
        for (const Verdict& t : v.tensors) {
            EXPECT_EQ(t.ok(), t.deviation.tensor != name);
            if (!t.ok()) {
                EXPECT_EQ(t.deviation.at, index);
                EXPECT_NEAR(t.deviation.worst, 1e-3, 1e-5);
            }
        }
    }
}

TEST_F(VerificationTest, LeavesOutMaskedPositions) {
    // Row 1 is masked at the left, row 2 at the right.
    for (const int64_t token : {kLength, kLength + 4, 3 * kLength - 1, 3 * kLength - 6})
        items["prefill_logits"].values[static_cast<size_t>(token * kLogits)] += 1;
    write(directory / "expected.safetensors", items);
    EXPECT_TRUE(run(DType::f32).ok());
    items["prefill_logits"].values[static_cast<size_t>((kLength + 5) * kLogits)] += 1;
    write(directory / "expected.safetensors", items);
    EXPECT_FALSE(run(DType::f32).ok());
}

TEST_F(VerificationTest, FindsAWrongToken) {
    auto& greedy = items["greedy_ids"].values;
    greedy.back() = greedy.back() == 5 ? 6 : 5;
    write(directory / "expected.safetensors", items);
    const Verification v = run(DType::f32);
    EXPECT_FALSE(v.tokens_ok);
    ASSERT_EQ(v.other_tokens.size(), 1u);
    EXPECT_EQ(v.other_tokens[0].row, 2);
    EXPECT_EQ(v.other_tokens[0].step, 3);
    EXPECT_LT(v.other_tokens[0].gap, 0); // the recorded logits speak for the other
}

TEST_F(VerificationTest, RefusesWhatIsNotThere) {
    items.erase("prefill_state.1");
    write(directory / "expected.safetensors", items);
    try {
        run(DType::f32);
        FAIL();
    } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("expected.safetensors: has no tensor \"prefill_state.1\""));
    }
}

TEST(Deviation, KeepsTheWorst) {
    Deviation d;
    d.add(0, 1, 1, "a");
    EXPECT_EQ(d.error(), 0);
    d.add(1, 3, 4, "b");
    d.add(2, -7, -7.5, "c");
    EXPECT_EQ(d.at, 1);
    EXPECT_STREQ(d.form, "b");
    EXPECT_EQ(d.error(), 1 / 7.5);
    EXPECT_EQ(d.error(10), 0.1);
    d.add(3, std::nan(""), 0, "d");
    EXPECT_EQ(d.at, 3);
    EXPECT_TRUE(std::isinf(d.error()));
}

} // namespace
} // namespace tnl
