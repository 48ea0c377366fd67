#include "model/config.h"
#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace tnl {
namespace {

std::string error_of(const std::string& json) {
    try {
        static_cast<void>(parse_model_config(json, "config.json"));
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

void expect_error(const std::string& json, std::initializer_list<const char*> parts) {
    const std::string message = error_of(json);
    for (const char* part : parts)
        EXPECT_NE(message.find(part), std::string::npos)
            << "\"" << message << "\" does not say \"" << part << "\"";
}

// The exact counts of the released checkpoints (their index files' total_size, over 2 bytes).
TEST(Presets, HaveTheReleasedParameterCounts) {
    EXPECT_EQ(model_preset("385M").parameter_count(), 398'984'192);
    EXPECT_EQ(model_preset("1B").parameter_count(), 1'020'266'496);
    EXPECT_EQ(model_preset("3B").parameter_count(), 2'911'111'680);
    EXPECT_EQ(model_preset("7B").parameter_count(), 6'836'719'616);
    EXPECT_EQ(model_preset("15B").parameter_count(), 14'833'382'400);
    ModelConfig ablation = model_preset("385M"); // the 10B-token siblings, GPT-2 vocabulary
    ablation.vocab_size = 50272;
    EXPECT_EQ(ablation.parameter_count(), 384'926'720);
    EXPECT_NEAR(static_cast<double>(model_preset("25M").parameter_count()), 25e6, 0.1e6);
    EXPECT_NEAR(static_cast<double>(model_preset("175B").parameter_count()), 175e9, 1e9);
}

TEST(Presets, AreValidAndOnesNotThereNameTheOthers) {
    for (const std::string& name : model_preset_names()) {
        const ModelConfig config = model_preset(name);
        EXPECT_NO_THROW(config.validate()) << name;
        EXPECT_TRUE(name.find("tiny") != std::string::npos || name == "2M" ||
                    config.head_dim() == 128)
            << name;
    }
    try {
        static_cast<void>(model_preset("2B"));
        FAIL();
    } catch (const UsageError& error) {
        EXPECT_NE(std::string(error.what()).find("385M, 1B, 3B, 7B"), std::string::npos);
    }
}

// A Transformer has the size of the TransNormerLLM that it is compared with.
TEST(Presets, OfLlamaAreOfEqualSize) {
    for (const char* name : {"tiny", "25M", "60M", "385M", "1B"}) {
        const ModelConfig ours = model_preset(name),
                          llama = model_preset(fmt::format("llama-{}", name));
        EXPECT_TRUE(llama.is_llama());
        const auto count = static_cast<double>(ours.parameter_count());
        EXPECT_NEAR(static_cast<double>(llama.parameter_count()), count, 0.004 * count) << name;
        EXPECT_EQ(llama.decoder_layers, ours.decoder_layers);
        EXPECT_EQ(llama.decoder_embed_dim, ours.decoder_embed_dim);
        EXPECT_EQ(llama.vocab_size, ours.vocab_size);
    }
    EXPECT_EQ(model_preset("60M").parameter_count(), 58'458'624);
}

// The formula of parameter_count() against the table that the layers fill.
TEST(Config, CountsWhatTheModelRegisters) {
    ModelConfig base = model_preset("tiny");
    std::vector<ModelConfig> configs{base, model_preset("tiny3"), model_preset("2M")};
    for (bool bias : {false, true})
        for (const char* norm : {"simplermsnorm", "rmsnorm", "layernorm"})
            for (int64_t gate : {0, 16})
                for (bool output_gate : {true, false}) {
                    ModelConfig c = base;
                    c.bias = bias;
                    c.norm_type = norm;
                    c.gate_dim = gate;
                    c.output_gate = output_gate;
                    c.tie_word_embeddings = !bias;
                    c.hidden_dim = gate ? 128 : 96;
                    c.glu_dim = gate ? 40 : -1;
                    c.position_embeddings = bias ? 77 : 0;
                    c.linear_use_lrpe_list =
                        bias ? std::vector<int64_t>{0, 1, 1} : std::vector<int64_t>{};
                    configs.push_back(c);
                }
    configs.push_back(model_preset("llama-tiny"));
    configs.push_back(configs.back());
    configs.back().num_key_value_heads = 1;
    configs.back().hidden_dim = 96;
    configs.back().tie_word_embeddings = false;
    for (const ModelConfig& c : configs)
        EXPECT_EQ(c.parameter_count(), Model(c).params().parameter_count()) << model_config_json(c);
}

TEST(Config, StateBytes) {
    // Layer 0 has keys of 2 x 128, the others of 128; f32.
    EXPECT_EQ(model_preset("1B").state_bytes(), 16 * 128 * 128 * 4 * (15 + 2));
    EXPECT_EQ(model_preset("7B").state_bytes(), 32 * 128 * 128 * 4 * (29 + 2));
}

TEST(Slopes, AlibiTimesLayerFactor) {
    ModelConfig c = model_preset("385M"); // H = 8, L = 24
    const auto first = c.slopes(0);
    for (int h = 0; h < 8; ++h)
        EXPECT_DOUBLE_EQ(first[static_cast<size_t>(h)], std::pow(0.5, h + 1) * (1 + 1e-5));
    EXPECT_DOUBLE_EQ(c.slopes(12)[2], 0.125 * (1 - 12.0 / 23 + 1e-5));
    EXPECT_NEAR(c.slopes(23)[7], 1.0 / 256 * 1e-5, 1e-18); // 4e-8, not 0
    c.decay_temperature = false;
    EXPECT_DOUBLE_EQ(c.slopes(12)[2], 0.125);
    EXPECT_NEAR(model_preset("1B").slopes(0)[0], 0.7071 * (1 + 1e-5), 1e-4);
    EXPECT_NEAR(model_preset("7B").slopes(0)[0], 0.8409 * (1 + 1e-5), 1e-4);
    EXPECT_NEAR(model_preset("7B").slopes(0)[31], 0.003906 * (1 + 1e-5), 1e-6);
}

TEST(Slopes, HeadsThatAreNoPowerOfTwo) {
    ModelConfig c = model_preset("15B"); // H = 40: those of 32, then every second of 64
    c.decay_temperature = false;
    const auto s = c.slopes(0);
    ModelConfig c32 = model_preset("7B");
    c32.decay_temperature = false;
    const auto s32 = c32.slopes(0);
    for (size_t h = 0; h < 32; ++h) EXPECT_DOUBLE_EQ(s[h], s32[h]);
    EXPECT_NEAR(s[32], 0.9170, 5e-5);
    EXPECT_NEAR(s[33], 0.7711, 5e-5);
    EXPECT_NEAR(s[39], 0.2726, 5e-5);
    c.hidden_dim = 5 * 128; // H = 3: 2^-4, 2^-8, then 2^-2; H = 5: 2^-2 .. 2^-8, then 2^-1
    c.decoder_attention_heads = 5;
    const std::vector<double> five{0.25, 0.0625, 0.015625, 0.00390625, 0.5};
    for (size_t h = 0; h < 5; ++h) EXPECT_DOUBLE_EQ(c.slopes(0)[h], five[h]);
    c.decoder_attention_heads = 3;
    const std::vector<double> three{0.0625, 0.00390625, 0.25};
    for (size_t h = 0; h < 3; ++h) EXPECT_DOUBLE_EQ(c.slopes(0)[h], three[h]);
    c.decoder_attention_heads = 1;
    EXPECT_DOUBLE_EQ(c.slopes(0)[0], 0.00390625);
}

TEST(Slopes, OtherLawsAndASingleLayer) {
    ModelConfig c = model_preset("385M");
    c.decay_law = DecayLaw::paper;
    EXPECT_DOUBLE_EQ(c.slopes(0)[7], 8);
    EXPECT_DOUBLE_EQ(c.slopes(6)[3], 4 * (1 - 6.0 / 24));
    c.decay_law = DecayLaw::fla;
    EXPECT_DOUBLE_EQ(c.slopes(0)[0], 0);
    EXPECT_DOUBLE_EQ(c.slopes(6)[3], 3 * (1 - 6.0 / 24));
    c.decay_law = DecayLaw::none;
    EXPECT_EQ(c.slopes(5), std::vector<double>(8, 0.0));
    c.decay_law = DecayLaw::alibi;
    c.decoder_layers = 1;
    EXPECT_DOUBLE_EQ(c.slopes(0)[0], 0.5 * (1 + 1e-5));
}

TEST(Config, ReadsBothReleasedVariants) {
    const ModelConfig one = parse_model_config(R"({
        "architectures": ["TransnormerForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_transnormer.TransnormerConfig"},
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 64000,
        "use_cache": true, "init_std": 0.02, "decoder_embed_dim": 2048, "decoder_layers": 16,
        "decoder_attention_heads": 16, "no_scale_embedding": false, "add_bos_token": false,
        "norm_type": "simplermsnorm", "hidden_dim": 2048, "linear_act_fun": "swish",
        "linear_use_lrpe_list": [1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0], "linear_use_lrpe": 0,
        "glu_dim": 5632, "bias": false, "torch_dtype": "bfloat16",
        "transformers_version": "4.32.0"})",
                                               "config.json");
    EXPECT_EQ(one.parameter_count(), 1'020'266'496);
    EXPECT_DOUBLE_EQ(one.embed_scale(), std::sqrt(2048.0));
    EXPECT_EQ(one.qk_activation(), Activation::silu);
    EXPECT_EQ(one.value_activation(), Activation::identity);
    EXPECT_EQ(one.gate_activation(), Activation::identity);
    EXPECT_EQ(one.norm_kind(), NormKind::srms);
    EXPECT_FLOAT_EQ(one.eps(), 1e-6f);
    EXPECT_EQ(one.key_dim(0), 256);
    EXPECT_EQ(one.key_dim(1), 128);
    const ModelConfig three = parse_model_config(
        R"({"gate_dim": 16, "linear_act_fun": "silu", "no_scale_embedding": true})", "config.json");
    EXPECT_EQ(three.value_activation(), Activation::silu);
    EXPECT_EQ(three.gate_activation(), Activation::sigmoid);
    EXPECT_EQ(three.embed_scale(), 1);
}

TEST(Config, WhereLrpeIs) {
    auto lrpe = [](const std::string& fields) {
        const ModelConfig c =
            parse_model_config("{\"decoder_layers\": 3" + fields + "}", "config.json");
        std::vector<int> used;
        for (int64_t l = 0; l < 3; ++l) used.push_back(c.uses_lrpe(l));
        return used;
    };
    using Layers = std::vector<int>;
    EXPECT_EQ(lrpe(""), (Layers{1, 0, 0}));
    EXPECT_EQ(lrpe(R"(, "linear_use_lrpe_list": [])"), (Layers{0, 0, 0}));
    EXPECT_EQ(lrpe(R"(, "linear_use_lrpe_list": [], "linear_use_lrpe": 1)"), (Layers{1, 1, 1}));
    EXPECT_EQ(lrpe(R"(, "linear_use_lrpe": false)"), (Layers{0, 0, 0}));
    EXPECT_EQ(lrpe(R"(, "linear_use_lrpe_list": [0, 1, 1], "linear_use_lrpe": 0)"),
              (Layers{0, 1, 1}));
    EXPECT_EQ(lrpe(R"(, "linear_use_lrpe_list": [true, false, true, true])"), (Layers{1, 0, 1}));
}

TEST(Config, ReleasedSpellings) {
    const auto parse = [](const char* json) { return parse_model_config(json, "config.json"); };
    EXPECT_EQ(parse(R"({"linear_act_fun": "none"})").qk_activation(), Activation::identity);
    EXPECT_EQ(parse(R"({"linear_act_fun": "1+elu"})").qk_activation(), Activation::one_plus_elu);
    EXPECT_EQ(parse(R"({"norm_type": "layernorm"})").norm_kind(), NormKind::layer);
    EXPECT_FLOAT_EQ(parse(R"({"norm_type": "layernorm"})").eps(), 1e-5f);
    EXPECT_EQ(parse(R"({"norm_type": "rmsnorm", "norm_eps": 1e-3})").eps(), 1e-3f);
    EXPECT_EQ(parse(R"({"pad_token_id": null})").pad_token_id, -1);
    EXPECT_EQ(parse(R"({"dtype": "float32"})").torch_dtype, "float32");
    EXPECT_EQ(parse(R"({"glu_dim": -1})").glu_width(), 1024);
}

TEST(Config, RoundTrip) {
    ModelConfig c = model_preset("tiny3");
    c.decay_law = DecayLaw::paper;
    c.linear_use_lrpe_list = {0, 1, 0};
    c.init_std = 0.0123;
    c.pad_token_id = -1;
    c.norm_type = "rmsnorm";
    c.torch_dtype = "f32";
    c.value_act_fun = "relu";
    c.output_gate = false;
    const std::string text = model_config_json(c);
    EXPECT_NE(text.find("\"model_type\": \"transnormer\""), std::string::npos);
    EXPECT_NE(text.find("\"torch_dtype\": \"float32\""), std::string::npos);
    const ModelConfig back = parse_model_config(text, "config.json");
    EXPECT_EQ(model_config_json(back), text);
    EXPECT_EQ(back.decay_law, DecayLaw::paper);
    EXPECT_EQ(back.linear_use_lrpe_list, c.linear_use_lrpe_list);
    EXPECT_EQ(back.init_std, c.init_std);
    EXPECT_EQ(back.pad_token_id, -1);
    EXPECT_EQ(back.gate_dim, 16);
    // A TransNormerLLM keeps no gate_dim, which would tell other programs that it is a TNL3.
    EXPECT_EQ(model_config_json(model_preset("1B")).find("gate_dim"), std::string::npos);
}

// A LlamaConfig under Hugging Face's names, there and back.
TEST(Config, ReadsAndWritesLlama) {
    const ModelConfig c = parse_model_config(R"({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
        "num_attention_heads": 32, "num_key_value_heads": 4, "rms_norm_eps": 1e-05,
        "rope_scaling": null, "rope_theta": 500000.0, "vocab_size": 32000,
        "max_position_embeddings": 2048, "initializer_range": 0.02, "pretraining_tp": 1,
        "attention_bias": false, "tie_word_embeddings": false, "bos_token_id": 1,
        "eos_token_id": 2, "torch_dtype": "float32", "use_cache": true})",
                                             "config.json");
    EXPECT_TRUE(c.is_llama());
    EXPECT_EQ(c.parameter_count(), 1'100'048'384); // TinyLlama-1.1B
    EXPECT_EQ(c.head_dim(), 64);
    EXPECT_EQ(c.key_value_heads(), 4);
    EXPECT_EQ(c.norm_kind(), NormKind::rms);
    EXPECT_EQ(c.glu_activation(), Activation::silu);
    EXPECT_EQ(c.embed_scale(), 1);
    EXPECT_EQ(c.eps(), 1e-5f);
    EXPECT_EQ(c.rope_theta, 500000);
    EXPECT_EQ(c.pad_token_id, -1);
    EXPECT_EQ(c.slopes(3), std::vector<double>(32, 0.0));
    const std::string text = model_config_json(c);
    for (const char* part :
         {"\"model_type\": \"llama\"", "LlamaForCausalLM", "\"intermediate_size\": 5632",
          "\"hidden_act\": \"silu\"", "\"head_dim\": 64"})
        EXPECT_NE(text.find(part), std::string::npos) << part;
    EXPECT_EQ(text.find("decoder_"), std::string::npos);
    EXPECT_EQ(model_config_json(parse_model_config(text, "config.json")), text);
    for (const char* name : {"llama-tiny", "llama-385M"}) {
        const std::string preset = model_config_json(model_preset(name));
        EXPECT_EQ(model_config_json(parse_model_config(preset, "config.json")), preset);
    }
    const auto llama = [](const std::string& fields) {
        return R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
                   "num_hidden_layers": 2, "num_attention_heads": 4)" +
               fields + "}";
    };
    const ModelConfig defaults = parse_model_config(llama(""), "config.json");
    EXPECT_FALSE(defaults.tie_word_embeddings);
    EXPECT_EQ(defaults.vocab_size, 32000);
    EXPECT_EQ(parse_model_config(llama(R"(, "head_dim": 32)"), "config.json").hidden_dim, 128);
    EXPECT_EQ(parse_model_config(
                  llama(R"(, "rope_parameters": {"rope_theta": 77.0, "rope_type": "default"})"),
                  "config.json")
                  .rope_theta,
              77);
    expect_error(llama(R"(, "hidden_act": "gelu")"), {"hidden_act", "gelu", "silu"});
    expect_error(llama(R"(, "attention_bias": true)"), {"attention_bias", "true", "false"});
    expect_error(llama(R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8})"),
                 {"rope_type", "llama3", "default"});
    expect_error(llama(R"(, "num_key_value_heads": 3)"),
                 {"num_key_value_heads is 3", "a divisor of decoder_attention_heads 4"});
    expect_error(llama(R"(, "head_dim": 7)"), {"hidden_dim is 28", "even"});
    expect_error(llama(R"(, "rope_theta": 0)"), {"rope_theta is 0", "above 0"});
    expect_error(R"({"model_type": "gpt2"})", {"model_type is \"gpt2\"", "transnormer or llama"});
    expect_error(R"({"num_key_value_heads": 2})", {"num_key_value_heads is 2", "transnormer"});
    ModelConfig mixed = model_preset("llama-tiny");
    mixed.gate_dim = 16;
    EXPECT_THROW(mixed.validate(), UsageError);
}

TEST(Config, ErrorsNameFileFieldValueAndWhatIsRight) {
    expect_error("", {"config.json", "line 1"});
    expect_error("{\n  \"vocab_size\": 12,,\n}", {"config.json", "line 2, column 20"});
    expect_error("[1]", {"config.json", "wanted a JSON object"});
    expect_error(R"({"vocab_size": 1, "vocab_size": 2})", {"\"vocab_size\" appears twice"});
    expect_error(R"({"vocab_size": "64000"})",
                 {"config.json", "\"vocab_size\" is \"64000\"", "an integer"});
    expect_error(R"({"vocab_size": 1.5})", {"vocab_size", "1.5", "an integer"});
    expect_error(R"({"vocab_size": 18446744073709551615})", {"vocab_size", "an integer"});
    expect_error(R"({"vocab_size": 0})", {"config.json: vocab_size is 0, wanted 1 to"});
    expect_error(R"({"bias": 1})", {"bias", "true or false"});
    expect_error(R"({"decoder_attention_heads": 3})",
                 {"hidden_dim is 1024", "a multiple of decoder_attention_heads 3"});
    expect_error(R"({"decoder_layers": 0})", {"decoder_layers is 0"});
    expect_error(R"({"decoder_layers": 1000000})", {"decoder_layers is 1000000"});
    expect_error(R"({"linear_use_lrpe_list": [1, 0]})", {"linear_use_lrpe_list", "24 layers"});
    expect_error(R"({"linear_use_lrpe_list": [2], "decoder_layers": 1})", {"entry is 2"});
    expect_error(R"({"linear_use_lrpe_list": 1})", {"linear_use_lrpe_list", "a list"});
    expect_error(R"({"linear_act_fun": "swich"})",
                 {"linear_act_fun is \"swich\"", "silu, swish, relu"});
    expect_error(R"({"norm_type": "batchnorm"})", {"norm_type is \"batchnorm\"", "simplermsnorm"});
    expect_error(R"({"decay_law": "linear"})", {"linear", "alibi, paper, fla or none"});
    expect_error(R"({"torch_dtype": "int8"})", {"torch_dtype is \"int8\"", "bfloat16"});
    expect_error(R"({"init_std": -1})", {"init_std is -1"});
    expect_error(R"({"init_std": 1e999})", {"config.json"});
    expect_error(R"({"pad_token_id": 64000})", {"pad_token_id is 64000"});
    expect_error(R"({"glu_dim": 0})", {"glu_dim is 0"});
    std::string deep = "{\"a\": ";
    for (int i = 0; i < 100; ++i) deep += '[';
    expect_error(deep, {"nested deeper than 64"});
    EXPECT_THROW(static_cast<void>(read_model_config("/nonexistent/config.json")), Error);
}

TEST(Params, InitialValues) {
    ModelConfig c = model_preset("tiny");
    c.norm_type = "layernorm";
    c.bias = true;
    c.pad_token_id = 7;
    c.init_std = 0.05;
    const Model model(c);
    const ParamTable& table = model.params();
    std::vector<float> a(static_cast<size_t>(table.flat_size()), -1), b = a, other = a;
    initialize(table, c, 11, a.data());
    initialize(table, c, 11, b.data());
    initialize(table, c, 12, other.data());
    EXPECT_EQ(a, b);
    EXPECT_NE(a, other);
    int64_t counted = 0;
    for (const Param& p : table.all()) {
        counted += p.size;
        const float* x = a.data() + p.offset;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < p.size; ++i) {
            sum += x[i];
            squares += static_cast<double>(x[i]) * x[i];
        }
        const auto n = static_cast<double>(p.size);
        if (p.init == Init::normal) {
            EXPECT_TRUE(p.decay) << p.name;
            EXPECT_NEAR(sum / n, 0, 5 * 0.05 / std::sqrt(n)) << p.name;
            EXPECT_NEAR(std::sqrt(squares / n), 0.05, 0.05 * 5 / std::sqrt(n)) << p.name;
        } else if (p.init != Init::lrpe_theta) {
            EXPECT_FALSE(p.decay) << p.name;
            EXPECT_EQ(sum, p.init == Init::ones ? n : 0) << p.name;
        }
    }
    EXPECT_EQ(counted, table.parameter_count());
    const Param& theta = table[table.find("model.layers.0.token_mixer.lrpe.theta")];
    EXPECT_EQ(theta.shape, (std::vector<int64_t>{2, 1, 64}));
    EXPECT_FALSE(theta.decay);
    for (int j : {0, 1, 77, 127})
        EXPECT_FLOAT_EQ(a[static_cast<size_t>(theta.offset + j)],
                        static_cast<float>(std::pow(10000.0, -2.0 * j / 128)));
    const float* embed = a.data() + table[table.find("model.embed_tokens.weight")].offset;
    EXPECT_TRUE(std::all_of(embed + 7 * 128, embed + 8 * 128, [](float x) { return x == 0; }));
    EXPECT_NE(embed[8 * 128], 0);
    // Values depend on the parameter's name alone: a deeper model starts alike.
    ModelConfig deeper = c;
    deeper.decoder_layers = 5;
    const Model deep(deeper);
    std::vector<float> d(static_cast<size_t>(deep.params().flat_size()));
    initialize(deep.params(), deeper, 11, d.data());
    const char* name = "model.layers.2.channel_mixer.l3.weight";
    EXPECT_EQ(d[static_cast<size_t>(deep.params()[deep.params().find(name)].offset + 5)],
              a[static_cast<size_t>(table[table.find(name)].offset + 5)]);
}

TEST(Params, LayOut) {
    ParamTable table;
    table.add("a", {3, 5}, Init::normal);
    table.add("b", {5}, Init::zeros);
    table.add("c", {2, 5}, Init::normal, true);
    EXPECT_EQ(table[1].offset % 32, 0);
    EXPECT_EQ(table[2].offset, table[1].offset + 5);
    EXPECT_EQ(table.parameter_count(), 30);
    EXPECT_EQ(table.find("c"), 2);
    EXPECT_EQ(table.find("d"), -1);
    EXPECT_THROW(table.add("a", {1}, Init::zeros), Error);
    EXPECT_THROW(table.add("e", {0, 2}, Init::zeros), Error);
    EXPECT_THROW(table.add("f", {int64_t{1} << 40, int64_t{1} << 40}, Init::zeros), Error);
    std::vector<float> flat(static_cast<size_t>(table.flat_size()));
    const Tensor view = table.view(Tensor(flat.data(), DType::f32, {table.flat_size()}), 2);
    EXPECT_TRUE(view.is({2, 5}));
    EXPECT_EQ(view.data, flat.data() + table[2].offset);
}

} // namespace
} // namespace tnl
