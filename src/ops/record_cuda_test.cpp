// Recorded work (Device::record) against the same work given call by call.
#include "ops/cuda_testbed.h"
#include "tensor/device_cuda.h"

namespace tnl::testing {
namespace {

// exp needs the stream's scratch, which may move after the recording.
TEST(CudaRecording, ReplaysAlsoAfterScratchHasMoved) {
    TNL_NEEDS_GPU();
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    const Tensor x = bed.input({70, 130}), y = bed.output({70, 130}),
                 direct = bed.output({70, 130});
    const auto work = [&](const Tensor& to) {
        bed.kernels.act_forward(bed.stream(), to, x, Activation::exp);
        bed.kernels.scale(bed.stream(), to, 2);
    };
    work(direct);
    const auto recording = gpu()->record([&] { work(y); });
    EXPECT_TRUE(std::isnan(bed.get(y).front())) << "recording ran the work";
    CudaStream& stream = cuda_of(gpu()->stream());
    for (int round = 0; round < 3; ++round) {
        gpu()->zero(y.data, static_cast<size_t>(y.bytes()));
        recording->replay();
        EXPECT_EQ(bed.get(y), bed.get(direct));
        stream.scratch(size_t{64} << (20 + round)); // more than there is: another
    }
}

TEST(CudaRecording, CopiesFromAndToTheHostsMemory) {
    TNL_NEEDS_GPU();
    const OwnedTensor host(*gpu(), DType::i32, {2, 8}, Place::host), there(*gpu(), DType::i32, {8});
    const auto recording = gpu()->record([&] {
        gpu()->copy(there.data, host.data, 32);
        gpu()->copy(host.slice(0, 1, 2).data, there.data, 32);
    });
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 8; ++i) host.as<int32_t>()[i] = 10 * round + i;
        recording->replay();
        gpu()->synchronize();
        for (int i = 0; i < 8; ++i) EXPECT_EQ(host.as<int32_t>()[8 + i], 10 * round + i);
    }
}

// What work throws comes through, and the stream goes on.
TEST(CudaRecording, WorkThatThrows) {
    TNL_NEEDS_GPU();
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    const Tensor x = bed.input({3, 4}), y = bed.output({3, 5});
    EXPECT_THROW(gpu()->record([&] {
        bed.kernels.scale(bed.stream(), x, 2);
        bed.kernels.add(bed.stream(), y, x);
    }),
                 Error);
    const std::vector<double> before = bed.get(x);
    bed.kernels.scale(bed.stream(), x, 2);
    EXPECT_EQ(bed.get(x).front(), 2 * before.front());
}

} // namespace
} // namespace tnl::testing
