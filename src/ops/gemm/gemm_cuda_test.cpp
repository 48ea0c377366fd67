// cuBLASLt's products and the search for the fastest, against the oracle.
#include "base/file.h"
#include "ops/cuda_testbed.h"
#include "ops/gemm/lt_cuda.h"
#include "tensor/device_cuda.h"

#include <cstdlib>
#include <filesystem>

namespace tnl::testing {
namespace {

using namespace tnl::cuda;

struct Case {
    int64_t M, N, K, gap = 0, lead = 0;
    bool ta = false, tb = false, adds = false, to_acc = false;
};

std::string describe(const Case& c) {
    return fmt::format("gemm {}x{}x{} gap {} lead {}{}{}{}{}", c.M, c.N, c.K, c.gap, c.lead,
                       c.ta ? " a^T" : "", c.tb ? " b^T" : "", c.adds ? " adds" : "",
                       c.to_acc ? " to acc" : "");
}

// c, a and b of a case; c holds NaN where it is not to be read.
struct Operands {
    Tensor a, b, c;
    Operands(Bed& bed, const Case& s)
        : a(bed.input(s.ta ? Bed::Dims{s.K, s.M} : Bed::Dims{s.M, s.K}, 1, s.gap, s.lead)),
          b(bed.input(s.tb ? Bed::Dims{s.N, s.K} : Bed::Dims{s.K, s.N}, 1, s.gap, s.lead)) {
        const Bed::Dims dims{s.M, s.N};
        if (s.to_acc && bed.dtype == DType::bf16)
            c = s.adds ? bed.acc_input(dims) : bed.acc_output(dims);
        else
            c = s.adds ? bed.input(dims, 1, s.gap, s.lead) : bed.output(dims, s.gap, s.lead);
    }
};

LtProduct product_of(const Operands& o, const Case& s) {
    return {{s.ta, s.tb, s.M, s.N, s.K, o.a.stride[0], o.b.stride[0], o.c.stride[0], o.a.dtype,
             o.c.dtype, false, s.adds, alignment_of(o.a.data), alignment_of(o.b.data),
             alignment_of(o.c.data)},
            o.a.data,
            o.b.data,
            o.c.data,
            1};
}

class CudaGemmSearch : public ::testing::Test {
  protected:
    void SetUp() override {
        TNL_NEEDS_GPU();
        stream = &cuda_of(gpu()->stream());
    }
    CudaStream* stream = nullptr;
};

TEST_F(CudaGemmSearch, EveryCandidateMultiplies) {
    const std::pair<int64_t, int64_t> places[] = {{0, 0}, {8, 0}, {3, 0}, {2, 1}, {4, 4}};
    for (const int flags : {0, 1, 2, 3})
        for (const bool adds : {false, true})
            for (const bool to_acc : {false, true})
                for (const auto& [gap, lead] : places)
                    for (const size_t which : {size_t{0}, size_t{1}, size_t{5}}) {
                        const Case s{
                            72,   136,   264, gap, lead, (flags & 1) != 0, (flags & 2) != 0,
                            adds, to_acc};
                        compare(
                            [&](Bed& bed) {
                                const Operands o(bed, s);
                                const LtProduct p = product_of(o, s);
                                const LtLimits limits = lt_limits(*stream);
                                const auto all = bed.device.kind() == DeviceKind::cuda
                                                     ? lt_candidates(*stream, p.key, limits, 8)
                                                     : std::vector<GemmAlgorithm>{};
                                if (which < all.size()) {
                                    ASSERT_TRUE(lt_usable(*stream, p.key, limits, all[which]));
                                    ASSERT_EQ(lt_multiply(*stream, p, limits, all[which]),
                                              CUBLAS_STATUS_SUCCESS);
                                } else {
                                    bed.kernels.gemm(bed.stream(), o.c, o.a, o.b, s.ta, s.tb, 1,
                                                     s.adds ? 1.0f : 0.0f);
                                }
                                bed.keep("c", o.c);
                            },
                            fmt::format("{}, candidate {}", describe(s), which));
                    }
}

// The entry of the table, on products large enough to be searched: the first run searches, the
// second does not, and both agree bit for bit.
TEST_F(CudaGemmSearch, TheSearchLeavesNoTrace) {
    const std::filesystem::path folder =
        std::filesystem::path(::testing::TempDir()) / "gemm_search";
    std::filesystem::remove_all(folder);
    setenv("XDG_CACHE_HOME", folder.c_str(), 1);
    setenv("TNL_GEMM_SEARCH", "1", 1);
    gpu()->stream().same_shapes = true;
    const Case cases[] = {{1040, 704, 720, 0, 0, false, true, false, false},
                          {1040, 704, 720, 0, 0, false, true, true, false},
                          {1040, 704, 720, 0, 0, true, false, true, true},
                          {1040, 704, 720, 3, 1, false, false, true, false},
                          {1040, 704, 720, 3, 0, true, true, false, false}};
    for (const Case& s : cases)
        compare(
            [&](Bed& bed) {
                const Operands o(bed, s);
                bed.kernels.gemm(bed.stream(), o.c, o.a, o.b, s.ta, s.tb, 1, s.adds ? 1.0f : 0.0f);
                bed.keep("c", o.c);
            },
            describe(s), {}, {DType::bf16});
    gpu()->stream().same_shapes = false;
    unsetenv("TNL_GEMM_SEARCH");
    const LtLimits limits = lt_limits(*stream);
    const std::string environment = lt_environment(*stream, limits);
    const std::filesystem::path file = algorithms_path(environment);
    const GemmAlgorithms found = parse_algorithms(read_file(file), environment, file.string());
    EXPECT_EQ(found.size(), std::size(cases));
    for (const auto& [key, algorithm] : found)
        EXPECT_TRUE(lt_usable(*stream, key, limits, algorithm));
    std::filesystem::remove_all(folder);
}

TEST_F(CudaGemmSearch, TheFastestRepeatsAndKeepsC) {
    for (const bool adds : {false, true}) {
        const Case s{300, 520, 4104, 8, 0, true, false, adds, true};
        Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
        const Operands o(bed, s), again(bed, s);
        const LtProduct p = product_of(o, s);
        const LtLimits limits = lt_limits(*stream);
        const std::vector<double> before = bed.get(o.c);
        const auto fastest =
            lt_fastest(*stream, p, limits, lt_candidates(*stream, p.key, limits, 32));
        ASSERT_TRUE(fastest);
        if (adds) {
            EXPECT_EQ(bed.get(o.c), before);
        }
        ASSERT_EQ(lt_multiply(*stream, p, limits, *fastest), CUBLAS_STATUS_SUCCESS);
        const std::vector<double> first = bed.get(o.c);
        LtProduct second = p;
        second.c = again.c.data;
        bed.device.copy(again.c.data, o.c.data, static_cast<size_t>(o.c.bytes()));
        if (adds) { // from the same c as the first
            std::vector<float> values(before.begin(), before.end());
            bed.device.upload(again.c.data, values.data(), values.size() * sizeof(float));
        }
        ASSERT_EQ(lt_multiply(*stream, second, limits, *fastest), CUBLAS_STATUS_SUCCESS);
        EXPECT_EQ(bed.get(again.c), first);
    }
}

// A product first met while a graph is recorded: no search, and the graph computes.
TEST_F(CudaGemmSearch, NotWhileAGraphIsRecorded) {
    const Case s{1030, 710, 730, 0, 0, false, true, false, false};
    Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
    const Operands o(bed, s), eager(bed, s);
    gpu()->synchronize();
    const auto multiply = [&](const Tensor& c) {
        bed.kernels.gemm(bed.stream(), c, o.a, o.b, s.ta, s.tb, 1, 0);
    };
    gpu()->stream().same_shapes = true;
    check_cuda(cudaStreamBeginCapture(stream->stream, cudaStreamCaptureModeThreadLocal), "begin");
    multiply(o.c);
    cudaGraph_t graph{};
    check_cuda(cudaStreamEndCapture(stream->stream, &graph), "end");
    multiply(eager.c); // the same choice for as long as the process lives
    gpu()->stream().same_shapes = false;
    cudaGraphExec_t executable{};
    check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    check_cuda(cudaGraphLaunch(executable, stream->stream), "cudaGraphLaunch");
    gpu()->synchronize();
    const std::vector<double> values = bed.get(o.c);
    EXPECT_FALSE(std::isnan(values.front()));
    EXPECT_EQ(values, bed.get(eager.c));
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
}

TEST_F(CudaGemmSearch, FingerprintsSeeEveryBit) {
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    const Tensor m = bed.input({33, 130}, 1, 3), sum = bed.bytes(8);
    const auto print = [&] {
        return fingerprint(*stream, m.data, 33, 130 * 4, m.stride[0] * 4, sum.data);
    };
    const uint64_t before = print();
    EXPECT_EQ(print(), before);
    std::vector<uint64_t> seen{before};
    for (const int64_t at : {int64_t{0}, int64_t{129}, m.stride[0], 32 * m.stride[0] + 129}) {
        auto* element = static_cast<char*>(m.data) + 4 * at;
        uint32_t bits = 0;
        gpu()->download(&bits, element, 4);
        bits ^= 1u << 16;
        gpu()->upload(element, &bits, 4);
        for (const uint64_t other : seen) EXPECT_NE(print(), other);
        seen.push_back(print());
    }
    const float gap = 1;
    gpu()->upload(static_cast<char*>(m.data) + 4 * 130, &gap, 4);
    EXPECT_EQ(print(), seen.back());
}

} // namespace
} // namespace tnl::testing
