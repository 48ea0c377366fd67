#include "ops/gemm/lt_cuda.h"

#include <algorithm>
#include <memory>

namespace tnl::cuda {
namespace {

// Large products draw all the power that a GPU may have, so that its clocks fall: what counts is
// their speed then, which takes tens of milliseconds to show, and is another order than that of
// short trials on a rested GPU.
constexpr float kSettle = 100; // milliseconds before the first timing
struct Stage {
    float block; // milliseconds of one timing
    int rounds;
    size_t keep; // the fastest so many go on
};
constexpr Stage kStages[] = {{30, 1, 4}, {60, 3, 4}};
constexpr double kAsFast = 1.01; // what timings of one algorithm differ by

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
    // Milliseconds of a call, in the second half of a block of calls.
    float time(const GemmAlgorithm& algorithm, float block) const {
        const float one = calls(algorithm, 1);
        const int half = std::max(1, static_cast<int>(block / 2 / one));
        calls(algorithm, half);
        return calls(algorithm, half);
    }
    bool repeats(const GemmAlgorithm& algorithm) const {
        const uint64_t first = result(algorithm);
        return result(algorithm) == first;
    }

  private:
    static constexpr size_t kUnit = 256;

    float calls(const GemmAlgorithm& algorithm, int n) const {
        check_cuda(cudaEventRecord(begin_.event, stream_.stream), "cudaEventRecord");
        for (int i = 0; i < n; ++i) run(algorithm);
        check_cuda(cudaEventRecord(end_.event, stream_.stream), "cudaEventRecord");
        check_cuda(cudaEventSynchronize(end_.event), "a trial of a matrix product");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, begin_.event, end_.event),
                   "cudaEventElapsedTime");
        return milliseconds / static_cast<float>(n);
    }

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
        if (trial.run(algorithms[i])) left.push_back({algorithms[i], i}); // also loads the kernel
    if (left.empty()) return std::nullopt;
    const auto faster = [](Candidate& a, Candidate& b) { return a.median() < b.median(); };
    trial.time(left[0].algorithm, kSettle);
    for (const Stage& stage : kStages) {
        for (Candidate& c : left) c.times.clear();
        // In turns, and in both directions: a timing depends on the power drawn before it.
        for (int round = 0; round < stage.rounds; ++round) {
            for (Candidate& c : left) c.times.push_back(trial.time(c.algorithm, stage.block));
            std::reverse(left.begin(), left.end());
        }
        std::sort(left.begin(), left.end(), faster);
        left.resize(std::min(left.size(), stage.keep));
    }
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
