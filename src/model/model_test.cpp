// The model as a whole: gradients in double against finite differences, and the equivalences that
// make one forward serve every mode.
#include "model/testbed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

using testing::HostBatch;
using testing::ModelBed;
using testing::random_batch;

ModelConfig small() {
    ModelConfig c;
    c.vocab_size = 29;
    c.decoder_embed_dim = 24;
    c.hidden_dim = 24;
    c.decoder_layers = 2;
    c.decoder_attention_heads = 3;
    c.glu_dim = 20;
    c.linear_use_lrpe_list = {1, 0};
    c.init_std = 0.25;
    return c;
}

struct Variant {
    const char* name;
    void (*change)(ModelConfig&);
};

const Variant kVariants[] = {
    {"tnl1", [](ModelConfig&) {}},
    {"tnl3", [](ModelConfig& c) { c.gate_dim = 5; }},
    {"unscaled", [](ModelConfig& c) { c.no_scale_embedding = true; }},
    {"untied", [](ModelConfig& c) { c.tie_word_embeddings = false; }},
    {"bias", [](ModelConfig& c) { c.bias = true; }},
    {"tnl3_bias", [](ModelConfig& c) { c.bias = true, c.gate_dim = 4; }},
    {"layernorm", [](ModelConfig& c) { c.norm_type = "layernorm"; }},
    {"rmsnorm", [](ModelConfig& c) { c.norm_type = "rmsnorm"; }},
    {"paper_decay", [](ModelConfig& c) { c.decay_law = DecayLaw::paper; }},
    {"no_decay", [](ModelConfig& c) { c.decay_law = DecayLaw::none; }},
    {"no_gate", [](ModelConfig& c) { c.output_gate = false; }},
    {"gate_sigmoid", [](ModelConfig& c) { c.gate_act_fun = "sigmoid"; }},
    {"glu_silu", [](ModelConfig& c) { c.glu_act_fun = "silu"; }},
    {"act_none", [](ModelConfig& c) { c.linear_act_fun = "none"; }},
    {"act_one_plus_elu", [](ModelConfig& c) { c.linear_act_fun = "1+elu"; }},
    {"act_gelu", [](ModelConfig& c) { c.linear_act_fun = "gelu"; }},
    {"act_exp", [](ModelConfig& c) { c.linear_act_fun = "exp"; }},
    {"tnl3_exp", [](ModelConfig& c) { c.linear_act_fun = "exp", c.gate_dim = 3; }},
    {"value_silu", [](ModelConfig& c) { c.value_act_fun = "silu"; }},
    {"absolute_positions",
     [](ModelConfig& c) {
         c.position_embeddings = 64, c.linear_use_lrpe_list = {0, 0};
     }},
    {"lrpe_everywhere",
     [](ModelConfig& c) {
         c.linear_use_lrpe_list = {1, 1};
     }},
    {"wide_hidden",
     [](ModelConfig& c) {
         c.hidden_dim = 36, c.linear_use_lrpe_list = {0, 0};
     }},
};

void make_llama(ModelConfig& c) {
    c.model_type = "llama";
    c.linear_use_lrpe_list = {};
    c.tie_word_embeddings = false;
}

const Variant kLlama[] = {
    {"llama", make_llama},
    {"llama_tied", [](ModelConfig& c) { make_llama(c), c.tie_word_embeddings = true; }},
    {"llama_grouped",
     [](ModelConfig& c) {
         make_llama(c), c.num_key_value_heads = 2, c.decoder_attention_heads = 6;
     }},
    {"llama_one_key_head", [](ModelConfig& c) { make_llama(c), c.num_key_value_heads = 1; }},
    {"llama_wide_heads",
     [](ModelConfig& c) {
         make_llama(c), c.hidden_dim = 36, c.rope_theta = 50, c.norm_eps = 1e-3;
     }},
};

ModelConfig variant(const Variant& v) {
    ModelConfig c = small();
    v.change(c);
    return c;
}

class Variants : public ::testing::TestWithParam<Variant> {};
class SmoothVariants : public Variants {};
class RecurrentVariants : public Variants {};

