#include "model/checkpoint.h"

#include "base/atomic_directory.h"
#include "base/rng.h"
#include "model/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <limits>

namespace tnl {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

class Checkpoint : public ::testing::Test {
  protected:
    void SetUp() override {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        root = fs::temp_directory_path() /
               fmt::format("tnl_checkpoint_{}_{}", test->name(), ::getpid());
        fs::create_directories(root);
        directory = root / "model";
        device = make_cpu_device(2);
        flat = OwnedTensor(*device, DType::f32, {model.params().flat_size()});
        initialize(model.params(), model.config(), 3, flat.as<float>());
    }
    void TearDown() override { fs::remove_all(root); }

    void save(DType dtype, uint64_t shard = uint64_t{1} << 40) {
        save_model(directory, model, flat, *device, {dtype, shard, std::nullopt});
    }
    std::string load_error(const Model& with) {
        try {
            static_cast<void>(load_weights_to_device(directory, with, *device, DType::f32));
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    // Rewrites model.safetensors with its list of tensors changed; new or resized ones hold ones.
    void edit(const std::function<void(std::vector<TensorInfo>&)>& change) {
        const fs::path path = directory / "model.safetensors";
        std::map<std::string, std::vector<double>> data;
        std::vector<TensorInfo> tensors;
        {
            const SafetensorsFile file(path);
            tensors = file.header().tensors;
            for (const TensorInfo& t : tensors) data[t.name] = file.floats(t.name);
        }
        change(tensors);
        SafetensorsWriter writer(path, tensors);
        for (const TensorInfo& t : writer.tensors()) {
            std::vector<double> values = data[t.name];
            values.resize(static_cast<size_t>(t.size()), 1.0);
            if (t.dtype == "F32") {
                const std::vector<float> narrow(values.begin(), values.end());
                writer.write(narrow.data(), narrow.size() * 4);
            } else {
                writer.write(std::vector<char>(t.end - t.begin).data(), t.end - t.begin);
            }
        }
        writer.finish();
    }

    Model model{model_preset("tiny3")};
    fs::path root, directory;
    std::unique_ptr<Device> device;
    OwnedTensor flat;
};

TEST_F(Checkpoint, RoundTripIsExactInF32) {
    std::ofstream(root / "words.model") << "tokenizer bytes";
    save_model(directory, model, flat, *device, {DType::f32, 1 << 30, root / "words.model"});
    EXPECT_EQ(read(directory / "tokenizer.model"), "tokenizer bytes");
    EXPECT_NE(read(directory / "generation_config.json").find("\"eos_token_id\": 2"),
              std::string::npos);
    const ModelConfig config = load_model_config(directory);
    EXPECT_EQ(config.torch_dtype, "float32");
    EXPECT_EQ(config.gate_dim, 16);
    const OwnedTensor back = load_weights_to_device(directory, Model(config), *device, DType::f32);
    EXPECT_EQ(std::memcmp(back.data, flat.data, static_cast<size_t>(flat.bytes())), 0);
    // Nothing but the files of a model, and nothing left beside them.
    EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator{}), 4);
    EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator{}), 2);
}

