#include "cli/machine.h"

#include "base/cpu.h"
#include "cli/machine_loop.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace tnl {
namespace {

using Vector2 [[gnu::vector_size(16)]] = uint64_t;

double seconds_of(auto&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Sums `kStreams` parts of the memory side by side, 64 bytes of each at a time, and asks for what
// is kAhead bytes further on, if not 0; what it returns keeps the reads alive.
template <size_t kStreams, size_t kAhead = 0> uint64_t read_all(const char* data, size_t bytes) {
    const size_t part = bytes / kStreams / 64 * 64;
    Vector2 sum[4] = {};
    for (size_t i = 0; i < part; i += 64)
        for (size_t s = 0; s < kStreams; ++s) {
            if (kAhead > 0) __builtin_prefetch(data + s * part + i + kAhead);
            for (size_t k = 0; k < 4; ++k) {
                Vector2 x;
                std::memcpy(&x, data + s * part + i + 16 * k, sizeof(x));
                sum[k] += x;
            }
        }
    const Vector2 all = sum[0] + sum[1] + sum[2] + sum[3];
    return all[0] + all[1];
}

// Operations per second of a loop whose vector instruction does `flops`.
double peak(ThreadPool& pool, float (*loop)(long), int flops, double seconds, int repeats) {
    std::atomic<float> sink{0};
    const auto run = [&](long rounds) {
        return seconds_of([&] { pool.run([&](int) { sink.store(loop(rounds)); }); });
    };
    long rounds = 10000;
    while (run(rounds) < seconds / 4) rounds *= 2;
    rounds *= 4;
    const double total = static_cast<double>(rounds) * kFmaChains * flops * pool.size();
    double best = 0;
    for (int i = 0; i < repeats; ++i) best = std::max(best, total / run(rounds));
    return best;
}

} // namespace

float fma_rounds_baseline(long rounds) { return fma_rounds<Vector4>(rounds); }

MemoryReader::MemoryReader(Device& device, size_t bytes)
    : buffer_(device, bytes), pool_(*device.stream().threads),
      lines_(static_cast<int64_t>(bytes / 64)) {
    // Touched by the thread that will read it, so that pages exist and lie near it.
    auto* const memory = static_cast<char*>(buffer_.data());
    pool_.parallel_for(lines_, 1, [&](int64_t begin, int64_t end) {
        std::memset(memory + begin * 64, 1, static_cast<size_t>(end - begin) * 64);
    });
}

double MemoryReader::bandwidth() {
    const auto* const memory = static_cast<const char*>(buffer_.data());
    std::atomic<uint64_t> sink{0};
    double best = 0;
    for (const auto read : {read_all<1>, read_all<8>, read_all<4, 2048>}) {
        const double seconds = seconds_of([&] {
            pool_.parallel_for(lines_, 1, [&](int64_t begin, int64_t end) {
                sink += read(memory + begin * 64, static_cast<size_t>(end - begin) * 64);
            });
        });
        best = std::max(best, static_cast<double>(lines_ * 64) / seconds);
    }
    return best;
}

double memory_read_bandwidth(Device& device, size_t bytes, int repeats) {
    MemoryReader reader(device, bytes);
    double best = 0;
    for (int i = 0; i < repeats; ++i) best = std::max(best, reader.bandwidth());
    return best;
}

double fp32_peak(ThreadPool& pool, double seconds, int repeats) {
    const CpuFeatures& cpu = cpu_features();
    if (cpu.avx512) return peak(pool, fma_rounds_avx512, 2 * 16, seconds, repeats);
    if (cpu.avx2) return peak(pool, fma_rounds_avx2, 2 * 8, seconds, repeats);
    return peak(pool, fma_rounds_baseline, 2 * 4, seconds, repeats);
}

double bf16_peak(ThreadPool& pool, double seconds, int repeats) {
    if (!cpu_features().avx512_bf16) return 0;
    return peak(pool, dot_rounds_avx512, 4 * 16, seconds, repeats);
}

} // namespace tnl