// Central differences on a sample of every parameter's entries, with packed documents, ignored
// targets and masked values all at once. `exp` is left to the tests against recorded gradients: its
// gradient is not the derivative, since none flows through the maximum it subtracts.
TEST_P(SmoothVariants, GradientsMatchFiniteDifferences) {
    const ModelConfig config = variant(GetParam());
    ModelBed bed(config, DType::f64, cpu_oracle_kernels());
    HostBatch batch = random_batch(config, 1, 23, 3);
    batch.offsets = {0, 9, 9, 10, 23};
    if (!config.is_llama()) {
        batch.mask.assign(23, 1);
        batch.mask[10] = batch.mask[11] = 0;
    }
    bed.loss_and_gradients(batch, Recompute::none, 7, 0.5f);
    const double h = 1e-5;
    for (const Param& p : bed.model.params().all()) {
        double scale = 0;
        for (int64_t i = 0; i < p.size; ++i)
            scale = std::max(scale, std::abs(bed.grads.as<double>()[p.offset + i]));
        ASSERT_GT(scale, 1e-6) << p.name << " has no gradient";
        const int64_t step = std::max<int64_t>(1, p.size / 6);
        for (int64_t i = 0; i < p.size; i += step) {
            const int64_t at = p.offset + i;
            const double w = bed.weights.as<double>()[at];
            bed.set(at, w + h);
            const double up = bed.loss(batch);
            bed.set(at, w - h);
            const double down = bed.loss(batch);
            bed.set(at, w);
            EXPECT_NEAR(bed.grads.as<double>()[at], 0.5 * (up - down) / (2 * h), 2e-7 * (1 + scale))
                << p.name << "[" << i << "]";
        }
    }
}

// The same for adapters, B off zero: of all layers, and of one of two fused matrices.
TEST_P(SmoothVariants, AdapterGradientsMatchFiniteDifferences) {
    const ModelConfig config = variant(GetParam());
    const std::vector<std::string> some = config.is_llama()
                                              ? std::vector<std::string>{"up_proj", "v_proj"}
                                              : std::vector<std::string>{"l2", "out_proj"};
    for (const LoraOptions& lora : {LoraOptions{3, 5, {}}, LoraOptions{2, 4, some}}) {
        ModelBed bed(config, DType::f64, cpu_oracle_kernels(), 1, 5, lora);
        const ParamTable& table = bed.model.params();
        ASSERT_EQ(bed.grads.size(), table.trained_size());
        HostBatch batch = random_batch(config, 1, 23, 3);
        batch.offsets = {0, 9, 9, 10, 23};
        bed.loss_and_gradients(batch, Recompute::block, 7, 0.5f);
        const double h = 1e-5;
        for (const Param& p : table.adapters()) {
            const double* grads = bed.grads.as<double>() + (p.offset - table.trained_begin());
            double scale = 0;
            for (int64_t i = 0; i < p.size; ++i) scale = std::max(scale, std::abs(grads[i]));
            ASSERT_GT(scale, 1e-6) << p.name << " has no gradient";
            const int64_t step = std::max<int64_t>(1, p.size / 6);
            for (int64_t i = 0; i < p.size; i += step) {
                const int64_t at = p.offset + i;
                const double w = bed.weights.as<double>()[at];
                bed.set(at, w + h);
                const double up = bed.loss(batch);
                bed.set(at, w - h);
                const double down = bed.loss(batch);
                bed.set(at, w);
                EXPECT_NEAR(grads[i], 0.5 * (up - down) / (2 * h), 2e-7 * (1 + scale))
                    << p.name << "[" << i << "]";
            }
        }
    }
}

