// Parts of deduplication on one core, on text like English: bytes of text a second.
#include "corpus/dedup/minhash.h"
#include "corpus/dedup/one_permutation.h"
#include "corpus/dedup/shingles.h"
#include "corpus/dedup/sorted_merge.h"

#include "base/file.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include <unistd.h>

namespace tnl::corpus {
namespace {

// 1 MB in documents: words by Zipf's law, capitals, numbers, punctuation; `foreign` of a
// thousand words have letters that are not ASCII.
std::vector<std::string> make_documents(unsigned foreign) {
    std::mt19937 random(1);
    std::vector<std::string> vocabulary;
    for (int i = 0; i < 20000; ++i) {
        std::string word(1 + random() % 4 + random() % 5 + random() % 3, ' ');
        for (char& c : word) c = static_cast<char>('a' + random() % 26);
        vocabulary.push_back(word);
    }
    std::vector<std::string> out;
    for (size_t total = 0; total < 1'000'000; total += out.back().size()) {
        std::string text;
        for (int i = 0; i < 800; ++i) {
            const double u = static_cast<double>(random()) / 4294967296.0;
            std::string word = vocabulary[static_cast<size_t>(std::pow(20000, u))];
            if (random() % 12 == 0) word[0] = static_cast<char>(word[0] - 32);
            if (random() % 40 == 0) word = std::to_string(random() % 3000);
            if (random() % 1000 < foreign) word += "\u00E9\u2022";
            text += word;
            text += random() % 9 == 0 ? ", " : random() % 14 == 0 ? ".\n" : " ";
        }
        out.push_back(std::move(text));
    }
    return out;
}

const std::vector<std::string>& documents(int64_t foreign) {
    static const std::vector<std::string> ascii = make_documents(0), mixed = make_documents(20);
    return foreign != 0 ? mixed : ascii;
}

template <class F> void each_document(benchmark::State& state, F&& f) {
    const std::vector<std::string>& texts = documents(state.range(0));
    size_t bytes = 0;
    for (auto _ : state)
        for (const std::string& text : texts) {
            f(text);
            bytes += text.size();
        }
    state.SetBytesProcessed(static_cast<int64_t>(bytes));
}

void bench_simplify(benchmark::State& state) {
    std::string out;
    each_document(state, [&](const std::string& text) {
        simplify(text, out);
        benchmark::DoNotOptimize(out.data());
    });
}
BENCHMARK(bench_simplify)->ArgName("foreign")->Arg(0)->Arg(1);

void bench_shingles(benchmark::State& state, WordCut cut, ShingleHash hash) {
    ShingleOptions options;
    options.cut = cut;
    options.hash = hash;
    Shingler shingler(options);
    each_document(
        state, [&](const std::string& text) { benchmark::DoNotOptimize(shingler(text).data()); });
}
BENCHMARK_CAPTURE(bench_shingles, spaces_xxh64, WordCut::spaces, ShingleHash::xxh64)
    ->Arg(0)
    ->Arg(1);
BENCHMARK_CAPTURE(bench_shingles, spaces_words, WordCut::spaces, ShingleHash::words)
    ->Arg(0)
    ->Arg(1);
BENCHMARK_CAPTURE(bench_shingles, english_xxh64, WordCut::english, ShingleHash::xxh64)
    ->Arg(0)
    ->Arg(1);
BENCHMARK_CAPTURE(bench_shingles, english_sha1, WordCut::english, ShingleHash::sha1)
    ->Arg(0)
    ->Arg(1);

template <class Hasher>
void sign_documents(benchmark::State& state, const ShingleOptions& options) {
    Shingler shingler(options);
    const Hasher hasher(1, 112);
    uint64_t signature[112];
    each_document(state, [&](const std::string& text) {
        hasher.signature(shingler(text), signature);
        benchmark::DoNotOptimize(signature);
    });
}

void bench_signature(benchmark::State& state, ShingleHash hash) {
    ShingleOptions options;
    options.hash = hash;
    sign_documents<MinHasher>(state, options);
}
BENCHMARK_CAPTURE(bench_signature, xxh64, ShingleHash::xxh64)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(bench_signature, sha1, ShingleHash::sha1)->Arg(0)->Arg(1);

void bench_fast_signature(benchmark::State& state) {
    ShingleOptions options;
    options.cut = WordCut::spaces;
    options.hash = ShingleHash::words;
    sign_documents<OnePermutationHasher>(state, options);
}
BENCHMARK(bench_fast_signature)->ArgName("foreign")->Arg(0)->Arg(1);

// Of 112 hashes: shingles a second.
void bench_minhash(benchmark::State& state, MinHashLoop loop) {
    std::mt19937_64 random(1);
    std::vector<uint64_t> shingles(1000);
    for (uint64_t& x : shingles) x = random();
    const MinHasher hasher(1, 112, loop);
    uint64_t signature[112];
    for (auto _ : state) {
        hasher.signature(shingles, signature);
        benchmark::DoNotOptimize(signature);
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * shingles.size()));
}
BENCHMARK_CAPTURE(bench_minhash, baseline, minhash_loop_baseline());
BENCHMARK_CAPTURE(bench_minhash, best, minhash_loop());

// Records of one band from many files in the page cache: records a second. Fourteen are a document.
void bench_merge(benchmark::State& state) {
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("tnl_bench_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const RecordLayout layout{8, 1};
    std::mt19937_64 random(1);
    const auto files = static_cast<size_t>(state.range(0));
    const size_t each = 1'400'000 / files;
    std::vector<SortedFile> sources;
    for (size_t f = 0; f < files; ++f) {
        std::vector<std::array<uint64_t, 8>> keys(each);
        for (auto& key : keys)
            for (uint64_t& x : key) x = random() >> (3 + random() % 8); // as least values crowd
        std::sort(keys.begin(), keys.end());
        std::string bytes;
        for (size_t i = 0; i < each; ++i) {
            bytes.append(reinterpret_cast<const char*>(keys[i].data()), 64);
            bytes.append(reinterpret_cast<const char*>(&i), 4);
        }
        sources.push_back({folder / std::to_string(f), layout});
        write_file_atomic(sources.back().path, bytes);
    }
    uint64_t records = 0, duplicates = 0;
    for (auto _ : state)
        SortedMerge(sources, size_t{1} << 30).run([&](std::span<const MergedRecord> merged) {
            records += merged.size();
            for (size_t i = 1; i < merged.size(); ++i)
                duplicates += merged[i - 1].key == merged[i].key &&
                              layout.compare(merged[i - 1].data, merged[i].data) == 0;
        });
    benchmark::DoNotOptimize(duplicates);
    state.SetItemsProcessed(static_cast<int64_t>(records));
    std::filesystem::remove_all(folder);
}
BENCHMARK(bench_merge)->ArgName("files")->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace tnl::corpus
