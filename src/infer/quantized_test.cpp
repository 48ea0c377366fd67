// Models whose weights take 8 or 4 bits: against the same model with those weights as floats, saved
// and read again, in sessions and in the engine.
#include "infer/engine.h"
#include "infer/evaluator.h"
#include "infer/testbed.h"
#include "model/checkpoint.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kSmallVocabulary;
using testing::random_tokens;
using testing::small_config;

struct Form {
    QuantFormat layers, head;
    bool tied = true, low_rank_gate = false;
};

ModelConfig config_of(const Form& form) {
    ModelConfig c = small_config();
    c.tie_word_embeddings = form.tied;
    c.gate_dim = form.low_rank_gate ? 5 : 0;
    c.weights = {form.layers, form.head};
    return c;
}

// A model of floats in a directory, and the same in fewer bits.
class Quantized : public ::testing::TestWithParam<Form> {
  protected:
    void SetUp() override {
        root = fs::temp_directory_path() / fmt::format("tnl_quantized_{}", ::getpid());
        fs::create_directories(root);
        ModelConfig floats = model.config();
        floats.weights = {};
        const Model wide(floats);
        OwnedTensor flat(*device, DType::f32, {wide.params().flat_size()});
        initialize(wide.params(), floats, 3, flat.as<float>());
        save_model(root / "floats", wide, flat, *device, {DType::f32, 1 << 30, std::nullopt});
    }
    void TearDown() override { fs::remove_all(root); }

    OwnedTensor load(const fs::path& directory, DType dtype) {
        return load_weights_to_device(directory, model, *device, dtype);
    }
    std::string load_error(const fs::path& directory, const Model& with) {
        try {
            static_cast<void>(load_weights_to_device(directory, with, *device, DType::f32));
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    // What the model's weights are as floats.
    OwnedTensor widened(const Model& wide, const Tensor& flat) {
        OwnedTensor out(*device, DType::f64, {wide.params().flat_size()});
        device->zero(out.data, static_cast<size_t>(out.bytes()));
        for (const Param& p : model.params().all()) {
            const int index = wide.params().find(p.name);
            if (index < 0) continue; // a copy
            double* to = out.as<double>() + wide.params()[index].offset;
            if (p.format == QuantFormat::none) {
                std::copy_n(flat.as<double>() + p.offset, p.size, to);
                continue;
            }
            const auto* bytes = static_cast<const uint8_t*>(flat.data) + p.place(DType::f64);
            const int64_t rows = p.shape[0], K = p.shape[1];
            for (int64_t n = 0; n < rows; ++n)
                dequantize_row(p.format, to + n * K, bytes + n * (p.bytes() / rows), K);
        }
        return out;
    }

    std::unique_ptr<Device> device = make_cpu_device(2);
    Model model{config_of(GetParam())};
    fs::path root;
};

std::vector<float> logits_after(Session& session, int64_t slot, std::span<const int32_t> text) {
    const std::span<const int32_t> texts[] = {text};
    session.prefill(slot, texts);
    const auto row = session.logits(0);
    return {row.begin(), row.end()};
}

double distance(std::span<const float> a, std::span<const float> b) {
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < a.size(); ++i) {
        error = std::max(error, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        size = std::max(size, std::abs(static_cast<double>(b[i])));
    }
    return error / size;
}

// How far activations in whole numbers may move logits: 8 bits a group beside weights of 4, 16
// bits beside weights of 8.
double tolerance(const Form& form) {
    return form.layers == QuantFormat::int4 || form.head == QuantFormat::int4 ? 0.08 : 2e-4;
}

TEST_P(Quantized, LogitsAreThoseOfTheWeightsAsFloats) {
    // The head's copy of tied embeddings is a matrix of its own as floats.
    ModelConfig floats = model.config();
    floats.weights = {};
    if (GetParam().head != QuantFormat::none) floats.tie_word_embeddings = false;
    const Model wide(floats);
    const auto tokens = random_tokens(50, 1);
    const OwnedTensor exact = load(root / "floats", DType::f64);
    const OwnedTensor as_floats = widened(wide, exact);
    Session want(wide, *device, as_floats, {DType::f64, 1, 16});
    Session plain(model, *device, exact, {DType::f64, 1, 16});
    const auto wanted = logits_after(want, 0, tokens);
    EXPECT_LT(distance(logits_after(plain, 0, tokens), wanted), 6e-8);
    const OwnedTensor weights = load(root / "floats", DType::f32);
    Session fast(model, *device, weights, {DType::f32, 1, 16});
    EXPECT_LT(distance(logits_after(fast, 0, tokens), wanted), tolerance(GetParam()));
}

TEST_P(Quantized, SavedIsLoaded) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        const OwnedTensor first = load(root / "floats", dtype);
        const fs::path saved = root / "saved";
        save_model(saved, model, first, *device, {dtype, 4096, std::nullopt});
        const ModelConfig config = load_model_config(saved);
        EXPECT_EQ(config.weights, model.config().weights);
        EXPECT_EQ(Model(config).params().flat_size(), model.params().flat_size());
        const OwnedTensor again = load(saved, dtype);
        for (const Param& p : model.params().all()) {
            const auto at = static_cast<size_t>(p.place(dtype));
            const auto n = static_cast<size_t>(
                p.format == QuantFormat::none ? p.size * size_of(dtype) : p.bytes());
            EXPECT_EQ(std::memcmp(static_cast<char*>(first.data) + at,
                                  static_cast<char*>(again.data) + at, n),
                      0)
                << p.name;
        }
    }
}