// The base's weights, B = 0: the model's own bits. And W + s B A in place of W: the same function.
TEST_P(Variants, AdaptersBeginAsTheModelAndMergeIntoIt) {
    const ModelConfig config = variant(GetParam());
    HostBatch batch = random_batch(config, 2, 12, 8);
    const LoraOptions lora{4, 6, {}};
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
        ModelBed plain(config, dtype, cpu_kernels(), 2),
            adapted(config, dtype, cpu_kernels(), 2, 5, lora);
        const ParamTable& table = adapted.model.params();
        const auto view = [&](const std::string& name) {
            const int at = table.find(name);
            return at < 0 ? Tensor{} : table.view(adapted.weights, at);
        };
        for (const Param& p : table.adapters())
            for (int64_t i = 0; p.name.ends_with("lora_B.weight") && i < p.size; ++i)
                adapted.set(p.offset + i, 0);
        EXPECT_EQ(adapted.logits(batch), plain.logits(batch)) << name_of(dtype);
        if (dtype == DType::bf16) continue; // merged weights are rounded
        for (const Param& p : table.adapters())
            for (int64_t i = 0; i < p.size; ++i)
                adapted.set(p.offset + i,
                            0.2 * Philox{9, 1}.normal(static_cast<uint64_t>(p.offset + i)));
        const Kernels& kernels = cpu_oracle_kernels();
        for (const Param& p : table.base()) {
            const std::string layer = p.name.substr(0, p.name.rfind('.'));
            const Tensor b = view(layer + ".lora_B.weight");
            if (!b.rank || p.shape.size() != 2) continue;
            const Tensor w = plain.model.params().view(plain.weights, table.find(p.name));
            kernels.gemm(adapted.device->stream(), w, b, view(layer + ".lora_A.weight"), false,
                         false, 1.5f, 1);
        }
        const auto got = adapted.logits(batch), want = plain.logits(batch);
        double worst = 0, largest = 0;
        for (size_t i = 0; i < got.size(); ++i) {
            worst = std::max(worst, std::abs(got[i] - want[i]));
            largest = std::max(largest, std::abs(want[i]));
        }
        EXPECT_LT(worst, (dtype == DType::f64 ? 1e-12 : 2e-5) * largest) << name_of(dtype);
    }
}

