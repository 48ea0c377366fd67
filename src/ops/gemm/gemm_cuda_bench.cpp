// The matrix products of a training step on the GPU: by cublasGemmEx and by cuBLASLt's proposals
// (lt_cuda.h), in bf16 on normally distributed numbers, under the load at which clocks settle.
//   ops_cuda_gemm_bench [385M] [1B] [head ROWS ...] [workspace MIB] [narrow] [weight] [decode]
//                       [seconds S]
// head: the head's products with so many rows of logits at once. workspace, narrow: the search's
// limits. weight: weight gradients alone. decode: few rows. seconds: of each measurement.
#include "base/rng.h"
#include "ops/entries_cuda.h"
#include "ops/gemm/lt_cuda.h"
#include "tensor/device_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::cuda {
namespace {

enum class Way { forward, residual, data, weight };
constexpr const char* kWays[] = {"forward NT", "forward NT +=", "data grad NN",
                                 "weight grad TN +="};

// y[rows, out] = x[rows, in] W[out, in]^T and its gradients, so many times a step.
struct Layer {
    std::string name;
    int64_t rows, in, out;
    double times = 1;
};

struct Model {
    std::string name;
    int64_t width, layers, glu;
};
constexpr size_t kRounds = 3;
constexpr int64_t kTokens = 32768, kVocab = 64000, kHeadChunk = 1024;

std::vector<Layer> layers_of(const Model& m, int64_t head_rows) {
    const auto times = static_cast<double>(m.layers);
    return {{"qkvu", kTokens, m.width, 4 * m.width, times},
            {"out", kTokens, m.width, m.width, times},
            {"l1 l2", kTokens, m.width, 2 * m.glu, times},
            {"l3", kTokens, m.glu, m.width, times},
            {"head", head_rows, m.width, kVocab,
             static_cast<double>(kTokens) / static_cast<double>(head_rows)}};
}

class Bench {
  public:
    explicit Bench(Device& device)
        : device_(device), stream_(cuda_of(device.stream())), limits_(lt_limits(stream_)) {}

    double seconds = 0.05;
    std::vector<Way> ways{Way::forward, Way::data, Way::weight};

    void workspace(size_t bytes) {
        workspace_ = Buffer(device_, bytes);
        limits_.workspace = workspace_.data();
        limits_.workspace_bytes = bytes;
    }
    void narrow() { limits_.narrow_reduction = true; }

    // Microseconds: cublasGemmEx, the first proposal, the best of them in this measurement, and the
    // search's choice.
    struct Times {
        double ex = 0, first = 0, best = 0, chosen = 0;
        void add(const Times& t, double times) {
            ex += times * t.ex;
            first += times * t.first;
            best += times * t.best;
            chosen += times * t.chosen;
        }
        std::string rates(double flops) const {
            return fmt::format("{:6.1f} {:6.1f} {:6.1f} {:6.1f}", flops / ex / 1e6,
                               flops / first / 1e6, flops / best / 1e6, flops / chosen / 1e6);
        }
    };

