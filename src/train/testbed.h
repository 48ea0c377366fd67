// For tests: a directory of their own, a small corpus in shards, a small model on the CPU.
#pragma once

#include "base/file.h"
#include "base/rng.h"
#include "data/shard.h"
#include "train/setup.h"
#include "train/trainer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace tnl::testing {

// Made empty, removed with its contents at the end.
class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        path_ = std::filesystem::temp_directory_path() /
                fmt::format("tnl_{}_{}_{}", test->test_suite_name(), test->name(), getpid());
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

// No file can grow beyond so many bytes while one lives: as on a full disk, writes fail midway.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit before_{};
};

constexpr int64_t kVocab = 61;

// Documents of 5 to 60 tokens in which each token but a few says the next one.
inline void write_corpus(const std::filesystem::path& shard, int64_t documents, uint64_t seed) {
    std::filesystem::create_directories(shard.parent_path());
    ShardWriter writer(shard, kVocab, 1234);
    const Philox random{seed, 3};
    uint64_t draw = 0;
    for (int64_t d = 0; d < documents; ++d) {
        std::vector<int32_t> tokens;
        const auto n = 5 + static_cast<int64_t>(random.below(draw++, 56));
        auto token = static_cast<int32_t>(3 + random.below(draw++, kVocab - 3));
        for (int64_t i = 0; i + 1 < n; ++i) {
            tokens.push_back(token);
            token = random.below(draw++, 8) == 0
                        ? static_cast<int32_t>(3 + random.below(draw++, kVocab - 3))
                        : 3 + (token * 7 + 5) % static_cast<int32_t>(kVocab - 3);
        }
        tokens.push_back(2);
        writer.add(tokens, 3 * n);
    }
    writer.commit();
}

inline TrainConfig small_config(const std::filesystem::path& run) {
    TrainConfig c;
    c.run = run.string();
    c.model.vocab_size = kVocab;
    c.model.decoder_embed_dim = c.model.hidden_dim = 24;
    c.model.decoder_layers = 2;
    c.model.decoder_attention_heads = 3;
    c.model.glu_dim = 40;
    c.train.steps = 12;
    c.train.rows = 3;
    c.train.length = 16;
    c.train.head_chunk = 32;
    c.train.threads = 2;
    c.train.device = "cpu";
    c.optimizer.lr = 1e-2;
    c.eval.every = 4;
    c.eval.batches = 2;
    c.checkpoint.every = 4;
    c.log.every = 1;
    c.log.tensorboard = false;
    c.validate();
    c.resolve_steps(0);
    return c;
}

// Products of 8 bits, and the widths that they want.
inline void use_fp8(TrainConfig& c) {
    c.train.dtype = "bf16";
    c.train.products = Products::fp8;
    c.model.decoder_embed_dim = c.model.hidden_dim = 48;
    c.model.glu_dim = 64;
}

inline void use_stochastic_rounding(TrainConfig& c) {
    c.train.dtype = "bf16";
    c.optimizer.rounding = Rounding::stochastic;
}

// A Transformer of the same width.
inline void make_llama(TrainConfig& c) {
    c.model.model_type = "llama";
    c.model.tie_word_embeddings = false;
}

// A run in one process, from its config and shards to the last step.
struct RunBed {
    RunBed(TrainConfig c, const std::filesystem::path& train_shard,
           const std::filesystem::path& validation_shard)
        : config(std::move(c)), device(make_cpu_device(config.train.threads)),
          model(config.model, config.train.lora), train_shards(train_shard),
          validation_shards(validation_shard),
          train(train_shards, train_options(), {config.train.seed, 0, 0}),
          validation(validation_shards, options(false)), out(std::fopen("/dev/null", "w")) {}
    ~RunBed() { std::fclose(out); }
    RunBed(const RunBed&) = delete;
    RunBed& operator=(const RunBed&) = delete;

    LoaderOptions options(bool shuffle) const { return {config.train.length, shuffle, true}; }
    LoaderOptions train_options() const {
        const int64_t pieces = config.train.pieces;
        return {config.train.length * pieces, true, config.data.reset, pieces};
    }
    TrainerParts parts() { return parts(train); }
    TrainerParts parts(BatchSource& source) {
        return {config, model, *device, source, &validation, std::nullopt, base, out};
    }
    void start(Trainer& trainer) const { trainer.start(first_weights(config, model).data()); }

    TrainConfig config;
    std::unique_ptr<Device> device;
    Model model;
    ShardSet train_shards, validation_shards;
    ShardSource train, validation;
    AdapterBase base; // of runs that train adapters
    std::FILE* out;
};

// What() of the error that f throws; fails the test where it throws none.
template <class F> std::string error_of(F&& f) {
    try {
        f();
    } catch (const Error& e) {
        return e.what();
    }
    ADD_FAILURE() << "no error was thrown";
    return "";
}

inline std::vector<float> floats_of(Device& device, const Tensor& t) {
    std::vector<float> out(static_cast<size_t>(t.size()));
    device.download(out.data(), t.data, out.size() * sizeof(float));
    return out;
}

} // namespace tnl::testing