TEST(Model, AdaptersAreOfTheLayersNamed) {
    const Model model(small(), {2, 4, {"l1", "qkvu_proj"}});
    std::vector<std::string> names;
    for (const Param& p : model.params().adapters()) names.push_back(p.name);
    const std::vector<std::string> first(names.begin(), names.begin() + 4);
    EXPECT_EQ(first, (std::vector<std::string>{"model.layers.0.token_mixer.qkvu_proj.lora_A.weight",
                                               "model.layers.0.token_mixer.qkvu_proj.lora_B.weight",
                                               "model.layers.0.channel_mixer.l1.lora_A.weight",
                                               "model.layers.0.channel_mixer.l1.lora_B.weight"}));
    EXPECT_EQ(names.size(), 8u);
    EXPECT_EQ(model.params().trained_count(), 2 * 2 * (24 + 96 + 24 + 20));
    EXPECT_EQ(Model(small()).params().flat_size(), model.params().trained_begin());
    try {
        const Model refused(small(), {2, 4, {"q_proj"}});
        ADD_FAILURE() << "q_proj is no layer";
    } catch (const UsageError& e) {
        EXPECT_NE(std::string(e.what()).find("q_proj"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find("qkvu_proj"), std::string::npos) << e.what();
    }
}

TEST_P(Variants, RecomputationChangesNothing) {
    const ModelConfig config = variant(GetParam());
    HostBatch batch = random_batch(config, 2, 12, 8);
    ModelBed keep(config, DType::f32, cpu_kernels(), 2);
    const double want = keep.loss_and_gradients(batch, Recompute::none, 100, 1);
    for (const Recompute recompute : {Recompute::glu, Recompute::block}) {
        ModelBed again(config, DType::f32, cpu_kernels(), 2);
        EXPECT_EQ(again.loss_and_gradients(batch, recompute, 100, 1), want);
        EXPECT_EQ(ModelBed::values(again.grads), ModelBed::values(keep.grads));
    }
}

TEST_P(RecurrentVariants, DecodeEqualsPrefillEqualsTrainingForward) {
    const ModelConfig config = variant(GetParam());
    const int64_t B = 2, T = 19, V = config.vocab_size;
    ModelBed bed(config, DType::f64, cpu_oracle_kernels());
    HostBatch whole = random_batch(config, B, T, 4);
    const auto expected = bed.logits(whole);

    Arena arena = Arena::measuring("states");
    bed.model.make_states(arena, DType::f64, B);
    Arena memory("states", *bed.device, arena.peak());
    States states = bed.model.make_states(memory, DType::f64, B);
    for (Tensor& s : states.layers) bed.device->zero(s.data, static_cast<size_t>(s.bytes()));
    double worst = 0;
    // A prefill of 8 tokens, one of 5, then token by token, the state carried in place.
    for (int64_t begin = 0; begin < T;) {
        const int64_t n = begin == 0 ? 8 : begin == 8 ? 5 : 1;
        HostBatch part;
        part.sequences = B;
        for (int64_t b = 0; b < B; ++b)
            for (int64_t t = begin; t < begin + n; ++t) {
                part.ids.push_back(whole.ids[static_cast<size_t>(b * T + t)]);
                part.positions.push_back(static_cast<int32_t>(t));
            }
        const auto got = bed.logits(part, &states, &states);
        for (int64_t b = 0; b < B; ++b)
            for (int64_t t = 0; t < n; ++t)
                for (int64_t v = 0; v < V; ++v)
                    worst = std::max(
                        worst,
                        std::abs(got[static_cast<size_t>((b * n + t) * V + v)] -
                                 expected[static_cast<size_t>((b * T + begin + t) * V + v)]));
        begin += n;
    }
    EXPECT_LT(worst, 1e-11);
}

TEST_P(Variants, FastKernelsAgreeWithTheOracle) {
    const ModelConfig config = variant(GetParam());
    HostBatch batch = random_batch(config, 2, 70, 9);
    for (auto& p : batch.positions) p %= 64;
    ModelBed exact(config, DType::f64, cpu_oracle_kernels());
    ModelBed fast(config, DType::f32, cpu_kernels(), 2);
    const double a = exact.loss_and_gradients(batch, Recompute::none, 33, 1);
    const double b = fast.loss_and_gradients(batch, Recompute::none, 64, 1);
    EXPECT_NEAR(a, b, 1e-4 * std::abs(a));
    const auto want = ModelBed::values(exact.grads), got = ModelBed::values(fast.grads);
    for (const Param& p : exact.model.params().all()) {
        double largest = 0, worst = 0;
        for (int64_t i = 0; i < p.size; ++i) {
            const auto at = static_cast<size_t>(p.offset + i);
            largest = std::max(largest, std::abs(want[at]));
            worst = std::max(worst, std::abs(want[at] - got[at]));
        }
        EXPECT_LT(worst, 1e-4 * largest) << p.name;
    }
}

std::vector<Variant> all_variants() {
    std::vector<Variant> out(std::begin(kVariants), std::end(kVariants));
    out.insert(out.end(), std::begin(kLlama), std::end(kLlama));
    return out;
}

std::vector<Variant> smooth_variants() {
    std::vector<Variant> out;
    for (const Variant& v : all_variants())
        if (variant(v).linear_act_fun != "exp") out.push_back(v);
    return out;
}

std::string name_of_variant(const ::testing::TestParamInfo<Variant>& tested) {
    return tested.param.name;
}
INSTANTIATE_TEST_SUITE_P(Model, SmoothVariants, ::testing::ValuesIn(smooth_variants()),
                         name_of_variant);
INSTANTIATE_TEST_SUITE_P(Model, Variants, ::testing::ValuesIn(all_variants()), name_of_variant);
INSTANTIATE_TEST_SUITE_P(Model, RecurrentVariants, ::testing::ValuesIn(kVariants), name_of_variant);

class Both : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Model, Both, ::testing::Values(kVariants[0], kLlama[0]), name_of_variant);