    Times run(const Layer& layer, Way way) {
        const int64_t rows = layer.rows, in = layer.in, out = layer.out;
        LtProduct p;
        GemmKey& k = p.key;
        k.adds = way == Way::residual || way == Way::weight;
        if (way == Way::forward || way == Way::residual) {
            k.transpose_b = true;
            set(k, rows, out, in);
        } else if (way == Way::data) {
            set(k, rows, in, out);
        } else {
            k.transpose_a = true;
            k.c_dtype = DType::f32;
            set(k, out, in, rows);
        }
        const OwnedTensor a = k.transpose_a ? random({k.K, k.M}, 1) : random({k.M, k.K}, 1);
        const OwnedTensor b = k.transpose_b ? random({k.N, k.K}, 2) : random({k.K, k.N}, 2);
        const OwnedTensor c(device_, k.c_dtype, {k.M, k.N});
        device_.zero(c.data, static_cast<size_t>(c.bytes()));
        p.a = a.data;
        p.b = b.data;
        p.c = c.data;
        const auto candidates = lt_candidates(stream_, k, limits_, 32);
        const auto found = lt_fastest(stream_, p, limits_, candidates);
        if (!found) fail("{}: cuBLASLt has nothing that repeats its results", layer.name);
        const auto chosen = static_cast<size_t>(
            std::find(candidates.begin(), candidates.end(), *found) - candidates.begin());
        const auto ex = [&] {
            gemm(device_.stream(), c, a, b, k.transpose_a, k.transpose_b, 1, k.adds ? 1.0f : 0.0f);
        };
        // In turns, in another order each: a timing depends on the power drawn before it. The
        // candidates, then cublasGemmEx twice.
        const size_t n = candidates.size() + 2;
        std::vector<std::vector<double>> times(n);
        microseconds(ex, 2 * seconds);
        std::vector<size_t> order(n);
        std::iota(order.begin(), order.end(), size_t{0});
        std::mt19937 rng(1);
        for (size_t i = 0; i < kRounds * n; ++i) {
            if (i % n == 0) std::shuffle(order.begin(), order.end(), rng);
            const size_t at = order[i % n];
            times[at].push_back(at < candidates.size()
                                    ? microseconds(
                                          [&] {
                                              check_cublas(
                                                  lt_multiply(stream_, p, limits_, candidates[at]),
                                                  "cublasLtMatmul");
                                          },
                                          seconds)
                                    : microseconds(ex, seconds));
        }
        std::vector<double> us;
        for (auto& t : times) us.push_back(median(t));
        const auto best = std::min_element(us.begin(), us.end() - 2);
        const Times t{(us[n - 2] + us[n - 1]) / 2, us[0], *best, us[chosen]};
        fmt::print("{:5} {:17} {:6}x{:6}x{:6}  {:8.1f} us  {}  {} {} of {}; noise {:.1f} %;",
                   layer.name, kWays[static_cast<int>(way)], k.M, k.N, k.K, t.ex,
                   t.rates(k.flops()), best - us.begin() + 1, chosen + 1, candidates.size(),
                   100 * std::abs(us[n - 2] / us[n - 1] - 1));
        for (size_t i = 0; i < candidates.size(); ++i) fmt::print(" {:.3f}", us[i] / t.ex);
        fmt::print("\n");
        std::fflush(stdout);
        return t;
    }

    void step(const std::vector<Layer>& layers) {
        Times sum;
        double flops = 0;
        for (const Layer& layer : layers)
            for (const Way way : ways) {
                sum.add(run(layer, way), layer.times);
                flops += 2.0 * layer.times * static_cast<double>(layer.rows * layer.in) *
                         static_cast<double>(layer.out);
            }
        fmt::print("together: {:.2f} {:.2f} {:.2f} {:.2f} ms, {} TFLOP/s\n", sum.ex / 1e3,
                   sum.first / 1e3, sum.best / 1e3, sum.chosen / 1e3, sum.rates(flops));
    }

  private:
    static void set(GemmKey& k, int64_t M, int64_t N, int64_t K) {
        k.M = M;
        k.N = N;
        k.K = K;
        k.lda = k.transpose_a ? M : K;
        k.ldb = k.transpose_b ? K : N;
        k.ldc = N;
    }

    // Of unit variance; values come again after four million.
    OwnedTensor random(std::initializer_list<int64_t> dims, uint64_t key) {
        OwnedTensor out(device_, DType::bf16, dims);
        std::vector<bf16>& values = drawn_[key - 1];
        if (values.empty()) {
            const Philox rng{4, key};
            constexpr size_t kDrawn = size_t{1} << 22;
            for (size_t i = 0; i < kDrawn; i += 2) {
                const double r = std::sqrt(-2 * std::log(1 - rng.uniform(i)));
                const double angle = 2 * M_PI * rng.uniform(i + 1);
                values.push_back(bf16(r * std::cos(angle)));
                values.push_back(bf16(r * std::sin(angle)));
            }
        }
        auto* to = static_cast<char*>(out.data);
        const auto tile = static_cast<int64_t>(values.size() * sizeof(bf16));
        const auto bytes = static_cast<size_t>(std::min(tile, out.bytes()));
        device_.upload(to, values.data(), bytes);
        for (int64_t at = tile; at < out.bytes(); at += tile)
            device_.copy(to + at, to, static_cast<size_t>(std::min(tile, out.bytes() - at)));
        device_.synchronize();
        return out;
    }

