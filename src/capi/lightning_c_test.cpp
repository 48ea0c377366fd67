// The C interface on the CPU: the same numbers as the operator's oracle, and errors that say what.
#include "ops/lightning/lightning_cpu.h"

#include <transnormer/lightning.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace tnl {
namespace {

using testing::HasSubstr;

template <class T> std::vector<T> draw(int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<T> out(static_cast<size_t>(n));
    for (T& x : out) x = T(normal(random));
    return out;
}

template <class A, class B> double largest_difference(const A& a, const B& b) {
    EXPECT_EQ(a.size(), b.size());
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return worst;
}

template <class A> double largest(const A& a) {
    double out = 0;
    for (const auto x : a) out = std::max(out, std::abs(static_cast<double>(x)));
    return out;
}

// q, k, v and a gradient, in f32 and rounded to T, [B,T,H,width].
template <class T> struct Data {
    int64_t B = 2, L = 37, H = 3, D = 20, E = 12;
    std::vector<T> q = draw<T>(B * L * H * D, 1), k = draw<T>(B * L * H * D, 2),
                   v = draw<T>(B * L * H * E, 3), dout = draw<T>(B * L * H * E, 4);
    std::vector<float> decay{0.0f, 0.1f, 2.0f}, state = draw<float>(B * H * D * E, 5),
                                                dstate = draw<float>(B * H * D * E, 6);

    tnl_lightning call(tnl_dtype dtype) {
        tnl_lightning out = tnl_lightning_init();
        out.dtype = dtype;
        out.B = B;
        out.T = L;
        out.H = H;
        out.D = D;
        out.E = E;
        out.q = tnl_contiguous(q.data(), L, H, D);
        out.k = tnl_contiguous(k.data(), L, H, D);
        out.v = tnl_contiguous(v.data(), L, H, E);
        out.decay = decay.data();
        out.state_in = state.data();
        return out;
    }
};

template <class T> std::vector<double> widened(const std::vector<T>& x) {
    return {x.begin(), x.end()};
}

struct Expected {
    std::vector<double> o, state_out, dq, dk, dv, dstate_in;
};

// By the oracle, in f64, from the rounded inputs.
template <class T> Expected expect(const Data<T>& data) {
    const auto device = make_cpu_device(1);
    const int64_t B = data.B, L = data.L, H = data.H, D = data.D, E = data.E;
    auto q = widened(data.q), k = widened(data.k), v = widened(data.v), dout = widened(data.dout);
    auto decay = widened(data.decay), state = widened(data.state), dstate = widened(data.dstate);
    Expected out{std::vector<double>(v.size()), std::vector<double>(state.size()),
                 std::vector<double>(q.size()), std::vector<double>(q.size()),
                 std::vector<double>(v.size()), std::vector<double>(state.size())};
    const auto rows = [&](std::vector<double>& x, int64_t width) {
        return Tensor(x.data(), DType::f64, {B, L, H, width});
    };
    const auto states = [&](std::vector<double>& x) {
        return Tensor(x.data(), DType::f64, {B, H, D, E});
    };
    LightningForward f;
    f.q = rows(q, D);
    f.k = rows(k, D);
    f.v = rows(v, E);
    f.o = rows(out.o, E);
    f.slopes = Tensor(decay.data(), DType::f64, {H});
    f.state_in = states(state);
    f.state_out = states(out.state_out);
    lightning_forward_oracle(device->stream(), f);
    LightningBackward b;
    b.q = f.q;
    b.k = f.k;
    b.v = f.v;
    b.slopes = f.slopes;
    b.state_in = f.state_in;
    b.dout = rows(dout, E);
    b.dq = rows(out.dq, D);
    b.dk = rows(out.dk, D);
    b.dv = rows(out.dv, E);
    b.dstate_out = states(dstate);
    b.dstate_in = states(out.dstate_in);
    lightning_backward_oracle(device->stream(), b);
    return out;
}

template <class T> void compare(tnl_dtype dtype, double tolerance) {
    Data<T> data;
    const Expected expected = expect(data);
    // States are f32, but in bf16 the operands of their products, decayed, are rounded once more:
    // 2^-9 of each product at most.
    const double of_states = dtype == TNL_BF16 ? 0x1p-9 : 1e-5;
    std::vector<T> o(data.v.size()), dq(data.q.size()), dk(data.q.size()), dv(data.v.size());
    std::vector<float> state_out(data.state.size()), dstate_in(data.state.size());
    tnl_lightning call = data.call(dtype);
    call.o = tnl_contiguous(o.data(), data.L, data.H, data.E);
    call.state_out = state_out.data();
    lightning::forward(call);
    EXPECT_LE(largest_difference(o, expected.o), tolerance);
    EXPECT_LE(largest_difference(state_out, expected.state_out),
              of_states * largest(expected.state_out));
    call.dout = tnl_contiguous(data.dout.data(), data.L, data.H, data.E);
    call.dstate_out = data.dstate.data();
    call.dstate_in = dstate_in.data();
    call.dq = tnl_contiguous(dq.data(), data.L, data.H, data.D);
    call.dk = tnl_contiguous(dk.data(), data.L, data.H, data.D);
    call.dv = tnl_contiguous(dv.data(), data.L, data.H, data.E);
    lightning::backward(call);
    EXPECT_LE(largest_difference(dq, expected.dq), tolerance);
    EXPECT_LE(largest_difference(dk, expected.dk), tolerance);
    EXPECT_LE(largest_difference(dv, expected.dv), tolerance);
    EXPECT_LE(largest_difference(dstate_in, expected.dstate_in),
              of_states * largest(expected.dstate_in));
}

// Values reach about 150; half a unit in the last place of f16 there is 0.06.
TEST(LightningC, F32AgainstTheOracle) { compare<float>(TNL_F32, 2e-3); }
TEST(LightningC, F16GoesThroughF32) { compare<f16>(TNL_F16, 0.08); }
TEST(LightningC, Bf16) { compare<bf16>(TNL_BF16, 1.0); }

TEST(LightningC, HeadFirstIsAMatterOfStrides) {
    Data<float> data;
    data.B = 1;
    const int64_t L = data.L, H = data.H, D = data.D, E = data.E;
    std::vector<float> expected(static_cast<size_t>(L * H * E)), o(expected.size());
    tnl_lightning call = data.call(TNL_F32);
    call.o = tnl_contiguous(expected.data(), L, H, E);
    lightning::forward(call);
    const auto by_heads = [&](const std::vector<float>& x, int64_t width) {
        std::vector<float> out(static_cast<size_t>(L * H * width));
        for (int64_t t = 0; t < L; ++t)
            for (int64_t h = 0; h < H; ++h)
                std::copy_n(&x[static_cast<size_t>((t * H + h) * width)], width,
                            &out[static_cast<size_t>((h * L + t) * width)]);
        return out;
    };
    const auto rows = [&](const std::vector<float>& x, int64_t width) {
        return tnl_rows{const_cast<float*>(x.data()), H * L * width, width, L * width};
    };
    const auto q = by_heads(data.q, D), k = by_heads(data.k, D), v = by_heads(data.v, E);
    call.q = rows(q, D);
    call.k = rows(k, D);
    call.v = rows(v, E);
    call.o = rows(o, E);
    lightning::forward(call);
    EXPECT_EQ(o, by_heads(expected, E));
}

TEST(LightningC, DecodesInPlaceBySlot) {
    Data<float> data;
    data.L = 1;
    const int64_t one = data.H * data.D * data.E, states = 4;
    std::vector<float> pool(static_cast<size_t>(states * one), 7.0f), o(data.v.size()), p(o);
    std::vector<float> after(data.state.size());
    tnl_lightning call = data.call(TNL_F32);
    call.o = tnl_contiguous(o.data(), 1, data.H, data.E);
    call.state_out = after.data();
    lightning::forward(call);

    const std::vector<int32_t> slots{3, 1};
    std::copy_n(data.state.begin(), one, pool.begin() + 3 * one);
    std::copy_n(data.state.begin() + one, one, pool.begin() + one);
    call.state_in = call.state_out = pool.data();
    call.slots = slots.data();
    call.states = states;
    call.o = tnl_contiguous(p.data(), 1, data.H, data.E);
    lightning::forward(call);
    EXPECT_EQ(o, p);
    EXPECT_TRUE(std::equal(after.begin(), after.begin() + one, pool.begin() + 3 * one));
    EXPECT_TRUE(std::equal(after.begin() + one, after.end(), pool.begin() + one));
    for (int64_t i = 0; i < one; ++i) // slots that no sequence has stay as they are
        ASSERT_TRUE(pool[static_cast<size_t>(i)] == 7 &&
                    pool[static_cast<size_t>(2 * one + i)] == 7);
}

std::string message_of(tnl_status status, const tnl_lightning& call) {
    EXPECT_EQ(tnl_lightning_forward(&call), status);
    return tnl_last_error();
}

TEST(LightningC, ErrorsNameTheField) {
    Data<float> data;
    std::vector<float> o(data.v.size());
    const auto changed = [&](auto&& change) {
        tnl_lightning call = data.call(TNL_F32);
        call.o = tnl_contiguous(o.data(), data.L, data.H, data.E);
        change(call);
        return call;
    };
    const std::vector<int32_t> short_cu{0, 5, 36}, slots{1, 1}, far{0, 2};
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.dtype = 9; })),
                HasSubstr("dtype is 9"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.k.data = nullptr; })),
                HasSubstr("k.data is null, wanted [B=2, T=37, H=3, 20]"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.T = -1; })), HasSubstr("T is -1"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.decay = nullptr; })),
                HasSubstr("decay is null"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.struct_size = 8; })),
                HasSubstr("struct_size is 8"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([&](auto& c) {
                               c.B = 1;
                               c.cu_seqlens = short_cu.data();
                               c.sequences = 2;
                               c.state_in = nullptr;
                           })),
                HasSubstr("cu_seqlens ends at 36, wanted T = 37"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([&](auto& c) {
                               c.slots = slots.data();
                               c.states = 2;
                           })),
                HasSubstr("slots[1] is 1, which an earlier sequence has"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([&](auto& c) {
                               c.slots = far.data();
                               c.states = 2;
                           })),
                HasSubstr("slots[1] is 2, wanted less than states = 2"));
    EXPECT_THAT(message_of(TNL_DEVICE_ERROR, changed([](auto& c) { c.gpu = 99; })),
                HasSubstr("gpu is 99"));
    EXPECT_THAT(message_of(TNL_INVALID, changed([](auto& c) { c.gpu = -3; })),
                HasSubstr("gpu is -3, wanted an index, TNL_CPU or TNL_GPU_OF_DATA"));
    const tnl_lightning of_data = changed([](auto& c) { c.gpu = TNL_GPU_OF_DATA; });
    if (tnl_lightning_forward(&of_data) == TNL_INVALID && tnl_built_with_cuda()) // a GPU is there
        EXPECT_THAT(tnl_last_error(), HasSubstr("q.data is no GPU's memory"));
    else
        EXPECT_EQ(message_of(TNL_DEVICE_ERROR, of_data).substr(0, 1),
                  tnl_built_with_cuda() ? "C" : "l"); // CUDA's error, or: built without
    EXPECT_EQ(tnl_lightning_forward(nullptr), TNL_INVALID);
    EXPECT_EQ(message_of(TNL_OK, changed([](auto&) {})), "lightning: the call is null");
}