TEST_P(Quantized, PrefillIsDecode) {
    const OwnedTensor weights = load(root / "floats", DType::f32);
    Session session(model, *device, weights, {DType::f32, 1, 16});
    const auto tokens = random_tokens(40, 2);
    const auto wanted = logits_after(session, 0, tokens);
    session.reset(0, 1);
    for (size_t t = 0; t < tokens.size(); ++t) session.decode(std::span(tokens).subspan(t, 1));
    EXPECT_LT(distance(session.logits(0), wanted), tolerance(GetParam()));
}

TEST_P(Quantized, NeighboursDoNotMatter) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
        const OwnedTensor weights = load(root / "floats", dtype);
        Session alone(model, *device, weights, {dtype, 1, 16});
        // A head of floats is multiplied by other kernels from three rows of bf16 on.
        const int64_t slots = GetParam().head == QuantFormat::none ? 2 : 20, mine = slots - 1;
        Session among(model, *device, weights, {dtype, slots, 16});
        const auto tokens = random_tokens(25, 3);
        for (const size_t t : {0u, 1u, 2u, 3u, 4u}) {
            std::vector<int32_t> all;
            for (int64_t slot = 0; slot < slots; ++slot)
                all.push_back(slot == mine
                                  ? tokens[t]
                                  : static_cast<int32_t>((slot * 7 + 3) % kSmallVocabulary));
            among.decode(all);
            alone.decode(std::span(tokens).subspan(t, 1));
            EXPECT_TRUE(std::ranges::equal(among.logits(mine), alone.logits(0)));
        }
    }
}

TEST_P(Quantized, LossesAreFinite) {
    const OwnedTensor weights = load(root / "floats", DType::bf16);
    Evaluator evaluator(model, *device, weights, {DType::bf16, 32, 2, 16});
    const std::vector<std::vector<int32_t>> documents = {random_tokens(50, 4), random_tokens(9, 5)};
    for (const DocumentLoss& loss : evaluator.losses(documents))
        EXPECT_NEAR(loss.nats / static_cast<double>(loss.tokens), std::log(kSmallVocabulary), 2);
}