TEST_P(Both, PackedDocumentsEqualSeparateOnes) {
    const ModelConfig config = variant(GetParam());
    ModelBed bed(config, DType::f64, cpu_oracle_kernels());
    HostBatch packed = random_batch(config, 1, 30, 6);
    packed.offsets = {0, 11, 12, 30};
    for (size_t i = 0; i < 30; ++i)
        packed.positions[i] = static_cast<int32_t>(i < 11 ? i : i < 12 ? 0 : i - 12);
    const auto all = bed.logits(packed);
    double worst = 0;
    for (size_t d = 0; d + 1 < packed.offsets.size(); ++d) {
        HostBatch one;
        for (int32_t i = packed.offsets[d]; i < packed.offsets[d + 1]; ++i) {
            one.ids.push_back(packed.ids[static_cast<size_t>(i)]);
            one.positions.push_back(packed.positions[static_cast<size_t>(i)]);
        }
        const auto alone = bed.logits(one);
        const size_t at = static_cast<size_t>(packed.offsets[d] * config.vocab_size);
        for (size_t i = 0; i < alone.size(); ++i)
            worst = std::max(worst, std::abs(alone[i] - all[at + i]));
    }
    EXPECT_LT(worst, 1e-12);
}

// Three documents of 9, 6 and 8 tokens, cut at token 12, amid the second, whose state and gradient
// pass on in a slot: in double, the loss and the gradients of all at once.
TEST(Model, DocumentsInPiecesEqualTheWhole) {
    const ModelConfig config = small();
    HostBatch whole = random_batch(config, 1, 23, 6);
    whole.offsets = {0, 9, 15, 23};
    for (size_t i = 0; i < 23; ++i)
        whole.positions[i] = static_cast<int32_t>(i < 9 ? i : i < 15 ? i - 9 : i - 15);
    HostBatch parts[2];
    for (size_t i = 0; i < 23; ++i) {
        HostBatch& part = parts[i / 12];
        part.ids.push_back(whole.ids[i]);
        part.targets.push_back(whole.targets[i]);
        part.positions.push_back(whole.positions[i]);
    }
    parts[0].offsets = {0, 9, 12};
    parts[1].offsets = {0, 3, 11};
    std::vector<int32_t> slots[2] = {{-1, 1}, {1, -1}};
    ModelBed once(config, DType::f64, cpu_oracle_kernels()),
        twice(config, DType::f64, cpu_oracle_kernels());
    const double want = once.loss_and_gradients(whole, Recompute::none, 7, 0.5f);

    Arena measuring = Arena::measuring("states");
    twice.model.make_states(measuring, DType::f64, 2);
    Arena memory("states", *twice.device, 2 * measuring.peak());
    const States between = twice.model.make_states(memory, DType::f64, 2),
                 gradient = twice.model.make_states(memory, DType::f64, 2);
    const ArenaSizes sizes =
        measure_training(twice.model, cpu_oracle_kernels(), DType::f64, 12, 2, Recompute::none, 7);
    Arena activations("activations", *twice.device, sizes.activations.peak());
    Arena scratch("scratch", *twice.device, sizes.scratch.peak());
    auto run = twice.run(scratch);
    double got = 0;
    const auto view = [&](size_t i) {
        Batch batch = parts[i].view();
        batch.slots = Tensor(slots[i].data(), DType::i32, {2});
        return batch;
    };
    {
        const Batch first = view(0);
        OwnedTensor h(*twice.device, DType::f64, {first.rows(), config.decoder_embed_dim});
        twice.model.forward(run, twice.weights, h, first, passing(nullptr, &between), nullptr,
                            nullptr);
    }
    for (const size_t i : {size_t{1}, size_t{0}}) {
        const Batch batch = view(i);
        OwnedTensor loss(*twice.device, DType::f64, {batch.rows()});
        Passing states;
        (i == 1 ? states.in : states.dout) = i == 1 ? &between : &gradient;
        if (i == 1) states.din = &gradient;
        twice.model.loss_and_gradients(run, twice.weights, twice.grads, loss, batch,
                                       Recompute::none, 7, 0.5f, activations, states);
        got += ModelBed::sum(loss);
    }
    EXPECT_NEAR(got, want, 1e-11);
    const auto a = ModelBed::values(once.grads), b = ModelBed::values(twice.grads);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-11);
}