TEST(LightningC, PlansInWords) {
    Data<f16> data;
    tnl_lightning call = data.call(TNL_F16);
    char text[256], part[8];
    for (const int backward : {0, 1}) {
        ASSERT_EQ(tnl_lightning_plan(&call, backward, text, sizeof text), TNL_OK);
        EXPECT_THAT(text, testing::StartsWith("cpu: "));
        EXPECT_THAT(text, testing::EndsWith(", f16 through f32"));
    }
    ASSERT_EQ(tnl_lightning_plan(&call, 1, part, sizeof part), TNL_OK);
    EXPECT_EQ(std::string(part), std::string(text).substr(0, sizeof part - 1));
    call.dtype = TNL_F64;
    ASSERT_EQ(tnl_lightning_plan(&call, 0, text, sizeof text), TNL_OK);
    EXPECT_THAT(text, HasSubstr("f64, token by token"));
    EXPECT_EQ(tnl_lightning_plan(&call, 0, nullptr, 0), TNL_INVALID);
}

// A caller compiled with a later header may pass a larger struct, if it does not use what is new.
TEST(LightningC, LargerStructs) {
    Data<float> data;
    std::vector<float> o(data.v.size());
    struct Later {
        tnl_lightning call;
        int64_t added;
    } later{data.call(TNL_F32), 0};
    later.call.o = tnl_contiguous(o.data(), data.L, data.H, data.E);
    later.call.struct_size = sizeof later;
    EXPECT_EQ(tnl_lightning_forward(&later.call), TNL_OK) << tnl_last_error();
    later.added = 1;
    EXPECT_EQ(tnl_lightning_forward(&later.call), TNL_INVALID);
    EXPECT_THAT(tnl_last_error(), HasSubstr("uses fields past"));
}

