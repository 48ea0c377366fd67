#include "ops/lightning/call_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tnl {
namespace {

TEST(ScanPlan, FitsEveryWidthAndCoversEveryColumn) {
    for (DType dtype : {DType::f64, DType::f32, DType::bf16})
        for (bool decode : {false, true})
            for (int64_t K = 1; K <= kMaxHeadWidth; ++K)
                for (int64_t N : {int64_t{1}, int64_t{31}, int64_t{43}, int64_t{64}, int64_t{65},
                                  int64_t{128}, K, kMaxHeadWidth}) {
                    const ScanPlan p = plan_scan(3, 5, K, N, dtype, decode);
                    ASSERT_LE(p.shared, kMaxSharedMemory) << K << " " << N << name_of(dtype);
                    ASSERT_GE(p.key_width, K);
                    ASSERT_EQ(p.grid_x, 15);
                    ASSERT_GE(p.grid_y * p.tile, N);
                    ASSERT_LT((p.grid_y - 1) * p.tile, N);
                    ASSERT_EQ(p.threads % 32, 0);
                    ASSERT_LE(p.threads, 1024);
                    ASSERT_GE(p.chunk, 1);
                }
}

TEST(ScanPlan, KernelByDtype) {
    EXPECT_EQ(plan_scan(1, 1, 128, 128, DType::bf16, false).kernel, ScanKernel::tensor_cores);
    EXPECT_EQ(plan_scan(1, 1, 128, 128, DType::f32, false).kernel, ScanKernel::plain);
    EXPECT_EQ(plan_scan(1, 1, 128, 128, DType::f64, false).kernel, ScanKernel::plain);
    EXPECT_EQ(plan_scan(1, 1, 128, 128, DType::bf16, true).kernel, ScanKernel::decode);
    // Widths in between go to the next that is built.
    EXPECT_EQ(plan_scan(1, 1, 43, 43, DType::bf16, false).key_width, 64);
    EXPECT_EQ(plan_scan(1, 1, 65, 43, DType::bf16, false).key_width, 128);
    EXPECT_EQ(plan_scan(1, 1, 129, 43, DType::bf16, false).key_width, 256);
}

// Two blocks share a multiprocessor (228 KB, 1 KB of it taken by each) at the width of the released
// models.
TEST(ScanPlan, TwoBlocksAtWidth128) {
    EXPECT_LE(2 * (plan_scan(1, 1, 128, 128, DType::bf16, false).shared + 1024), 228u * 1024);
}

// What ldmatrix asks of the layout.
TEST(ScanPlan, TensorCoreOperandsAreAligned) {
    for (int width : {64, 128, 256}) {
        const MmaShared s(width);
        for (size_t at :
             {s.a, s.b, s.c, s.state_high, s.state_low, s.product_high, s.product_low, s.powers})
            EXPECT_EQ(at * 2 % 16, 0u);
        // Rows of eight consecutive ones begin in different groups of four banks.
        EXPECT_EQ(s.key_stride / 8 % 2, 1);
        EXPECT_EQ(MmaShared::kTileStride / 8 % 2, 1);
    }
}

TEST(ScanPlan, RefusesWhatItCannotDo) {
    EXPECT_THROW(plan_scan(1, 1, 257, 64, DType::f32, false), Error);
    EXPECT_THROW(plan_scan(1, 1, 64, 512, DType::bf16, false), Error);
    EXPECT_THROW(plan_scan(1, 1, 64, 64, DType::i32, false), Error);
    EXPECT_EQ(plan_scan(0, 8, 64, 64, DType::f32, false).grid_x, 0);
}

const ScanTarget kH100{.compute = 90, .multiprocessors = 132, .boxes = true};

LightningShape shape(int64_t B, int64_t T, int64_t H, int64_t D, int64_t E,
                     DType dtype = DType::bf16) {
    return {B, T, H, D, E, B, dtype};
}

TEST(ScanPlan, HopperKernelServesWhatItCan) {
    const auto kernel = [](const LightningShape& s, const ScanTarget& t) {
        return plan_scan_sm90(s, 1, t).kernel;
    };
    EXPECT_EQ(kernel(shape(4, 1024, 32, 128, 128), kH100), ScanKernel::sm90);
    EXPECT_EQ(kernel(shape(4, 1024, 32, 128, 128, DType::f16), kH100), ScanKernel::sm90);
    EXPECT_EQ(kernel(shape(4, 1024, 32, 128, 128, DType::f32), kH100), ScanKernel::plain);
    ScanTarget other = kH100;
    other.boxes = false;
    EXPECT_EQ(kernel(shape(4, 1024, 32, 128, 128), other), ScanKernel::plain);
    other = kH100;
    other.compute = 80;
    EXPECT_EQ(kernel(shape(4, 1024, 32, 128, 128), other), ScanKernel::plain);
}

TEST(ScanPlan, HopperPlansFitAndCover) {
    for (const int scans : {1, 3})
        for (int64_t D = 1; D <= 256; D += 7)
            for (const int64_t E :
                 {int64_t{8}, int64_t{64}, int64_t{65}, int64_t{128}, int64_t{129}, int64_t{256}}) {
                const ScanPlan p = plan_scan_sm90(shape(2, 5000, 3, D, E), scans, kH100);
                ASSERT_EQ(p.kernel, ScanKernel::sm90);
                const int groups = p.threads / 128 - 1;
                ASSERT_EQ(p.shared, Sm90Shared(p.key_width, groups).bytes);
                // 228 KB of a multiprocessor, 1 KB of it taken by each block.
                ASSERT_LE((p.shared + 1024) *
                              static_cast<size_t>(Sm90Shared(p.key_width, groups).blocks),
                          228u * 1024);
                ASSERT_LE(p.shared, kMaxSharedMemory);
                ASSERT_GE(p.key_width, scans == 1 ? D : std::max(D, E));
                ASSERT_GE(p.segments, 1);
                ASSERT_GE(groups, 1);
                ASSERT_EQ(p.grid_x % p.cluster, 0);
            }
}

// Beyond 128 keys the two blocks of a head fetch for each other, if there are two and enough heads.
TEST(ScanPlan, HopperPairs) {
    const auto cluster = [](int64_t heads, int64_t D, int64_t E, int scans) {
        return plan_scan_sm90(shape(4, 4096, heads, D, E), scans, kH100).cluster;
    };
    EXPECT_EQ(cluster(32, 256, 256, 1), 2);
    EXPECT_EQ(cluster(32, 192, 192, 3), 2);
    EXPECT_EQ(cluster(32, 192, 96, 1), 1);
    EXPECT_EQ(cluster(32, 192, 96, 3), 2);
    EXPECT_EQ(cluster(32, 128, 256, 1), 1);
    EXPECT_EQ(plan_scan_sm90(shape(1, 4096, 1, 256, 256), 1, kH100).tile, 64);
}

// One token for many heads: more columns a block.
TEST(ScanPlan, DecodeTiles) {
    const auto tile = [](int64_t sequences, int64_t N) {
        return plan_scan(sequences, 16, 64, N, DType::bf16, true).tile;
    };
    EXPECT_EQ(tile(1, 64), 32);
    EXPECT_EQ(tile(256, 64), 64);
    EXPECT_EQ(tile(256, 32), 32);
}

// Few heads are cut into segments, many are not; nor are short sequences.
TEST(ScanPlan, HopperSegments) {
    EXPECT_EQ(plan_scan_sm90(shape(4, 32768, 32, 128, 128), 1, kH100).segments, 1);
    EXPECT_EQ(plan_scan_sm90(shape(1, 128, 1, 128, 128), 1, kH100).segments, 1);
    EXPECT_GE(plan_scan_sm90(shape(1, 131072, 1, 128, 128), 1, kH100).segments, 32);
    const ScanPlan p = plan_scan_sm90(shape(1, 131072, 16, 128, 128), 1, kH100);
    EXPECT_GE(p.segments, 4);
    EXPECT_LE(p.segments * 16, 132);
    // Three walks a head backward: a whole wave of blocks, or several, in any number of heads.
    const auto backward = [](int64_t B, int64_t T, int64_t H) {
        return plan_scan_sm90(shape(B, T, H, 128, 128), 3, kH100).segments;
    };
    EXPECT_EQ(backward(4, 8192, 32), 1); // 384 walks
    EXPECT_EQ(backward(4, 8192, 16), 2); // 192: with one segment, 60 in a second wave
    EXPECT_EQ(backward(16, 262144, 4), 2);
    EXPECT_EQ(backward(8, 524288, 4), 1);  // 96
    EXPECT_EQ(backward(1, 1048576, 8), 4); // 24
    EXPECT_EQ(backward(1, 4194304, 4), 8); // 12
}

TEST(ScanPlan, StatesBetweenSegmentsAreBounded) {
    const Philox random{3, 0};
    int64_t cut = 0;
    for (uint64_t draw = 0; draw < 4000; draw += 4) {
        const auto T = static_cast<int64_t>(1 + random.below(draw, uint64_t{1} << (6 + draw % 15)));
        const auto H = static_cast<int64_t>(1 + random.below(draw + 1, 40));
        LightningShape packed = shape(1, T, H, 128, draw % 8 == 0 ? 256 : 64);
        packed.sequences = T; // documents may be as short as one token
        const int64_t most = most_segment_states(packed, kH100);
        packed.sequences = static_cast<int64_t>(
            1 + random.below(draw + 2, static_cast<uint64_t>(std::min<int64_t>(T, 30))));
        for (const int scans : {1, 3}) {
            const ScanPlan p = plan_scan_sm90(packed, scans, kH100);
            if (p.segments == 1) continue;
            ++cut;
            EXPECT_LE(packed.sequences * H * p.segments, most) << T << " " << H;
        }
    }
    EXPECT_GT(cut, 100);
}

// Host memory stands for a GPU's: plans read no element.
struct Rows {
    alignas(16) unsigned char memory[64] = {};
    Tensor tensor(int64_t B, int64_t T, int64_t H, int64_t width) {
        return {memory, DType::bf16, {B, T, H, width}};
    }
};

LightningForward forward_call(Rows& rows, int64_t B, int64_t T, int64_t H, int64_t width) {
    LightningForward call;
    call.q = call.k = call.v = call.o = rows.tensor(B, T, H, width);
    return call;
}

TEST(CallPlan, BoxesAreOfSixteenBytes) {
    Rows rows;
    Tensor x = rows.tensor(2, 5, 3, 64);
    EXPECT_TRUE(has_boxes(x));
    EXPECT_FALSE(has_boxes(rows.tensor(2, 5, 3, 20))); // rows of 40 bytes
    EXPECT_TRUE(has_boxes(rows.tensor(1, 1, 1, 20)));  // one row
    x.data = rows.memory + 2;
    EXPECT_FALSE(has_boxes(x));
    x = rows.tensor(2, 5, 3, 64);
    x.stride[1] = 0; // one row for all tokens: the copy engine wants steps
    EXPECT_FALSE(has_boxes(x));
    x = rows.tensor(1, 5, 3, 64);
    x.stride[0] = 3;
    EXPECT_TRUE(has_boxes(x));
}

TEST(CallPlan, EveryTensorOfTheCallCounts) {
    Rows rows;
    ScanTarget gpu = kH100;
    gpu.boxes = false;
    const LightningForward good = forward_call(rows, 2, 512, 3, 64);
    EXPECT_TRUE(target_for(gpu, good).boxes);
    EXPECT_EQ(target_for(gpu, good).compute, 90);
    EXPECT_EQ(target_for(gpu, good).multiprocessors, 132);
    for (Tensor LightningForward::*field :
         {&LightningForward::q, &LightningForward::k, &LightningForward::v, &LightningForward::o}) {
        LightningForward call = good;
        (call.*field).stride[1] += 1;
        EXPECT_FALSE(target_for(gpu, call).boxes);
    }
    LightningBackward back;
    const auto fields = {&LightningBackward::q,    &LightningBackward::k,  &LightningBackward::v,
                         &LightningBackward::dout, &LightningBackward::dq, &LightningBackward::dk,
                         &LightningBackward::dv};
    for (Tensor LightningBackward::*field : fields) back.*field = good.q;
    EXPECT_TRUE(target_for(gpu, back).boxes);
    for (Tensor LightningBackward::*field : fields) {
        LightningBackward call = back;
        (call.*field).stride[1] += 1;
        EXPECT_FALSE(target_for(gpu, call).boxes);
    }
}

TEST(CallPlan, OneTokenIsAStepUnlessPacked) {
    Rows rows;
    EXPECT_EQ(pass_of(forward_call(rows, 4, 2, 8, 64)), LightningPass::forward);
    LightningForward call = forward_call(rows, 4, 1, 8, 64);
    EXPECT_EQ(pass_of(call), LightningPass::step);
    call.cu_seqlens = Tensor(rows.memory, DType::i32, {2});
    EXPECT_EQ(pass_of(call), LightningPass::forward);
}

TEST(CallPlan, KernelOfACall) {
    const auto kernel = [](DType dtype, LightningPass pass, const ScanTarget& target) {
        return plan_call(shape(4, 512, 8, 128, 64, dtype), pass, target).kernel;
    };
    ScanTarget ampere = kH100, apart = kH100;
    ampere.compute = 80;
    apart.boxes = false;
    for (const LightningPass pass : {LightningPass::forward, LightningPass::backward}) {
        EXPECT_EQ(kernel(DType::bf16, pass, kH100), ScanKernel::sm90);
        EXPECT_EQ(kernel(DType::f16, pass, kH100), ScanKernel::sm90);
        EXPECT_EQ(kernel(DType::bf16, pass, ampere), ScanKernel::tensor_cores);
        EXPECT_EQ(kernel(DType::bf16, pass, apart), ScanKernel::tensor_cores);
        EXPECT_EQ(kernel(DType::f16, pass, apart), ScanKernel::plain);
        EXPECT_EQ(kernel(DType::f32, pass, kH100), ScanKernel::plain);
    }
    for (const DType dtype : {DType::bf16, DType::f32})
        EXPECT_EQ(kernel(dtype, LightningPass::step, kH100), ScanKernel::decode);
    // A backward is planned as three scans.
    EXPECT_EQ(describe(plan_call(shape(1, 8192, 16, 128, 128), LightningPass::backward, kH100)),
              describe(plan_scan_sm90(shape(1, 8192, 16, 128, 128), 3, kH100)));
}

} // namespace
} // namespace tnl
