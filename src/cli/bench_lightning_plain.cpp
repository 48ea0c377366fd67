#include "cli/bench_lightning_plain.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tnl {
namespace {

constexpr int64_t kChunk = 64;

// out [M,N] += x [M,K] y [K,N], sums in order.
void multiply(float* out, const float* x, const float* y, int64_t M, int64_t K, int64_t N) {
    for (int64_t i = 0; i < M; ++i)
        for (int64_t k = 0; k < K; ++k) {
            const float factor = x[i * K + k];
            const float* row = y + k * N;
            float* to = out + i * N;
            for (int64_t n = 0; n < N; ++n) to[n] += factor * row[n];
        }
}

template <class T> float rounded(float x) { return static_cast<float>(T(x)); }

template <class T> class Walk {
  public:
    explicit Walk(const PlainScan<T>& scan)
        : s_(scan), K_(scan.K), N_(scan.N), state_(size(K_, N_)), operand_(state_),
          a_(size(kChunk, K_)), b_(a_), weighted_(a_), c_(size(kChunk, N_)), out_(c_),
          from_state_(c_), scores_(size(kChunk, kChunk)) {
        for (int64_t n = 0; n <= kChunk; ++n)
            powers_.push_back(static_cast<float>(std::exp(-s_.slope * static_cast<double>(n))));
        for (int64_t k = 0; k < K_; ++k)
            for (int64_t n = 0; n < N_; ++n)
                if (s_.state_in)
                    state_[at(k, N_, n)] = s_.state_in[s_.transposed ? n * K_ + k : k * N_ + n];
    }

    void run() {
        for (int64_t t = 0; t < s_.tokens; t += kChunk) chunk(t, std::min(kChunk, s_.tokens - t));
        if (s_.state_out) std::copy(state_.begin(), state_.end(), s_.state_out);
    }

  private:
    static size_t size(int64_t rows, int64_t columns) {
        return static_cast<size_t>(rows * columns);
    }
    static size_t at(int64_t row, int64_t columns, int64_t column) {
        return static_cast<size_t>(row * columns + column);
    }
    int64_t token(int64_t i) const { return s_.reverse ? s_.tokens - 1 - i : i; }
    float power(int64_t n) const { return powers_[static_cast<size_t>(n)]; }

    // Tokens t to t+m-1 of the walk.
    void chunk(int64_t t, int64_t m) {
        const int64_t shift = s_.reverse ? 1 : 0;
        for (int64_t i = 0; i < m; ++i) {
            const int64_t row = token(t + i);
            const float weight = power(m - 1 - i + shift);
            for (int64_t k = 0; k < K_; ++k) {
                const auto b = static_cast<float>(s_.b[row * s_.stride_a + k]);
                a_[at(i, K_, k)] = static_cast<float>(s_.a[row * s_.stride_a + k]);
                b_[at(k, m, i)] = b;
                weighted_[at(k, m, i)] = rounded<T>(weight * b);
            }
            for (int64_t n = 0; n < N_; ++n)
                c_[at(i, N_, n)] = static_cast<float>(s_.c[row * s_.stride_c + n]);
        }
        std::fill(scores_.begin(), scores_.end(), 0.0f);
        multiply(scores_.data(), a_.data(), b_.data(), m, K_, m);
        for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < m; ++j) {
                float& score = scores_[at(i, m, j)];
                score = j <= i ? rounded<T>(power(i - j) * score) : 0.0f;
            }
        std::fill(out_.begin(), out_.end(), 0.0f);
        multiply(out_.data(), scores_.data(), c_.data(), m, m, N_);
        std::transform(state_.begin(), state_.end(), operand_.begin(), rounded<T>);
        std::fill(from_state_.begin(), from_state_.end(), 0.0f);
        multiply(from_state_.data(), a_.data(), operand_.data(), m, K_, N_);
        for (int64_t i = 0; i < m; ++i)
            for (int64_t n = 0; n < N_; ++n)
                s_.out[token(t + i) * s_.stride_c + n] =
                    T(out_[at(i, N_, n)] + power(i + 1 - shift) * from_state_[at(i, N_, n)]);
        for (float& x : state_) x *= power(m);
        multiply(state_.data(), weighted_.data(), c_.data(), K_, m, N_);
    }

    const PlainScan<T>& s_;
    int64_t K_, N_;
    std::vector<float> state_, operand_, a_, b_, weighted_, c_, out_, from_state_, scores_, powers_;
};

} // namespace

template <class T> void run_plain(const PlainScan<T>& scan) { Walk<T>(scan).run(); }
template void run_plain(const PlainScan<bf16>&);
template void run_plain(const PlainScan<f16>&);

} // namespace tnl