TEST_F(Checkpoint, EveryDtypeAndShards) {
    for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
        for (uint64_t shard : {uint64_t{200'000}, uint64_t{1} << 40}) {
            fs::remove_all(directory);
            save(dtype, shard);
            EXPECT_EQ(fs::exists(directory / "model.safetensors.index.json"), shard == 200'000);
            for (DType run : {DType::f32, DType::bf16, DType::f64}) {
                const OwnedTensor back = load_weights_to_device(directory, model, *device, run);
                for (const Param& p : model.params().all())
                    for (int64_t i = p.offset; i < p.offset + p.size; i += 17) {
                        const float x = flat.as<float>()[i];
                        const float stored = dtype == DType::bf16  ? float(bf16(x))
                                             : dtype == DType::f16 ? float(f16(x))
                                                                   : x;
                        const double got = run == DType::f64   ? back.as<double>()[i]
                                           : run == DType::f32 ? double{back.as<float>()[i]}
                                                               : double{back.as<bf16>()[i]};
                        ASSERT_EQ(got, run == DType::bf16 ? double{bf16(stored)} : double{stored})
                            << p.name << " " << name_of(dtype) << " " << name_of(run);
                    }
            }
        }
}

TEST_F(Checkpoint, WhatDoesNotFitIsNamed) {
    save(DType::f32);
    ModelConfig deeper = model.config();
    deeper.decoder_layers = 4;
    EXPECT_NE(load_error(Model(deeper))
                  .find("\"model.layers.3.token_mixer.qkv_proj.weight\" [384, 128] is missing"),
              std::string::npos)
        << load_error(Model(deeper));
    ModelConfig shallow = model.config();
    shallow.decoder_layers = 2;
    EXPECT_NE(load_error(Model(shallow))
                  .find("\"model.layers.2.channel_mixer.l1.weight\" [384, "
                        "128] is unknown"),
              std::string::npos)
        << load_error(Model(shallow));
    ModelConfig wide = model.config();
    wide.glu_dim = 400;
    EXPECT_NE(load_error(Model(wide))
                  .find("\"model.layers.0.channel_mixer.l1.weight\" has shape "
                        "[384, 128], wanted [400, 128]"),
              std::string::npos)
        << load_error(Model(wide));
    edit([](auto& tensors) { tensors[0].dtype = "I32"; });
    EXPECT_NE(load_error(model).find("\"model.embed_tokens.weight\" has dtype I32, wanted F32"),
              std::string::npos)
        << load_error(model);
    EXPECT_NE(load_error(model).find("model.safetensors"), std::string::npos);
    fs::remove(directory / "config.json");
    EXPECT_THROW(static_cast<void>(load_model_config(directory)), Error);
    EXPECT_THROW(static_cast<void>(load_model_config(root / "nothing")), Error);
}

TEST_F(Checkpoint, TiedHeadMayBeStoredTwice) {
    save(DType::f32);
    const auto add_head = [](auto& tensors) {
        tensors.push_back({"lm_head.weight", "F32", {320, 128}, 0, 0});
    };
    edit(add_head); // ones, unlike the embedding
    EXPECT_NE(load_error(model).find("\"lm_head.weight\" differs"), std::string::npos)
        << load_error(model);
    // Equal: the file of an untied model whose head is the embedding.
    ModelConfig config = model.config();
    config.tie_word_embeddings = false;
    const Model untied(config);
    OwnedTensor both(*device, DType::f32, {untied.params().flat_size()});
    initialize(untied.params(), config, 3, both.as<float>());
    const auto part = [&](const char* name) {
        const int index = untied.params().find(name);
        return untied.params().view(both, index);
    };
    std::memcpy(part("lm_head.weight").data, part("model.embed_tokens.weight").data, 320 * 128 * 4);
    save_model(directory, untied, both, *device, {DType::bf16, 1 << 30, std::nullopt});
    EXPECT_EQ(load_error(model), "no error");
    EXPECT_EQ(load_error(untied), "no error");
}

TEST_F(Checkpoint, WeightsThatAreNotFiniteAreNamed) {
    const Param& p = model.params()[model.params().find("model.layers.1.channel_mixer.l3.weight")];
    float& weight = flat.as<float>()[p.offset + 5 * 384 + 7];
    const float good = weight;
    weight = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(save(DType::bf16), Error); // and nothing is left behind
    EXPECT_FALSE(fs::exists(directory));
    EXPECT_TRUE(fs::is_empty(root));
    weight = 12345.5f;
    save(DType::f32);
    std::string file = read(directory / "model.safetensors");
    const float needle = 12345.5f, nan = std::numeric_limits<float>::infinity();
    const size_t at = file.find(std::string(reinterpret_cast<const char*>(&needle), 4));
    std::memcpy(file.data() + at, &nan, 4);
    std::ofstream(directory / "model.safetensors", std::ios::binary) << file;
    EXPECT_NE(
        load_error(model).find(fmt::format(
            "\"model.layers.1.channel_mixer.l3.weight\" holds inf at [5, 7] (file offset {})", at)),
        std::string::npos)
        << load_error(model);
    weight = 1e38f;
    EXPECT_THROW(save(DType::f16), Error); // no finite f16
    weight = good;
}

TEST_F(Checkpoint, TruncatedAnywhereIsAnError) {
    save(DType::bf16);
    const fs::path path = directory / "model.safetensors";
    const std::string good = read(path);
    for (size_t n :
         {size_t{0}, size_t{5}, size_t{8}, size_t{100}, good.size() / 2, good.size() - 1}) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << good.substr(0, n);
        EXPECT_NE(load_error(model), "no error") << n;
    }
}

TEST_F(Checkpoint, SavingReplacesWhatIsThereWholly) {
    save(DType::f32);
    std::ofstream(directory / "stale") << "x";
    const std::string before = read(directory / "model.safetensors");
    flat.as<float>()[0] = 1;
    save(DType::bf16);
    EXPECT_FALSE(fs::exists(directory / "stale"));
    EXPECT_NE(read(directory / "model.safetensors"), before);
    EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator{}), 1);
    EXPECT_EQ(load_error(model), "no error");
}

TEST_F(Checkpoint, AtomicDirectoryKeepsTheOldUnlessCommitted) {
    fs::create_directories(directory / "sub");
    std::ofstream(directory / "sub" / "a") << "old";
    {
        AtomicDirectory next(directory);
        fs::create_directories(next.path() / "sub");
        std::ofstream(next.path() / "sub" / "a") << "new";
    }
    EXPECT_EQ(read(directory / "sub" / "a"), "old");
    fs::create_directories(root / ".model.partial"); // of a killed process
    std::ofstream(root / ".model.partial" / "half") << "x";
    {
        AtomicDirectory next(directory.string() + "/");
        EXPECT_TRUE(fs::is_empty(next.path()));
        fs::create_directories(next.path() / "sub");
        std::ofstream(next.path() / "sub" / "a") << "new";
        EXPECT_EQ(read(directory / "sub" / "a"), "old");
        next.commit();
    }
    EXPECT_EQ(read(directory / "sub" / "a"), "new");
    EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator{}), 1);
}

} // namespace
} // namespace tnl