TEST_P(Both, DependsOnRelativePositionsOnly) {
    const ModelConfig config = variant(GetParam());
    ModelBed bed(config, DType::f64, cpu_oracle_kernels());
    HostBatch batch = random_batch(config, 1, 20, 2);
    const auto a = bed.logits(batch);
    for (auto& p : batch.positions) p += 1000;
    const auto b = bed.logits(batch);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-10);
}

TEST_P(Both, TheDryRunMeasuresExactly) {
    const ModelConfig config = variant(GetParam());
    const Model model(config);
    for (Recompute recompute : {Recompute::none, Recompute::glu, Recompute::block}) {
        ArenaSizes sizes = measure_training(model, cpu_kernels(), DType::f32, 48, 3, recompute, 16);
        EXPECT_GT(sizes.activations.peak(), 0u);
        EXPECT_GT(sizes.scratch.peak(), 0u);
    }
    ModelBed bed(config, DType::f32, cpu_kernels());
    HostBatch batch = random_batch(config, 1, 48, 2);
    batch.offsets = {0, 16, 20, 48};
    // The bed allocates exactly the measured sizes; an arena that is too small throws.
    EXPECT_NO_THROW(bed.loss_and_gradients(batch, Recompute::none, 16, 1));
    EXPECT_NO_THROW(bed.loss_and_gradients(batch, Recompute::block, 16, 1));
}

TEST_P(Both, RepeatsBitForBit) {
    const ModelConfig config = variant(GetParam());
    HostBatch batch = random_batch(config, 2, 40, 2);
    ModelBed a(config, DType::f32, cpu_kernels(), 2), b(config, DType::f32, cpu_kernels(), 2);
    EXPECT_EQ(a.loss_and_gradients(batch, Recompute::none, 32, 1),
              b.loss_and_gradients(batch, Recompute::none, 32, 1));
    EXPECT_EQ(ModelBed::values(a.grads), ModelBed::values(b.grads));
}

// What comes later, and what another document says, changes nothing.
TEST(Llama, IsCausal) {
    const ModelConfig config = variant(kLlama[2]);
    ModelBed bed(config, DType::f64, cpu_oracle_kernels());
    HostBatch batch = random_batch(config, 1, 20, 2);
    batch.offsets = {0, 8, 20};
    const auto before = bed.logits(batch);
    batch.ids[13] = (batch.ids[13] + 1) % static_cast<int32_t>(config.vocab_size);
    const auto after = bed.logits(batch);
    const auto V = static_cast<size_t>(config.vocab_size);
    for (size_t t = 0; t < 20; ++t) {
        const bool same = std::equal(before.begin() + static_cast<int64_t>(t * V),
                                     before.begin() + static_cast<int64_t>((t + 1) * V),
                                     after.begin() + static_cast<int64_t>(t * V));
        EXPECT_EQ(same, t < 13) << t;
    }
}

TEST(Llama, HasNoStates) {
    const ModelConfig config = variant(kLlama[0]);
    ModelBed bed(config, DType::f32, cpu_kernels());
    EXPECT_EQ(config.state_bytes(), 0);
    Arena arena = Arena::measuring("states");
    try {
        bed.model.make_states(arena, DType::f32, 1);
        FAIL();
    } catch (const Error& error) {
        for (const char* part : {"model_type is llama", "no recurrent state", "transnormer"})
            EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    HostBatch batch = random_batch(config, 1, 10, 2);
    batch.mask.assign(10, 1);
    EXPECT_THROW(bed.logits(batch), Error);
}

TEST(Model, RejectsABatchThatDoesNotFit) {
    const ModelConfig config = small();
    ModelBed bed(config, DType::f32, cpu_kernels());
    HostBatch batch = random_batch(config, 1, 10, 2);
    batch.sequences = 3;
    EXPECT_THROW(bed.logits(batch), Error);
    batch = random_batch(config, 1, 10, 2);
    batch.positions.pop_back();
    HostBatch bad = batch;
    EXPECT_NO_THROW(bad.view());
}

} // namespace
} // namespace tnl
