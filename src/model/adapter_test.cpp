#include "model/adapter.h"

#include "base/json.h"
#include "base/rng.h"
#include "model/checkpoint.h"
#include "model/convert_model.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>

namespace tnl {
namespace {

namespace fs = std::filesystem;

class AdapterTest : public ::testing::Test {
  protected:
    AdapterTest()
        : root(fs::temp_directory_path() / fmt::format("tnl_adapter_{}", ::getpid())),
          directory(root / "adapter") {
        fs::remove_all(root);
        fs::create_directories(directory);
        for (const Param& p : adapted.params().all())
            for (int64_t i = 0; i < p.size; ++i)
                flat.as<float>()[p.offset + i] = static_cast<float>(
                    0.1 * Philox{6, 2}.normal(static_cast<uint64_t>(p.offset + i)));
        save_model(root / "base", plain, flat.slice(0, 0, plain.params().flat_size()), *device,
                   {DType::f32, 1 << 30, std::nullopt});
        write_adapter(directory, adapted,
                      flat.slice(0, adapted.params().trained_begin(), flat.size()), *device,
                      {"base", weights_checksum(root / "base")});
    }
    ~AdapterTest() override { fs::remove_all(root); }

    static ModelConfig config() {
        ModelConfig c;
        c.vocab_size = 29;
        c.decoder_embed_dim = c.hidden_dim = 24;
        c.decoder_layers = 2;
        c.decoder_attention_heads = 3;
        c.glu_dim = 20;
        return c;
    }
    std::string error_of(const std::function<void()>& f) {
        try {
            f();
        } catch (const Error& e) {
            return e.what();
        }
        return "no error";
    }
    Model plain{config()}, adapted{config(), {3, 6, {}}};
    std::unique_ptr<Device> device = make_cpu_device(2);
    OwnedTensor flat{*device, DType::f32, {adapted.params().flat_size()}};
    fs::path root, directory;
};

TEST_F(AdapterTest, ReadsBackWhatItWrote) {
    const Adapter adapter(directory);
    EXPECT_EQ(adapter.lora().rank, 3);
    EXPECT_EQ(adapter.lora().alpha, 6);
    EXPECT_EQ(adapter.lora().targets,
              (std::vector<std::string>{"l1", "l2", "l3", "out_proj", "qkvu_proj"}));
    EXPECT_EQ(adapter.base().path, "base");
    EXPECT_EQ(adapter.base().checksum, weights_checksum(root / "base"));
    const Model again(config(), adapter.lora());
    ASSERT_EQ(again.params().flat_size(), flat.size());
    const OwnedTensor read = load_weights_to_device(root / "base", again, *device, DType::f32);
    adapter.load(again, read, *device);
    for (const Param& p : again.params().all())
        for (int64_t i = p.offset; i < p.offset + p.size; ++i)
            ASSERT_EQ(read.as<float>()[i], flat.as<float>()[i]) << p.name;
    // As PEFT calls them.
    const SafetensorsFile file(directory / "adapter_model.safetensors");
    EXPECT_EQ(file.at("base_model.model.model.layers.1.channel_mixer.l1.lora_A.weight").shape,
              (std::vector<int64_t>{3, 24}));
    EXPECT_EQ(file.at("base_model.model.model.layers.0.token_mixer.qkvu_proj.lora_B.weight").shape,
              (std::vector<int64_t>{96, 3}));
}

TEST_F(AdapterTest, MergedWeightsAreTheSum) {
    const Adapter adapter(directory);
    ThreadPool threads(2);
    fs::create_directories(root / "merged");
    ConvertOptions options;
    options.adapter = &adapter;
    convert_weights(root / "base", config(), root / "merged", options, threads);
    const OwnedTensor merged = load_weights_to_device(root / "merged", plain, *device, DType::f32);
    const ParamTable& table = adapted.params();
    for (const Param& p : table.base()) {
        const std::string layer = p.name.substr(0, p.name.rfind('.'));
        const int a = table.find(layer + ".lora_A.weight"),
                  b = table.find(layer + ".lora_B.weight");
        for (int64_t i = 0; i < p.size; ++i) {
            double want = static_cast<double>(flat.as<float>()[p.offset + i]);
            for (int64_t r = 0; a >= 0 && p.shape.size() == 2 && r < 3; ++r)
                want +=
                    2.0 *
                    static_cast<double>(table.view(flat, b).as<float>()[i / p.shape[1] * 3 + r]) *
                    static_cast<double>(
                        table.view(flat, a).as<float>()[r * p.shape[1] + i % p.shape[1]]);
            ASSERT_NEAR(static_cast<double>(merged.as<float>()[p.offset + i]), want, 1e-6)
                << p.name;
        }
    }
}

TEST_F(AdapterTest, RefusesWhatItDoesNotCompute) {
    const Json good = parse_json_file(directory / "adapter_config.json");
    const auto with = [&](const char* field, const Json& value) {
        Json json = good;
        json[field] = value;
        write_file_atomic(directory / "adapter_config.json", json.dump());
        return error_of([&] { Adapter{directory}; });
    };
    for (const auto& [field, value] :
         std::vector<std::pair<const char*, Json>>{{"peft_type", "IA3"},
                                                   {"r", 0},
                                                   {"target_modules", "all-linear"},
                                                   {"bias", "all"},
                                                   {"use_dora", true},
                                                   {"use_rslora", true},
                                                   {"rank_pattern", {{"l1", 4}}},
                                                   {"modules_to_save", Json::array({"lm_head"})}}) {
        const std::string error = with(field, value);
        EXPECT_NE(error.find("adapter_config.json"), std::string::npos) << error;
        EXPECT_NE(error.find(field), std::string::npos) << error;
    }
    EXPECT_EQ(with("rank_pattern", Json::object()), "no error");
    EXPECT_EQ(with("modules_to_save", nullptr), "no error");
    EXPECT_EQ(with("some_new_field", 1), "no error");
    // Of another model, and of fewer layers than it says.
    ModelConfig narrow = config();
    narrow.glu_dim = 16;
    const Adapter adapter(directory);
    EXPECT_NE(error_of([&] { adapter.check(Model(narrow, adapter.lora())); }).find("wanted floats"),
              std::string::npos);
    ModelConfig deep = config();
    deep.decoder_layers = 3;
    EXPECT_NE(error_of([&] { adapter.check(Model(deep, adapter.lora())); }).find("missing"),
              std::string::npos);
    LoraOptions fewer = adapter.lora();
    fewer.targets = {"l1"};
    EXPECT_NE(error_of([&] { adapter.check(Model(config(), fewer)); }).find("unknown"),
              std::string::npos);
    EXPECT_NE(error_of([&] { Adapter{root}; }).find("is no adapter"), std::string::npos);
}

TEST_F(AdapterTest, TheChecksumIsOfTheWeightsNotOfTheirFiles) {
    fs::create_directories(root / "sharded");
    ThreadPool threads(1);
    ConvertOptions options;
    options.max_shard_bytes = 4096;
    convert_weights(root / "base", config(), root / "sharded", options, threads);
    EXPECT_TRUE(fs::exists(root / "sharded" / "model.safetensors.index.json"));
    EXPECT_EQ(weights_checksum(root / "sharded"), weights_checksum(root / "base"));
    flat.as<float>()[5] += 1;
    save_model(root / "other", plain, flat.slice(0, 0, plain.params().flat_size()), *device,
               {DType::f32, 1 << 30, std::nullopt});
    EXPECT_NE(weights_checksum(root / "other"), weights_checksum(root / "base"));
}

} // namespace
} // namespace tnl
