// How a step is cut for a GPU, and the oracle's refusals.
#include "ops/step/step_testbed.h"

#include "ops/testbed.h"

#include <algorithm>

namespace tnl::testing {
namespace {

constexpr int64_t kShared = 227 * 1024; // of an H100

StepShape shape_of(int64_t layers, int64_t C, int64_t heads, int64_t width, int64_t F, int64_t V) {
    StepShape s;
    s.dtype = DType::bf16;
    s.layers = layers;
    s.C = C;
    s.heads = heads;
    s.width = width;
    s.F = F;
    s.V = V;
    s.keys = 2 * width;
    return s;
}

// Every pack of every row is the work of one warp.
void expect_covered(const StepPlan& plan, const StepPlan::Product& product) {
    const int64_t packs = product.row_bytes / 16;
    std::vector<int> seen(static_cast<size_t>(product.pairs * packs), 0);
    for (int block = 0; block < plan.blocks; ++block)
        for (int warp = 0; warp < StepPlan::kWarps; ++warp) {
            const StepSpan span =
                step_span(static_cast<int>(product.pairs), static_cast<int>(product.row_bytes),
                          product.splits, static_cast<int>(product.split_bytes), block,
                          static_cast<int>(plan.blocks), warp);
            ASSERT_LT(span.begin, span.stop);
            ASSERT_EQ(span.begin % 16, 0);
            for (int pair = span.first; pair < span.end; pair += span.stride)
                for (int byte = span.begin; byte < span.stop; byte += 16)
                    ++seen[static_cast<size_t>(pair * packs + byte / 16)];
        }
    ASSERT_TRUE(std::ranges::all_of(seen, [](int n) { return n == 1; }));
}

TEST(Step, PlanCoversEveryRow) {
    const StepShape shapes[] = {shape_of(24, 1024, 8, 128, 2816, 64000),
                                shape_of(16, 2048, 16, 128, 5632, 64000),
                                shape_of(30, 4096, 32, 128, 11008, 64000),
                                shape_of(3, 128, 2, 64, 352, 331), shape_of(2, 64, 3, 16, 72, 50)};
    for (const StepShape& s : shapes)
        for (const int sms : {132, 114, 78}) {
            const auto plan = plan_decode_step(s, sms, kShared);
            if (s.C == 4096 && sms < 132) continue; // more of the states than threads hold
            ASSERT_TRUE(plan) << s.C << " " << sms;
            EXPECT_LE(plan->shared + 7680, kShared);
            int64_t bytes = 0;
            for (const StepPlan::Product& product : plan->products) {
                expect_covered(*plan, product);
                bytes += product.rows * product.row_bytes;
            }
            EXPECT_EQ(bytes,
                      2 * (4 * s.hidden() * s.C + s.C * s.hidden() + 3 * s.F * s.C + s.V * s.C));
        }
}

TEST(Step, PlanCoversEveryBlockOfCodes) {
    for (const QuantFormat format : {QuantFormat::int8, QuantFormat::int4})
        for (StepShape s :
             {shape_of(24, 1024, 8, 128, 2816, 3001), shape_of(30, 4096, 32, 128, 11008, 3001)}) {
            s.matrices = format;
            s.head = QuantFormat::int8;
            const auto plan = plan_decode_step(s, 132, kShared);
            ASSERT_TRUE(plan);
            for (const StepPlan::Product& product : plan->products) {
                expect_covered(*plan, product);
                EXPECT_EQ(product.split_bytes % quant_block_bytes(product.format, kQuantBlock), 0);
                EXPECT_LE(product.piece_bytes, StepPlan::kPiece);
            }
            EXPECT_EQ(plan->products[3].row_bytes, quant_row_bytes(format, s.F));
            s.F += 32; // not whole groups
            EXPECT_FALSE(plan_decode_step(s, 132, kShared));
        }
}

TEST(Step, PlanDeclinesWhatTheKernelDoesNotServe) {
    const StepShape good = shape_of(24, 1024, 8, 128, 2816, 64000);
    ASSERT_TRUE(plan_decode_step(good, 132, kShared));
    const auto declined = [&](auto change) {
        StepShape s = good;
        change(s);
        return !plan_decode_step(s, 132, kShared);
    };
    EXPECT_TRUE(declined([](StepShape& s) { s.dtype = DType::f32; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.C = 1028; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.F = 2812; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.width = 120; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.layers = 97; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.C = 8200; }));
    EXPECT_TRUE(declined([](StepShape& s) { s.F = 33024; })) << "a row beside the ring";
    EXPECT_TRUE(declined([](StepShape& s) { s.acts[2] = Activation::gelu; }));
}

TEST(Step, MailDoesNotOverlap) {
    const StepShape s = shape_of(2, 72, 3, 16, 40, 50);
    const StepMail mail = mail_of(s);
    EXPECT_GE(mail.best, 4);
    EXPECT_GE(mail.x, mail.best + 16 * 132);
    EXPECT_GE(mail.qkvu, mail.x + 4 * s.C);
    EXPECT_GE(mail.o, mail.qkvu + 4 * 4 * s.hidden());
    EXPECT_GE(mail.h, mail.o + 4 * s.hidden());
    EXPECT_GE(mail.copy_bytes, mail.h + 4 * s.F - mail.x);
    EXPECT_GE(mail.bytes, mail.h + 4 * s.F + (StepMail::kCopies - 1) * mail.copy_bytes);
    for (const int64_t at : {mail.x, mail.qkvu, mail.o, mail.h, mail.best, mail.copy_bytes})
        EXPECT_EQ(at % 16, 0);
}

TEST(Step, RefusesWhatDoesNotFit) {
    Bed bed(cpu(), cpu_oracle_kernels(), DType::f64, DType::f64);
    const StepSize size{2, 32, 2, 16, 24, 11};
    const auto refused = [&](auto change, const char* what) {
        DecodeStep step = random_step(bed, size);
        change(step);
        try {
            bed.kernels.decode_step(bed.stream(), step);
        } catch (const Error& e) {
            return std::string(e.what()).find(what) != std::string::npos;
        }
        return false;
    };
    EXPECT_TRUE(refused([](DecodeStep& s) { s.layers.clear(); }, "no layers"));
    EXPECT_TRUE(refused([](DecodeStep& s) { s.layers[1].down = s.layers[1].out; }, "down"));
    EXPECT_TRUE(refused([](DecodeStep& s) { s.layers[1].state = s.layers[0].state; }, "state"));
    EXPECT_TRUE(refused([](DecodeStep& s) { s.head = s.head.floats.slice(0, 0, 10); }, "head"));
    EXPECT_TRUE(refused([](DecodeStep& s) { s.qk_act = Activation::exp; }, "exp"));
    DecodeStep step = random_step(bed, size);
    bed.kernels.decode_step(bed.stream(), step);
    EXPECT_FALSE(std::isnan(bed.get(step.logits)[10]));
}

} // namespace
} // namespace tnl::testing
