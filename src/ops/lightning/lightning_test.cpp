// The chunked lightning attention of the CPU against the recurrence in f64, per instruction set.
#include "base/cpu.h"
#include "ops/lightning/lightning_cpu.h"
#include "ops/lightning/lightning_testbed.h"
#include "ops/lightning/scan_cpu.h"
#include "ops/testbed.h"

#include <functional>

namespace tnl {
namespace {

using testing::close;
using testing::CpuBed;
using testing::identical;

struct Problem {
    int64_t B = 1, T = 64, H = 2, D = 16, E = 16;
    std::vector<double> slopes{0.01, 0.84};
    std::vector<int32_t> offsets{}; // packed sequences, if any
    bool states = true, strided = false;
    float scale = 0.5f;
    uint64_t seed = 1;
    int64_t sequences() const {
        return offsets.empty() ? B : static_cast<int64_t>(offsets.size()) - 1;
    }
};

struct Operands {
    OwnedTensor q, k, v, dout, slopes, state_in, dstate_out, cu_seqlens;
};

// The same numbers for every dtype: bf16 holds them exactly (f32 the slopes).
Operands make_operands(CpuBed& bed, const Problem& p, DType dtype) {
    const DType acc = testing::acc_of(dtype);
    const auto random = [&](DType type, std::initializer_list<int64_t> dims, uint64_t stream) {
        return testing::exact_normal(bed, type, dims, 10 * p.seed + stream);
    };
    Operands t;
    t.q = random(dtype, {p.B, p.T, p.H, p.D}, 1);
    t.k = random(dtype, {p.B, p.T, p.H, p.D}, 2);
    t.v = random(dtype, {p.B, p.T, p.H, p.E}, 3);
    t.dout = random(dtype, {p.B, p.T, p.H, p.E}, 4);
    t.slopes = OwnedTensor(*bed.device, acc, {p.H});
    for (int64_t h = 0; h < p.H; ++h) {
        const double slope = p.slopes[static_cast<size_t>(h) % p.slopes.size()];
        testing::set_value(t.slopes, h, static_cast<double>(static_cast<float>(slope)));
    }
    if (p.states) {
        t.state_in = random(acc, {p.sequences(), p.H, p.D, p.E}, 5);
        t.dstate_out = random(acc, {p.sequences(), p.H, p.D, p.E}, 6);
    }
    if (!p.offsets.empty()) {
        t.cu_seqlens = OwnedTensor(*bed.device, DType::i32, {p.sequences() + 1});
        for (size_t i = 0; i < p.offsets.size(); ++i)
            testing::set_value(t.cu_seqlens, static_cast<int64_t>(i), p.offsets[i]);
    }
    return t;
}

struct Outputs {
    OwnedTensor o, state_out, dq, dk, dv, dstate_in;
    std::vector<std::pair<const char*, const OwnedTensor*>> all() const {
        std::vector<std::pair<const char*, const OwnedTensor*>> out{
            {"o", &o}, {"dq", &dq}, {"dk", &dk}, {"dv", &dv}};
        if (state_out) out.emplace_back("state_out", &state_out);
        if (dstate_in) out.emplace_back("dstate_in", &dstate_in);
        return out;
    }
};

// A tensor of NaN, so that whatever is not written shows; `width` more than the last dimension
// asks for, in a strided problem.
OwnedTensor unwritten(CpuBed& bed, DType dtype, std::initializer_list<int64_t> dims) {
    OwnedTensor t(*bed.device, dtype, dims);
    testing::fill(t, std::numeric_limits<double>::quiet_NaN());
    return t;
}

using Forward = std::function<void(Stream&, const LightningForward&)>;
using Backward = std::function<void(Stream&, const LightningBackward&)>;
struct Path {
    std::string name;
    Forward forward;
    Backward backward;
    bool bf16_products = false; // of bf16 tensors
};

// q, k, v, dout, o, dq, dk, dv as views into wider memory: rows of one fused projection, heads
// apart, an odd number of elements in.
struct Views {
    Views(CpuBed& bed, const Tensor& contiguous, bool strided) {
        const auto [B, T, H, W] = contiguous.dims<4>();
        if (!strided) {
            memory = testing::converted(*bed.device, contiguous, contiguous.dtype);
            view = memory;
            return;
        }
        memory = unwritten(bed, contiguous.dtype, {B, T + 1, H + 1, W + 7});
        view = memory.slice(1, 1, T + 1).slice(2, 0, H).slice(3, 3, 3 + W);
        for (int64_t i = 0; i < contiguous.size(); ++i)
            testing::set_value(view, i, testing::value_at(contiguous, i));
    }
    OwnedTensor memory;
    Tensor view;
};

Outputs run(CpuBed& bed, const Path& path, const Problem& p, DType dtype) {
    const Operands in = make_operands(bed, p, dtype);
    const DType acc = testing::acc_of(dtype);
    const auto view = [&](const Tensor& t) { return Views(bed, t, p.strided); };
    const Views q = view(in.q), k = view(in.k), v = view(in.v), dout = view(in.dout);
    const Views o = view(unwritten(bed, dtype, {p.B, p.T, p.H, p.E}));
    const Views dq = view(unwritten(bed, dtype, {p.B, p.T, p.H, p.D}));
    const Views dk = view(unwritten(bed, dtype, {p.B, p.T, p.H, p.D}));
    const Views dv = view(unwritten(bed, dtype, {p.B, p.T, p.H, p.E}));
    Outputs out;
    if (p.states) {
        out.state_out = unwritten(bed, acc, {p.sequences(), p.H, p.D, p.E});
        out.dstate_in = unwritten(bed, acc, {p.sequences(), p.H, p.D, p.E});
    }
    path.forward(bed.stream(), {.o = o.view,
                                .state_out = out.state_out,
                                .q = q.view,
                                .k = k.view,
                                .v = v.view,
                                .slopes = in.slopes,
                                .state_in = in.state_in,
                                .cu_seqlens = in.cu_seqlens,
                                .scale = p.scale,
                                .workspace = {}});
    path.backward(bed.stream(), {.dq = dq.view,
                                 .dk = dk.view,
                                 .dv = dv.view,
                                 .dstate_in = out.dstate_in,
                                 .q = q.view,
                                 .k = k.view,
                                 .v = v.view,
                                 .slopes = in.slopes,
                                 .state_in = in.state_in,
                                 .cu_seqlens = in.cu_seqlens,
                                 .dout = dout.view,
                                 .dstate_out = in.dstate_out,
                                 .scale = p.scale,
                                 .workspace = {}});
    const auto contiguous = [&](const Views& x) {
        return testing::converted(*bed.device, x.view, x.view.dtype);
    };
    out.o = contiguous(o);
    out.dq = contiguous(dq);
    out.dk = contiguous(dk);
    out.dv = contiguous(dv);
    return out;
}

Path oracle() { return {"oracle", lightning_forward_oracle, lightning_backward_oracle}; }
Path masked_bf16() {
    return {"masked", testing::lightning_forward_masked, testing::lightning_backward_masked};
}
Path fast(const LightningLoops& loops) {
    return {
        loops.name,
        [&loops](Stream& s, const LightningForward& c) { lightning_forward_with(loops, s, c); },
        [&loops](Stream& s, const LightningBackward& c) { lightning_backward_with(loops, s, c); }};
}

std::vector<Path> paths() {
    std::vector<Path> out{fast(lightning_baseline())};
    if (cpu_features().avx2) out.push_back(fast(lightning_avx2()));
    if (cpu_features().avx512) out.push_back(fast(lightning_avx512()));
    if (cpu_features().avx512_bf16) {
        out.push_back(fast(lightning_avx512_bf16()));
        out.back().bf16_products = true;
    }
    return out;
}

// Every path in f32 to `tolerance` of the largest magnitude, in bf16 to twice the error of the
// plain implementation: the recurrence that rounds its outputs alone or, where products are of
// bf16, the masked form that rounds what they read.
void expect_oracle(const Problem& p, double tolerance = 2e-6, int threads = 2) {
    CpuBed bed(threads);
    const Outputs exact = run(bed, oracle(), p, DType::f64);
    const Outputs recurrent = run(bed, oracle(), p, DType::bf16);
    const Outputs masked = run(bed, masked_bf16(), p, DType::bf16);
    for (const Path& path : paths()) {
        SCOPED_TRACE(path.name);
        const Outputs f32 = run(bed, path, p, DType::f32), half = run(bed, path, p, DType::bf16);
        const Outputs& plain = path.bf16_products ? masked : recurrent;
        for (size_t i = 0; i < exact.all().size(); ++i) {
            SCOPED_TRACE(exact.all()[i].first);
            const OwnedTensor& expected = *exact.all()[i].second;
            EXPECT_TRUE(close(*f32.all()[i].second, expected, tolerance));
            EXPECT_TRUE(testing::within_twice(*half.all()[i].second, *plain.all()[i].second,
                                              expected, tolerance));
        }
    }
}

TEST(Lightning, chunks_equal_the_recurrence_at_every_length_and_decay) {
    for (const int64_t T : {1, 2, 5, 63, 64, 65, 127, 130})
        for (const double slope : {0.0, 4e-8, 0.02, 0.84, 8.0}) {
            SCOPED_TRACE("T " + std::to_string(T) + ", slope " + std::to_string(slope));
            expect_oracle({.T = T, .H = 1, .slopes = {slope}});
        }
}

#if defined(__clang__) // the compiler of the sanitizers, under which the oracle takes minutes
constexpr int64_t kLong = 401, kLonger = 700, kWidest = 136;
#else
constexpr int64_t kLong = 913, kLonger = 1500, kWidest = 256;
#endif

TEST(Lightning, long_sequences) {
    for (const bool states : {false, true})
        expect_oracle(
            {.T = kLong, .H = 4, .D = 32, .E = 24, .slopes = {0, 4e-8, 0.84, 8}, .states = states});
}

TEST(Lightning, widths) {
    const std::pair<int64_t, int64_t> widths[] = {{1, 1},   {3, 5},    {7, 33},   {16, 48},
                                                  {17, 31}, {64, 128}, {128, 64}, {130, 6}};
    for (const auto& [D, E] : widths) {
        SCOPED_TRACE("D " + std::to_string(D) + ", E " + std::to_string(E));
        expect_oracle({.T = 70, .H = 3, .D = D, .E = E, .slopes = {0.05}});
        expect_oracle({.T = 3, .H = 3, .D = D, .E = E, .slopes = {0.05}});
    }
    expect_oracle({.T = 66, .H = 1, .D = kWidest, .E = kWidest, .slopes = {0.05}});
}

TEST(Lightning, strided_views_of_a_fused_projection) {
    expect_oracle({.B = 2, .T = 77, .H = 3, .D = 20, .E = 12, .strided = true});
    expect_oracle({.B = 3, .T = 1, .H = 3, .D = 20, .E = 12, .strided = true});
}

TEST(Lightning, packed_sequences_with_empty_ones) {
    expect_oracle(
        {.T = 203, .D = 24, .E = 40, .offsets = {0, 0, 1, 66, 66, 70, 199, 203}, .strided = true});
    expect_oracle({.T = 5, .offsets = {0, 0, 2, 2, 4, 5, 5}, .states = false});
}

TEST(Lightning, fewer_heads_than_threads) {
    // cut into blocks of columns, and into segments of the sequence
    expect_oracle({.T = 130, .H = 1, .D = 40, .E = 72, .slopes = {0.1}}, 2e-6, 4);
    for (const double slope : {0.0, 4e-8, 0.01, 8.0})
        expect_oracle({.T = kLonger, .H = 1, .D = 16, .E = 8, .slopes = {slope}}, 2e-6, 7);
    expect_oracle({.T = kLonger,
                   .H = 1,
                   .D = 16,
                   .E = 8,
                   .slopes = {0.01},
                   .offsets = {0, 70, kLonger - 50, kLonger - 50, kLonger},
                   .states = false},
                  2e-6, 7);
}

TEST(Lightning, packed_sequences_are_the_same_bits_as_separate_ones) {
    CpuBed bed(1);
    const Problem packed{.T = 200, .offsets = {0, 90, 93, 200}, .states = false};
    const Operands in = make_operands(bed, packed, DType::f32);
    for (const Path& path : paths()) {
        SCOPED_TRACE(path.name);
        const Outputs whole = run(bed, path, packed, DType::f32);
        for (size_t i = 0; i + 1 < packed.offsets.size(); ++i) {
            const int64_t begin = packed.offsets[i], end = packed.offsets[i + 1];
            OwnedTensor o = unwritten(bed, DType::f32, {1, end - begin, packed.H, packed.E});
            const auto part = [&](const Tensor& t) { return t.slice(1, begin, end); };
            path.forward(bed.stream(), {.o = o,
                                        .state_out = {},
                                        .q = part(in.q),
                                        .k = part(in.k),
                                        .v = part(in.v),
                                        .slopes = in.slopes,
                                        .state_in = {},
                                        .cu_seqlens = {},
                                        .scale = packed.scale,
                                        .workspace = {}});
            EXPECT_TRUE(identical(o, part(whole.o)));
        }
    }
}

// States of slots, in any order and some of none, are those of the sequences in order.
TEST(Lightning, slots_say_whose_state_is_whose) {
    CpuBed bed(2);
    const Problem p{.T = 200, .offsets = {0, 90, 93, 93, 200}};
    const std::vector<int32_t> slots{5, -1, 0, 3};
    const Operands in = make_operands(bed, p, DType::f32);
    const Tensor which(const_cast<int32_t*>(slots.data()), DType::i32, {4});
    const auto one = [&](const Tensor& states, int64_t i) { return states.slice(0, i, i + 1); };
    std::vector<Path> all = paths();
    all.push_back(oracle());
    for (const Path& path : all) {
        SCOPED_TRACE(path.name);
        OwnedTensor plain_in = testing::converted(*bed.device, in.state_in, DType::f32),
                    plain_out = testing::converted(*bed.device, in.dstate_out, DType::f32);
        testing::fill(one(plain_in, 1), 0);
        testing::fill(one(plain_out, 1), 0);
        const OwnedTensor slot_in = unwritten(bed, DType::f32, {7, p.H, p.D, p.E}),
                          slot_out = unwritten(bed, DType::f32, {7, p.H, p.D, p.E});
        for (int64_t i = 0; i < 4; ++i)
            for (const auto& [from, to] : {std::pair(Tensor(plain_in), Tensor(slot_in)),
                                           std::pair(Tensor(plain_out), Tensor(slot_out))})
                for (int64_t x = 0; slots[static_cast<size_t>(i)] >= 0 && x < one(from, i).size();
                     ++x)
                    testing::set_value(one(to, slots[static_cast<size_t>(i)]), x,
                                       testing::value_at(one(from, i), x));
        const auto call = [&](const Tensor& state_in, const Tensor& dstate_out,
                              const Tensor& chosen, int64_t states) {
            Outputs out;
            out.o = unwritten(bed, DType::f32, {1, p.T, p.H, p.E});
            out.dq = unwritten(bed, DType::f32, {1, p.T, p.H, p.D});
            out.dk = unwritten(bed, DType::f32, {1, p.T, p.H, p.D});
            out.dv = unwritten(bed, DType::f32, {1, p.T, p.H, p.E});
            out.state_out = unwritten(bed, DType::f32, {states, p.H, p.D, p.E});
            out.dstate_in = unwritten(bed, DType::f32, {states, p.H, p.D, p.E});
            LightningForward f{.o = out.o,
                               .state_out = out.state_out,
                               .q = in.q,
                               .k = in.k,
                               .v = in.v,
                               .slopes = in.slopes,
                               .state_in = state_in,
                               .cu_seqlens = in.cu_seqlens,
                               .workspace = {}};
            f.slots = chosen;
            path.forward(bed.stream(), f);
            LightningBackward b{.dq = out.dq,
                                .dk = out.dk,
                                .dv = out.dv,
                                .dstate_in = out.dstate_in,
                                .q = in.q,
                                .k = in.k,
                                .v = in.v,
                                .slopes = in.slopes,
                                .state_in = state_in,
                                .cu_seqlens = in.cu_seqlens,
                                .dout = in.dout,
                                .dstate_out = dstate_out,
                                .workspace = {}};
            b.slots = chosen;
            path.backward(bed.stream(), b);
            return out;
        };
        const Outputs want = call(plain_in, plain_out, {}, 4),
                      got = call(slot_in, slot_out, which, 7);
        EXPECT_TRUE(identical(got.o, want.o));
        EXPECT_TRUE(identical(got.dq, want.dq));
        EXPECT_TRUE(identical(got.dk, want.dk));
        EXPECT_TRUE(identical(got.dv, want.dv));
        for (int64_t i = 0; i < 4; ++i) {
            const int32_t slot = slots[static_cast<size_t>(i)];
            if (slot < 0) continue;
            EXPECT_TRUE(identical(one(got.state_out, slot), one(want.state_out, i))) << i;
            EXPECT_TRUE(identical(one(got.dstate_in, slot), one(want.dstate_in, i))) << i;
        }
        for (const int64_t nobody : {1, 2, 4, 6}) {
            EXPECT_TRUE(std::isnan(testing::value_at(one(got.state_out, nobody), 0)));
            EXPECT_TRUE(std::isnan(testing::value_at(one(got.dstate_in, nobody), 0)));
        }
    }
}

// The sequence in parts, the state carried from one to the next in place.
void expect_parts(const Path& path, const Problem& p, const std::vector<int64_t>& cuts,
                  double tolerance) {
    CpuBed bed;
    const Operands in = make_operands(bed, p, DType::f32);
    const Outputs whole = run(bed, path, p, DType::f32);
    OwnedTensor o = unwritten(bed, DType::f32, {p.B, p.T, p.H, p.E});
    OwnedTensor state = testing::converted(*bed.device, in.state_in, DType::f32);
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
        const auto part = [&](const Tensor& t) { return t.slice(1, cuts[i], cuts[i + 1]); };
        path.forward(bed.stream(), {.o = part(o),
                                    .state_out = state,
                                    .q = part(in.q),
                                    .k = part(in.k),
                                    .v = part(in.v),
                                    .slopes = in.slopes,
                                    .state_in = state,
                                    .cu_seqlens = {},
                                    .scale = p.scale,
                                    .workspace = {}});
    }
    EXPECT_TRUE(close(o, whole.o, tolerance));
    EXPECT_TRUE(close(state, whole.state_out, tolerance));
}

TEST(Lightning, split_equals_whole_with_the_state_carried) {
    const Problem p{.B = 2, .T = 210, .H = 3, .D = 24, .E = 20, .slopes = {0, 0.02, 0.84}};
    for (const Path& path : paths()) {
        SCOPED_TRACE(path.name);
        expect_parts(path, p, {0, 64, 65, 130, 133, 210}, 1e-6);
        expect_parts(path, p, {0, 128, 210}, 1e-6);
    }
}

TEST(Lightning, decoding_token_by_token_equals_the_prefill) {
    const Problem p{.B = 3, .T = 90, .H = 2, .D = 24, .E = 137, .slopes = {4e-8, 0.3}};
    std::vector<int64_t> cuts;
    for (int64_t t = 0; t <= p.T; ++t) cuts.push_back(t);
    for (const Path& path : paths()) {
        SCOPED_TRACE(path.name);
        expect_parts(path, p, cuts, 2e-6);
    }
}

TEST(Lightning, same_bits_for_any_number_of_threads_while_heads_suffice) {
    const Problem p{.B = 2, .T = 150, .H = 2, .D = 33, .E = 65};
    for (const Path& path : paths())
        for (const DType dtype : {DType::f32, DType::bf16}) {
            SCOPED_TRACE(path.name);
            CpuBed one(1);
            const Outputs serial = run(one, path, p, dtype);
            for (const int threads : {2, 3, 4}) {
                CpuBed many(threads);
                const Outputs parallel = run(many, path, p, dtype);
                for (size_t i = 0; i < serial.all().size(); ++i)
                    EXPECT_TRUE(identical(*serial.all()[i].second, *parallel.all()[i].second))
                        << serial.all()[i].first << ", threads " << threads;
            }
        }
}

TEST(Lightning, segments_repeat_bit_for_bit) {
    const Problem p{.T = 2100, .H = 1, .D = 16, .E = 16, .slopes = {0.003}};
    for (const Path& path : paths()) {
        CpuBed bed(6);
        const Outputs first = run(bed, path, p, DType::f32), again = run(bed, path, p, DType::f32);
        for (size_t i = 0; i < first.all().size(); ++i)
            EXPECT_TRUE(identical(*first.all()[i].second, *again.all()[i].second));
    }
}

// Where lambda^64 rounds to few digits of 1 - lambda^64, a chunked scan that multiplied by it would
// drift; errors may not add up over a thousand chunks.
TEST(Lightning, tiny_slopes_decay_as_they_should_over_long_sequences) {
    CpuBed bed;
    constexpr int64_t kTokens = 64 * 1000;
    const auto tokens = [&] { return bed.zeros(DType::f32, {1, kTokens, 1, 1}); };
    const OwnedTensor q = tokens(), k = tokens(), v = tokens(), o = tokens();
    testing::fill(q, 1);
    testing::fill(k, 1);
    for (int64_t t = 0; t < kTokens; ++t)
        testing::set_value(v, t, Philox{3, 1}.uniform(static_cast<uint64_t>(t)));
    const OwnedTensor slopes = bed.zeros(DType::f32, {1}),
                      state = bed.zeros(DType::f32, {1, 1, 1, 1});
    for (const double slope : {0.0, 4e-8, 1e-6, 3e-5}) {
        testing::fill(slopes, slope);
        const double lambda = std::exp(-testing::value_at(slopes, 0));
        double exact = 0;
        for (int64_t t = 0; t < kTokens; ++t) exact = lambda * exact + testing::value_at(v, t);
        for (const Path& path : paths()) {
            path.forward(bed.stream(), {.o = o,
                                        .state_out = state,
                                        .q = q,
                                        .k = k,
                                        .v = v,
                                        .slopes = slopes,
                                        .state_in = {},
                                        .cu_seqlens = {},
                                        .scale = 1,
                                        .workspace = {}});
            EXPECT_NEAR(testing::value_at(state, 0) / exact, 1, 1e-6) << path.name << slope;
            EXPECT_NEAR(testing::value_at(o, kTokens - 1) / exact, 1, 1e-6) << path.name << slope;
        }
    }
}

// Nothing of a token reaches the outputs before it.
TEST(Lightning, causal) {
    CpuBed bed;
    const Problem p{.T = 140, .H = 1, .D = 17, .E = 19, .slopes = {0.01}, .states = false};
    const Operands in = make_operands(bed, p, DType::f32);
    for (const Path& path : paths()) {
        SCOPED_TRACE(path.name);
        const auto forward = [&](const Tensor& o) {
            path.forward(bed.stream(), {.o = o,
                                        .state_out = {},
                                        .q = in.q,
                                        .k = in.k,
                                        .v = in.v,
                                        .slopes = in.slopes,
                                        .state_in = {},
                                        .cu_seqlens = {},
                                        .scale = 1,
                                        .workspace = {}});
        };
        const OwnedTensor o = unwritten(bed, DType::f32, {1, p.T, 1, p.E});
        const OwnedTensor changed = unwritten(bed, DType::f32, {1, p.T, 1, p.E});
        for (const int64_t t : {3, 63, 64, 100}) {
            forward(o);
            const double k = testing::value_at(in.k, t * p.D), v = testing::value_at(in.v, t * p.E);
            testing::set_value(in.k, t * p.D, k + 1);
            testing::set_value(in.v, t * p.E, v - 1);
            forward(changed);
            testing::set_value(in.k, t * p.D, k);
            testing::set_value(in.v, t * p.E, v);
            EXPECT_TRUE(identical(changed.slice(1, 0, t), o.slice(1, 0, t)));
            EXPECT_FALSE(identical(changed.slice(1, t, t + 1), o.slice(1, t, t + 1)));
        }
    }
}

// The oracle itself against finite differences in f64: sum of dout o + dstate_out state_out.
TEST(Lightning, gradients_of_the_oracle_by_finite_differences) {
    CpuBed bed;
    const Problem p{
        .T = 7, .D = 3, .E = 4, .slopes = {0.1, 0.84}, .offsets = {0, 4, 4, 7}, .scale = 0.7f};
    const Operands in = make_operands(bed, p, DType::f64);
    const Outputs gradients = run(bed, oracle(), p, DType::f64);
    const OwnedTensor o = bed.zeros(DType::f64, {1, p.T, p.H, p.E});
    const OwnedTensor state = bed.zeros(DType::f64, {p.sequences(), p.H, p.D, p.E});
    const auto loss = [&] {
        lightning_forward_oracle(bed.stream(), {.o = o,
                                                .state_out = state,
                                                .q = in.q,
                                                .k = in.k,
                                                .v = in.v,
                                                .slopes = in.slopes,
                                                .state_in = in.state_in,
                                                .cu_seqlens = in.cu_seqlens,
                                                .scale = p.scale,
                                                .workspace = {}});
        return testing::dot(in.dout, o) + testing::dot(in.dstate_out, state);
    };
    EXPECT_TRUE(testing::gradcheck("q", in.q, gradients.dq, loss));
    EXPECT_TRUE(testing::gradcheck("k", in.k, gradients.dk, loss));
    EXPECT_TRUE(testing::gradcheck("v", in.v, gradients.dv, loss));
    EXPECT_TRUE(testing::gradcheck("state_in", in.state_in, gradients.dstate_in, loss));
}

TEST(ScanCut, heads_first_then_columns_then_segments) {
    const auto cut = [](int64_t scans, int64_t T, int threads) {
        return cut_scan({.longest = T,
                         .tokens = scans * T,
                         .K = 128,
                         .N = 128,
                         .panel = 16,
                         .threads = threads});
    };
    EXPECT_EQ(cut(8, 1 << 20, 1), (ScanCut{1, 1}));
    EXPECT_EQ(cut(64, 8192, 8), (ScanCut{1, 1}));
    EXPECT_EQ(cut(8, 8192, 8), (ScanCut{1, 1}));
    EXPECT_EQ(cut(1, 8192, 2), (ScanCut{2, 1}));
    EXPECT_EQ(cut(4, 64, 64), (ScanCut{8, 1})); // too short for segments
    EXPECT_GT(cut(1, 1 << 20, 64).segments, 8);
    EXPECT_EQ(cut(0, 0, 4), (ScanCut{1, 1}));
}

} // namespace
} // namespace tnl
