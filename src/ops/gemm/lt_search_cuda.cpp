#include "ops/gemm/lt_cuda.h"

#include <algorithm>
#include <memory>

namespace tnl::cuda {
namespace {

constexpr size_t kFinalists = 8;
constexpr double kNearlyBest = 1.15; // in the first round, to be timed again
constexpr double kAsFast = 1.005;    // what two timings of one algorithm differ by
constexpr float kBlock = 5;          // milliseconds of one timing of a finalist
constexpr int kMostCalls = 64, kRounds = 5;

struct FreeMemory {
    void operator()(void* memory) const { cudaFree(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

// Null where there is none left.
Memory allocate(size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) != cudaSuccess) cudaGetLastError();
    return Memory(memory);
}

class Event {
  public:
    Event() { check_cuda(cudaEventCreate(&event), "cudaEventCreate"); }
    ~Event() { cudaEventDestroy(event); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    cudaEvent_t event{};
};

struct Candidate {
    GemmAlgorithm algorithm{};
    size_t rank = 0; // in the library's opinion
    std::vector<float> times{};
    float median() {
        std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
        return times[times.size() / 2];
    }
};

class Trial {
  public:
    Trial(const CudaStream& stream, const LtProduct& product, const LtLimits& limits)
        : stream_(stream), product_(product), limits_(limits), sum_(allocate(8)) {
        const GemmKey& k = product.key;
        width_ = size_of(k.c_dtype);
        extent_ = static_cast<size_t>(((k.M - 1) * k.ldc + k.N) * width_);
        if (!k.adds) return;
        // As aligned as c.
        saved_ = allocate(extent_ + kUnit);
        const auto skew = reinterpret_cast<uintptr_t>(product.c) % kUnit;
        product_.c = static_cast<char*>(saved_.get()) + skew;
        original_ = product.c;
    }
    bool possible() const { return sum_ && (saved_ || !product_.key.adds); }

    bool run(const GemmAlgorithm& algorithm) const {
        return lt_multiply(stream_, product_, limits_, algorithm) == CUBLAS_STATUS_SUCCESS;
    }
    // Milliseconds of one of several calls.
    float time(const GemmAlgorithm& algorithm, int calls) const {
        check_cuda(cudaEventRecord(begin_.event, stream_.stream), "cudaEventRecord");
        for (int i = 0; i < calls; ++i) run(algorithm);
        check_cuda(cudaEventRecord(end_.event, stream_.stream), "cudaEventRecord");
        check_cuda(cudaEventSynchronize(end_.event), "a trial of a matrix product");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, begin_.event, end_.event),
                   "cudaEventElapsedTime");
        return milliseconds / static_cast<float>(calls);
    }
    bool repeats(const GemmAlgorithm& algorithm) const {
        const uint64_t first = result(algorithm);
        return result(algorithm) == first;
    }

  private:
    static constexpr size_t kUnit = 256;

    uint64_t result(const GemmAlgorithm& algorithm) const {
        if (original_)
            check_cuda(cudaMemcpyAsync(product_.c, original_, extent_, cudaMemcpyDeviceToDevice,
                                       stream_.stream),
                       "cudaMemcpyAsync");
        run(algorithm);
        const GemmKey& k = product_.key;
        return fingerprint(stream_, product_.c, k.M, k.N * width_, k.ldc * width_, sum_.get());
    }

    const CudaStream& stream_;
    LtProduct product_;
    const LtLimits limits_;
    const void* original_ = nullptr; // c, where the product adds to it
    Memory sum_, saved_;
    int64_t width_ = 0;
    size_t extent_ = 0;
    Event begin_, end_;
};

} // namespace

std::optional<GemmAlgorithm> lt_fastest(const CudaStream& stream, const LtProduct& product,
                                        const LtLimits& limits,
                                        const std::vector<GemmAlgorithm>& algorithms) {
    const Trial trial(stream, product, limits);
    if (algorithms.empty() || !trial.possible()) return std::nullopt;
    std::vector<Candidate> left;
    for (size_t i = 0; i < algorithms.size(); ++i)
        if (trial.run(algorithms[i])) // also loads the kernel
            left.push_back({algorithms[i], i, {trial.time(algorithms[i], 2)}});
    if (left.empty()) return std::nullopt;
    const auto faster = [](Candidate& a, Candidate& b) { return a.median() < b.median(); };
    std::sort(left.begin(), left.end(), faster);
    const float limit = static_cast<float>(kNearlyBest) * left[0].median();
    size_t keep = 0;
    while (keep < std::min(left.size(), kFinalists) && left[keep].median() <= limit) ++keep;
    const int calls = std::clamp(static_cast<int>(kBlock / left[0].median()), 1, kMostCalls);
    left.resize(keep);
    // In turns: clocks drift.
    for (Candidate& c : left) c.times.clear();
    for (int round = 0; round < kRounds; ++round)
        for (Candidate& c : left) c.times.push_back(trial.time(c.algorithm, calls));
    while (!left.empty()) {
        const float best = std::min_element(left.begin(), left.end(), faster)->median();
        auto chosen = left.end();
        for (auto c = left.begin(); c != left.end(); ++c)
            if (c->median() <= best * static_cast<float>(kAsFast) &&
                (chosen == left.end() || c->rank < chosen->rank))
                chosen = c;
        if (trial.repeats(chosen->algorithm)) return chosen->algorithm;
        left.erase(chosen);
    }
    return std::nullopt;
}

} // namespace tnl::cuda