TEST(LightningC, FromManyThreadsAndAfterAFork) {
    Data<float> data;
    std::vector<float> expected(data.v.size());
    const auto run = [&](std::vector<float>& o) {
        tnl_lightning call = data.call(TNL_F32);
        call.o = tnl_contiguous(o.data(), data.L, data.H, data.E);
        lightning::forward(call);
    };
    run(expected);
    std::vector<std::vector<float>> results(4, std::vector<float>(data.v.size()));
    std::vector<std::thread> threads;
    for (auto& result : results) threads.emplace_back([&] { run(result); });
    for (auto& thread : threads) thread.join();
    for (const auto& result : results) EXPECT_EQ(result, expected);
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer does not follow threads started after a fork";
#endif
#endif

    const pid_t child = fork();
    if (child == 0) {
        std::vector<float> o(data.v.size());
        run(o);
        _exit(o == expected ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST(LightningC, Threads) {
    EXPECT_EQ(tnl_set_threads(1), TNL_OK);
    EXPECT_EQ(tnl_threads(), 1);
    EXPECT_EQ(tnl_set_threads(-1), TNL_INVALID);
    EXPECT_EQ(tnl_set_threads(0), TNL_OK);
    Data<float> data;
    EXPECT_THAT(lightning::plan(data.call(TNL_F32), false), HasSubstr("cpu: "));
    EXPECT_EQ(lightning::workspace(data.call(TNL_F32), true), 0u);
}

} // namespace
} // namespace tnl