TEST_P(Quantized, TheEngineRunsIt) {
    const OwnedTensor weights = load(root / "floats", DType::f32);
    const auto continuation = [&](int64_t slots, int requests) {
        Session session(model, *device, weights, {DType::f32, slots, 16});
        Engine engine(session, {});
        std::mutex mutex;
        std::condition_variable changed;
        int left = requests;
        std::vector<std::vector<int32_t>> tokens(static_cast<size_t>(requests));
        for (int i = 0; i < requests; ++i) {
            EngineRequest r;
            r.generate.prompt = random_tokens(20, static_cast<uint64_t>(i));
            r.generate.max_new_tokens = 12;
            r.generate.id = 0;
            r.generate.sampler.seed = 5;
            EngineEvents e;
            e.token = [&, i](int64_t, const ScoredToken& token) {
                const std::lock_guard lock(mutex);
                tokens[static_cast<size_t>(i)].push_back(token.token);
                return true;
            };
            e.finish = [&](int64_t, Finish) {
                const std::lock_guard lock(mutex);
                --left;
                changed.notify_all();
            };
            e.failed = [&](const std::string& message) {
                const std::lock_guard lock(mutex);
                ADD_FAILURE() << message;
                left = 0;
                changed.notify_all();
            };
            engine.submit(std::move(r), std::move(e));
        }
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return left <= 0; });
        return tokens[0];
    };
    const auto alone = continuation(1, 1);
    EXPECT_EQ(alone.size(), 12u);
    EXPECT_EQ(continuation(11, 11), alone);
}

TEST_P(Quantized, ErrorsNameFileAndField) {
    const OwnedTensor weights = load(root / "floats", DType::f32);
    const fs::path saved = root / "saved";
    save_model(saved, model, weights, *device, {DType::f32, 1 << 30, std::nullopt});
    ModelConfig floats = model.config();
    floats.weights = {};
    EXPECT_THAT(load_error(saved, Model(floats)), HasSubstr("model.safetensors"));
    if (model.params().layers() != QuantFormat::none) {
        EXPECT_THAT(load_error(saved, Model(floats)), HasSubstr("has dtype U8, wanted F32"));
    }
    // Another format's bytes have another shape.
    ModelConfig other = model.config();
    std::swap(other.weights.layers, other.weights.head);
    if (other.weights != model.config().weights) {
        EXPECT_THAT(load_error(saved, Model(other)), HasSubstr("has shape"));
    }
    const std::string json = model_config_json(model.config());
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = json;
        const size_t at = changed.find(from);
        changed.replace(at, from.size(), to);
        try {
            static_cast<void>(parse_model_config(changed, "dir/config.json"));
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    EXPECT_THAT(with("\"quant_method\": \"transnormer\"", "\"quant_method\": \"gptq\""),
                HasSubstr("dir/config.json: quantization_config: \"quant_method\" is \"gptq\""));
    EXPECT_THAT(with("\"head\": \"", "\"head\": \"u"),
                HasSubstr("dir/config.json: quantization_config: \"head\": unknown format"));
    EXPECT_THROW(measure_training(model, cpu_kernels(), DType::f32, 8, 1, Recompute::none, 8),
                 UsageError);
}

TEST_P(Quantized, AScaleThatIsNoNumberIsFound) {
    const OwnedTensor weights = load(root / "floats", DType::f32);
    for (const Param& p : model.params().all()) {
        if (p.format == QuantFormat::none) continue;
        auto* bytes = static_cast<uint8_t*>(weights.data) + p.place(DType::f32);
        const int64_t codes = quant_code_bytes(p.format, quant_padded(p.format, p.shape[1]));
        bytes[p.bytes() / p.shape[0] + codes] = 0x80; // the second row's first scale: infinity
        bytes[p.bytes() / p.shape[0] + codes + 1] = 0x7f;
        const fs::path saved = root / "saved";
        save_model(saved, model, weights, *device, {DType::f32, 1 << 30, std::nullopt});
        EXPECT_THAT(load_error(saved, model),
                    HasSubstr(fmt::format("tensor \"{}\" holds a scale that is no finite number, "
                                          "of group 0 of row 1",
                                          p.name)));
        return;
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, Quantized,
                         ::testing::Values(Form{QuantFormat::int8, QuantFormat::int8},
                                           Form{QuantFormat::int4, QuantFormat::int8},
                                           Form{QuantFormat::int8, QuantFormat::none, false, true},
                                           Form{QuantFormat::int4, QuantFormat::int4, false}),
                         [](const auto& test) {
                             const Form& f = test.param;
                             return fmt::format("{}_{}{}{}", name_of(f.layers), name_of(f.head),
                                                f.tied ? "_tied" : "",
                                                f.low_rank_gate ? "_tnl3" : "");
                         });

} // namespace
} // namespace tnl