    static double median(std::vector<double>& x) {
        std::nth_element(x.begin(), x.begin() + kRounds / 2, x.end());
        return x[kRounds / 2];
    }

    // Of one call, when the clocks have settled: the second half of a block of calls.
    template <class F> double microseconds(F&& f, double block) {
        cudaEvent_t marks[3]{};
        for (cudaEvent_t& mark : marks) check_cuda(cudaEventCreate(&mark), "cudaEventCreate");
        const auto between = [&](int i, int calls) {
            check_cuda(cudaEventRecord(marks[i], stream_.stream), "cudaEventRecord");
            for (int n = 0; n < calls; ++n) f();
            check_cuda(cudaEventRecord(marks[i + 1], stream_.stream), "cudaEventRecord");
        };
        const auto elapsed = [&](int i) {
            check_cuda(cudaEventSynchronize(marks[i + 1]), "cudaEventSynchronize");
            float milliseconds = 0;
            check_cuda(cudaEventElapsedTime(&milliseconds, marks[i], marks[i + 1]),
                       "cudaEventElapsedTime");
            return static_cast<double>(milliseconds) * 1e3;
        };
        between(0, 2);
        const int calls = std::max(1, static_cast<int>(block * 1e6 / 2 / (elapsed(0) / 2)));
        between(0, calls);
        between(1, calls);
        const double us = elapsed(1) / calls;
        for (const cudaEvent_t mark : marks) check_cuda(cudaEventDestroy(mark), "cudaEventDestroy");
        return us;
    }

    Device& device_;
    CudaStream& stream_;
    LtLimits limits_;
    Buffer workspace_;
    std::vector<bf16> drawn_[2];
};

} // namespace

int bench(int argc, char** argv) {
    setenv("TNL_GEMM_SEARCH", "0", 1); // the table's entry is cublasGemmEx then
    const std::vector<std::string_view> words(argv + 1, argv + argc);
    const auto device = make_cuda_device(0, 1);
    Bench bench(*device);
    const auto number = [&](size_t i) {
        if (i + 1 >= words.size()) throw UsageError(fmt::format("{} of what?", words[i]));
        return std::atof(argv[i + 2]);
    };
    const auto has = [&](std::string_view word) {
        return std::find(words.begin(), words.end(), word) != words.end();
    };
    for (size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "workspace") bench.workspace(static_cast<size_t>(number(i) * 0x1p20));
        if (words[i] == "seconds") bench.seconds = number(i);
    }
    if (has("narrow")) bench.narrow();
    if (has("weight")) bench.ways = {Way::weight};
    fmt::print(
        "{}; us of cublasGemmEx; TFLOP/s of it, of cuBLASLt's first, best and chosen proposal; "
        "their numbers; times of all over cublasGemmEx's\n",
        lt_environment(cuda_of(device->stream()), lt_limits(cuda_of(device->stream()))));
    const Model models[] = {{"385M", 1024, 24, 2816}, {"1B", 2048, 16, 5632}};
    for (const Model& m : models) {
        if (argc > 1 && !has(m.name)) continue;
        std::vector<int64_t> heads;
        for (size_t i = 0; i < words.size(); ++i)
            if (words[i] == "head") heads.push_back(static_cast<int64_t>(number(i)));
        for (const int64_t rows : heads) {
            fmt::print("{}, head, {} rows at once\n", m.name, rows);
            bench.step({layers_of(m, rows).back()});
        }
        if (has("decode"))
            for (const int64_t rows : {1, 8, 64, 300})
                for (Layer layer : layers_of(m, kHeadChunk)) {
                    layer.rows = rows;
                    bench.run(layer, Way::forward);
                }
        if (!heads.empty() || has("decode")) continue;
        fmt::print("{}, {} tokens, {} rows of logits at once\n", m.name, kTokens, kHeadChunk);
        const std::vector<Layer> layers = layers_of(m, kHeadChunk);
        bench.step(layers);
        if (!has("weight"))
            for (const size_t i : {size_t{1}, size_t{3}}) bench.run(layers[i], Way::residual);
    }
    return 0;
}

} // namespace tnl::cuda

int main(int argc, char** argv) {
    try {
        return tnl::cuda::bench(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
