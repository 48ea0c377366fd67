// The products of a step of writing on the GPU, against copies within its memory: each as
// few_rows, with what stands around it, and as cuBLAS's product alone; as one recording over so
// many different matrices that none is found in a cache.
//   ops_cuda_few_rows_bench [385M] [1B] [7B] [rows M ...]
#include "ops/gemm/few_rows.h"
#include "ops/limits.h"
#include "tensor/device_cuda.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::cuda {
namespace {

struct Model {
    std::string name;
    int64_t width, glu;
};
constexpr int64_t kVocab = 64000;
constexpr int64_t kBytes = int64_t{1} << 30; // of weights that a recording reads

struct Product {
    std::string name;
    int64_t N, K;
    FewRows::Before before;
    FewRows::After after;
    bool adds = false, wide = false;
};

std::vector<Product> products_of(const Model& m) {
    using Before = FewRows::Before;
    using After = FewRows::After;
    return {{"qkvu", 4 * m.width, m.width, Before::srms, After::activation},
            {"out", m.width, m.width, Before::srms_gate, After::nothing, true},
            {"l1 l2", 2 * m.glu, m.width, Before::srms, After::gate},
            {"l3", m.width, m.glu, Before::nothing, After::nothing, true},
            {"head", kVocab, m.width, Before::nothing, After::nothing, false, true}};
}

class Bench {
  public:
    explicit Bench(Device& device)
        : device_(device), copy_(copy_bandwidth(device)),
          weights_(device, DType::bf16, {kBytes / 2}) {
        device.zero(weights_.data, static_cast<size_t>(weights_.bytes()));
        fmt::print("{}, copies {:.0f} GB/s\n", device.name(), copy_ / 1e9);
    }

    void run(const Model& model, int64_t M) {
        fmt::print("{}, {} row{}\n", model.name, M, M == 1 ? "" : "s");
        for (const Product& p : products_of(model)) {
            if (!fits_few_rows(M, p.K, 2)) continue;
            const Tensors t(device_, p, M);
            const double ours = seconds(p, [&](Tensor b) {
                FewRows call = t.call;
                call.b = b;
                kernels_for(device_).few_rows(device_.stream(), call);
            });
            const double theirs = seconds(p, [&](Tensor b) { blas(t, b); });
            const auto rate = [&](double s) {
                return static_cast<double>(2 * p.N * p.K) / s / copy_;
            };
            fmt::print(
                "  {:6} {:6} x {:5}  {:7.2f} us {:5.2f} of copy   cuBLAS {:7.2f} us {:5.2f}\n",
                p.name, p.N, p.K, ours * 1e6, rate(ours), theirs * 1e6, rate(theirs));
        }
    }

  private:
    struct Tensors {
        OwnedTensor a, g, c, wide;
        FewRows call;
        Tensors(Device& device, const Product& p, int64_t M)
            : a(device, DType::bf16, {M, p.K}), g(device, DType::bf16, {M, p.K}),
              c(device, p.wide ? DType::f32 : DType::bf16,
                {M, p.after == FewRows::After::gate ? p.N / 2 : p.N}),
              wide(device, c.dtype, {M, p.N}) {
            for (const Tensor* t :
                 {static_cast<const Tensor*>(&a), static_cast<const Tensor*>(&g),
                  static_cast<const Tensor*>(&c), static_cast<const Tensor*>(&wide)})
                device.zero(t->data, static_cast<size_t>(t->bytes()));
            call.a = a;
            call.c = c;
            call.before = p.before;
            call.after = p.after;
            call.eps = 1e-6f;
            if (p.before == FewRows::Before::srms_gate) call.g = g;
            call.gate_act = call.act = Activation::silu;
            call.acted = p.after == FewRows::After::activation ? p.N / 2 : 0;
            call.beta = p.adds ? 1 : 0;
        }
    };

    // c^T = b a^T in cuBLAS's column order.
    void blas(const Tensors& t, Tensor b) {
        const CudaStream& stream = cuda_of(device_.stream());
        const auto [N, K] = b.dims<2>();
        const float one = 1, beta = t.call.beta;
        const int n = static_cast<int>(N), k = static_cast<int>(K),
                  m = static_cast<int>(t.a.shape[0]);
        check_cublas(cublasGemmEx(stream.blas, CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, b.data,
                                  CUDA_R_16BF, k, t.a.data, CUDA_R_16BF, k, &beta, t.wide.data,
                                  t.wide.dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF, n,
                                  CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                     "cublasGemmEx");
    }

    // Of one product, over all the weights there are.
    template <class F> double seconds(const Product& p, F&& multiply) {
        const int64_t count = weights_.size() / (p.N * p.K);
        const auto all = [&] {
            for (int64_t i = 0; i < count; ++i)
                multiply(weights_.slice(0, i * p.N * p.K, (i + 1) * p.N * p.K).reshape({p.N, p.K}));
        };
        all();
        const auto recording = device_.record(all);
        return seconds_of_call(device_, [&] { recording->replay(); }) / static_cast<double>(count);
    }

    Device& device_;
    double copy_;
    OwnedTensor weights_;
};

int bench(int argc, char** argv) {
    const Model known[] = {{"385M", 1024, 2816}, {"1B", 2048, 5632}, {"7B", 4096, 11008}};
    std::vector<Model> models;
    std::vector<int64_t> rows;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        for (const Model& m : known)
            if (m.name == word) models.push_back(m);
        if (word == "rows")
            while (i + 1 < argc && std::atoi(argv[i + 1]) > 0) rows.push_back(std::atoi(argv[++i]));
    }
    if (models.empty()) models.assign(std::begin(known), std::end(known));
    if (rows.empty()) rows = {1, 8};
    const auto device = make_cuda_device();
    Bench b(*device);
    for (const Model& m : models)
        for (const int64_t M : rows) b.run(m, M);
    return 0;
}

} // namespace
} // namespace tnl::cuda

int main(int argc, char** argv) {
    try {
        return tnl::cuda::bench(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
