// Every entry of the CUDA table but lightning attention, against the CPU oracle.
#include "ops/cuda_testbed.h"

namespace tnl::testing {
namespace {

constexpr NormKind kNorms[] = {NormKind::srms, NormKind::rms, NormKind::layer};
constexpr Activation kActivations[] = {
    Activation::identity,     Activation::silu,    Activation::relu, Activation::leaky_relu,
    Activation::gelu,         Activation::elu,     Activation::exp,  Activation::one_plus_elu,
    Activation::two_plus_elu, Activation::sigmoid, Activation::sine};

TEST(CudaGemm, ShapesTransposesAndStrides) {
    TNL_NEEDS_GPU();
    const int64_t shapes[][3] = {{5, 7, 3}, {33, 65, 17}, {64, 128, 96}, {1, 130, 70}, {130, 1, 9}};
    for (const auto& [M, N, K] : shapes)
        for (int flags = 0; flags < 16; ++flags)
            for (int64_t gap : {int64_t{0}, int64_t{3}}) {
                const bool ta = flags & 1, tb = flags & 2, beta = flags & 4, to_acc = flags & 8;
                compare(
                    [=, M = M, N = N, K = K](Bed& bed) {
                        const Tensor a = bed.input(ta ? Bed::Dims{K, M} : Bed::Dims{M, K}, 1, gap);
                        const Tensor b = bed.input(tb ? Bed::Dims{N, K} : Bed::Dims{K, N}, 1, gap);
                        const bool wide = to_acc && bed.dtype == DType::bf16;
                        Tensor c = wide ? bed.acc_input({M, N}) : bed.input({M, N}, 1, gap);
                        if (!beta) c = wide ? bed.acc_output({M, N}) : bed.output({M, N}, gap);
                        bed.kernels.gemm(bed.stream(), c, a, b, ta, tb, 0.75f, beta ? 1.0f : 0.0f);
                        bed.keep("c", c);
                    },
                    fmt::format("gemm {}x{}x{} flags {} gap {}", M, N, K, flags, gap));
            }
}

TEST(CudaGemm, NothingToSumOver) {
    TNL_NEEDS_GPU();
    for (float beta : {0.0f, 1.0f})
        compare(
            [=](Bed& bed) {
                const Tensor a = bed.input({3, 0}, 1, 4), b = bed.input({0, 5});
                const Tensor c = bed.input({3, 5}, 1, 2);
                bed.kernels.gemm(bed.stream(), c, a, b, false, false, 1, beta);
                bed.keep("c", c);
            },
            "gemm of nothing");
}

TEST(CudaBias, BothWays) {
    TNL_NEEDS_GPU();
    for (int64_t N : {1, 70, 1000})
        for (int64_t C : {1, 43, 64, 200})
            for (int64_t gap : {0, 5})
                compare(
                    [=](Bed& bed) {
                        const Tensor y = bed.input({N, C}, 1, gap), b = bed.input({C});
                        const Tensor db = bed.acc_input({C});
                        bed.kernels.bias_backward(bed.stream(), db, y);
                        bed.kernels.bias_forward(bed.stream(), y, b);
                        bed.keep("y", y);
                        bed.keep("db", db);
                    },
                    fmt::format("bias {}x{} gap {}", N, C, gap));
}

TEST(CudaEmbed, BothWays) {
    TNL_NEEDS_GPU();
    for (int64_t V : {1, 2, 300})
        for (int64_t C : {1, 43, 64, 640})
            for (int64_t N : {1, 513}) {
                std::vector<int32_t> ids(static_cast<size_t>(N));
                for (size_t i = 0; i < ids.size(); ++i)
                    ids[i] = static_cast<int32_t>(i * i * 7 % static_cast<size_t>(V));
                compare(
                    [=](Bed& bed) {
                        const Tensor table = bed.input({V, C}), y = bed.output({N, C}, 3);
                        const Tensor dtable = bed.acc_input({V, C}), dy = bed.input({N, C}, 1, 5);
                        const Tensor id = bed.ints(ids);
                        bed.kernels.embed_forward(bed.stream(), y, table, id, 8);
                        bed.kernels.embed_backward(bed.stream(), dtable, dy, id, 8);
                        bed.keep("y", y);
                        bed.keep("dtable", dtable);
                    },
                    fmt::format("embed V={} C={} N={}", V, C, N));
            }
}

NormWeights norm_weights(Bed& bed, NormKind kind, int64_t C, bool gradient) {
    NormWeights w;
    if (kind != NormKind::srms) w.weight = gradient ? bed.acc_input({C}) : bed.input({C});
    if (kind == NormKind::layer) w.bias = gradient ? bed.acc_input({C}) : bed.input({C});
    return w;
}

TEST(CudaNorm, Forward) {
    TNL_NEEDS_GPU();
    for (NormKind kind : kNorms)
        for (int64_t C : {1, 43, 64, 130, 5000})
            for (int way = 0; way < 4; ++way)
                compare(
                    [=](Bed& bed) {
                        const int64_t N = 37;
                        const NormWeights w = norm_weights(bed, kind, C, false);
                        const Tensor x = bed.input({N, C}, 2, way == 1 ? 3 : 0);
                        const Tensor y = way == 2 ? x : bed.output({N, C});
                        const Tensor stats = bed.acc_output({N, 2});
                        bed.kernels.norm_forward(bed.stream(), y, way == 3 ? Tensor{} : stats, x,
                                                 kind, w, 1e-5f);
                        bed.keep("y", y);
                        if (way != 3 && C > 1) bed.keep("stats", stats);
                    },
                    fmt::format("norm {} C={} way {}", static_cast<int>(kind), C, way));
}

TEST(CudaNorm, Backward) {
    TNL_NEEDS_GPU();
    for (NormKind kind : kNorms)
        for (int64_t C : {43, 64, 130, 2048})
            for (int64_t N : {1, 300})
                for (int way = 0; way < 4; ++way)
                    compare(
                        [=](Bed& bed) {
                            const NormWeights w = norm_weights(bed, kind, C, false);
                            NormWeights dw = norm_weights(bed, kind, C, true);
                            const Tensor x = bed.input({N, C}, 2, way == 1 ? 3 : 0);
                            const Tensor dy = bed.input({N, C}), y = bed.output({N, C});
                            const Tensor stats = bed.acc_output({N, 2});
                            bed.kernels.norm_forward(bed.stream(), y, stats, x, kind, w, 1e-5f);
                            const Tensor dx = way == 2 ? bed.input({N, C}) : bed.output({N, C});
                            if (way == 3) dw = {};
                            bed.kernels.norm_backward(bed.stream(), dx, dw, dy, x, stats, kind, w,
                                                      false, way == 2);
                            bed.keep("dx", dx);
                            if (kind == NormKind::srms) {
                                const Tensor again = bed.output({N, C});
                                bed.kernels.norm_backward(bed.stream(), again, {}, dy, y, stats,
                                                          kind, {}, true, false);
                                bed.keep("dx from the output", again);
                            }
                            if (dw.weight) bed.keep("dweight", dw.weight);
                            if (dw.bias) bed.keep("dbias", dw.bias);
                        },
                        fmt::format("norm backward {} {}x{} way {}", static_cast<int>(kind), N, C,
                                    way));
}

TEST(CudaSrmsGate, BothWays) {
    TNL_NEEDS_GPU();
    for (Activation act : {Activation::identity, Activation::sigmoid, Activation::exp})
        for (int64_t C : {43, 64, 1024, 1032, 2816, 5000})
            for (int way = 0; way < 3; ++way)
                compare(
                    [=](Bed& bed) {
                        const int64_t N = 37;
                        const Tensor x = bed.input({N, C}, 2), g = bed.input({N, C}, 2, 8);
                        const Tensor dy = bed.input({N, C}), stats = bed.acc_output({N, 2});
                        const Tensor y = bed.output({N, C}), dg = bed.output({N, C}, 8);
                        bed.kernels.srms_gate_forward(bed.stream(), y, stats, x, g, 1e-5f, act);
                        bed.keep("y", y);
                        bed.keep("stats", stats);
                        const Tensor dx = way == 1 ? dy : bed.output({N, C});
                        const Tensor again = way == 2 ? dy : bed.output({N, C});
                        bed.kernels.srms_gate_backward(bed.stream(), dx, dg,
                                                       way == 1 ? Tensor{} : again, dy, x, g, stats,
                                                       act);
                        bed.keep("dx", dx);
                        bed.keep("dg", dg);
                        if (way != 1) bed.keep("y again", again);
                    },
                    fmt::format("srms gated by {} C={} way {}", name_of(act), C, way));
}

// [N,C] with and without gaps, [N,H,D], and [N,H,D] as a part of wider rows.
Tensor shaped(Bed& bed, int shape, double size = 3) {
    if (shape == 0) return bed.input({9, 64}, size);
    if (shape == 1) return bed.input({9, 43}, size, 2);
    if (shape == 2) return bed.input({9, 3, 21}, size);
    return bed.input({9, 3 * 16}, size, 48, 16).split_last(3, 16);
}
Tensor shaped_output(Bed& bed, int shape) {
    if (shape == 0) return bed.output({9, 64});
    if (shape == 1) return bed.output({9, 43}, 1);
    if (shape == 2) return bed.output({9, 3, 21}, 4); // rows that do not merge
    return bed.output({9, 3 * 16}, 16).split_last(3, 16);
}

TEST(CudaActivation, BothWays) {
    TNL_NEEDS_GPU();
    for (Activation act : kActivations)
        for (int shape = 0; shape < 4; ++shape)
            compare(
                [=](Bed& bed) {
                    const Tensor x = shaped(bed, shape), dy = shaped(bed, shape, 1);
                    const Tensor y = shaped_output(bed, shape), dx = shaped_output(bed, shape);
                    bed.kernels.act_forward(bed.stream(), y, x, act);
                    bed.kernels.act_backward(bed.stream(), dx, dy, x, act);
                    bed.keep("y", y);
                    bed.keep("dx", dx);
                    bed.kernels.act_backward(bed.stream(), dy, dy, x, act);
                    bed.keep("dx in place", dy);
                    bed.kernels.act_forward(bed.stream(), x, x, act);
                    bed.keep("y in place", x);
                },
                fmt::format("{} shape {}", name_of(act), shape));
}

TEST(CudaGate, BothWays) {
    TNL_NEEDS_GPU();
    for (Activation act : kActivations)
        for (int shape = 0; shape < 2; ++shape)
            compare(
                [=](Bed& bed) {
                    const Tensor a = shaped(bed, shape), g = shaped(bed, shape);
                    const Tensor dy = shaped(bed, shape, 1), y = shaped_output(bed, shape);
                    const Tensor dg = shaped_output(bed, shape);
                    bed.kernels.gate_forward(bed.stream(), y, a, g, act);
                    const Tensor da = shaped_output(bed, shape), again = shaped(bed, shape, 1);
                    bed.kernels.gate_backward(bed.stream(), da, dg, again, again, a, g, act);
                    bed.keep("da", da);
                    bed.keep("dg", dg);
                    bed.keep("y again", again);
                    bed.kernels.gate_backward(bed.stream(), dy, dg, {}, dy, a, g, act);
                    bed.keep("y", y);
                    bed.keep("da in place", dy);
                    bed.keep("dg, without y", dg);
                    bed.kernels.gate_forward(bed.stream(), a, a, g, act);
                    bed.keep("y in place", a);
                },
                fmt::format("gate {} shape {}", name_of(act), shape));
}

void lrpe(Bed& bed, int64_t N, int64_t H, int64_t D, DType theta_dtype, int32_t first) {
    std::vector<double> angles;
    for (int64_t i = 0; i < H * D; ++i)
        angles.push_back(
            std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(H * D)));
    const bool f64 = bed.dtype == DType::f64 && theta_dtype == DType::f32;
    if (f64) // the truth must see what the others see
        for (double& a : angles) a = static_cast<double>(static_cast<float>(a));
    const Tensor theta = bed.values({H, D}, f64 ? DType::f64 : theta_dtype, angles);
    std::vector<int32_t> at(static_cast<size_t>(N));
    for (size_t i = 0; i < at.size(); ++i) at[i] = first + static_cast<int32_t>(i % 31);
    const Tensor positions = bed.ints(at);
    const Tensor x = bed.input({N, H * D}, 1, 7).split_last(H, D), y = bed.output({N, H, 2 * D});
    const Tensor dy = bed.input({N, H, 2 * D}), dx = bed.output({N, H * D}, 3).split_last(H, D);
    const Tensor dtheta = bed.acc_input({H, D});
    bed.kernels.lrpe_forward(bed.stream(), y, x, theta, positions);
    bed.kernels.lrpe_backward(bed.stream(), dx, dtheta, dy, x, theta, positions);
    bed.keep("y", y);
    bed.keep("dx", dx);
    bed.keep("dtheta", dtheta);
    bed.kernels.lrpe_backward(bed.stream(), dx, {}, dy, x, theta, positions);
    bed.keep("dx alone", dx);
}

TEST(CudaLrpe, NearTheOrigin) {
    TNL_NEEDS_GPU();
    for (int64_t N : {1, 300})
        for (int64_t D : {5, 64})
            compare([=](Bed& bed) { lrpe(bed, N, 3, D, DType::f32, 0); },
                    fmt::format("lrpe N={} D={}", N, D));
    compare([](Bed& bed) { lrpe(bed, 20, 2, 32, DType::bf16, 0); }, "lrpe of bf16 theta", {},
            {DType::bf16});
}

// Far away the angle is rounded as lrpe.h says: the oracle in the same dtype is the truth.
TEST(CudaLrpe, FarAway) {
    TNL_NEEDS_GPU();
    for (int32_t first : {60000, 65530, 2000000}) {
        Bed got(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
        Bed truth(cpu(), cpu_oracle_kernels(), DType::f32, DType::f32);
        lrpe(got, 40, 3, 16, DType::f32, first);
        lrpe(truth, 40, 3, 16, DType::f32, first);
        for (size_t i = 0; i < got.kept.size(); ++i)
            EXPECT_LE(relative_error(got.kept[i].values, truth.kept[i].values), 1e-5)
                << got.kept[i].name << " from " << first;
    }
}

TEST(CudaCrossEntropy, LossAndGradient) {
    TNL_NEEDS_GPU();
    for (int64_t V : {1, 43, 640, 50272})
        for (bool gradient : {false, true})
            for (int64_t gap : {0, 3})
                compare(
                    [=](Bed& bed) {
                        const int64_t N = 7;
                        std::vector<int32_t> targets;
                        for (int64_t i = 0; i < N; ++i)
                            targets.push_back(i == 3 ? -100 : static_cast<int32_t>(i * 911 % V));
                        const Tensor logits = bed.input({N, V}, 9, gap);
                        const Tensor loss = bed.acc_output({N});
                        bed.kernels.cross_entropy(bed.stream(), loss, logits, bed.ints(targets),
                                                  gradient, 0.25f);
                        bed.keep("loss", loss);
                        if (gradient) bed.keep("dlogits", logits);
                    },
                    fmt::format("cross entropy V={} gap {}", V, gap));
}

TEST(CudaRows, MaskRows) {
    TNL_NEEDS_GPU();
    for (int shape = 0; shape < 4; ++shape)
        compare(
            [=](Bed& bed) {
                const Tensor y = shaped(bed, shape);
                bed.kernels.mask_rows(bed.stream(), y, bed.ints({1, 0, 1, 1, 0, 0, 1, 1, 0}));
                bed.keep("y", y);
            },
            fmt::format("mask shape {}", shape));
}

TEST(CudaAdamW, ThreeSteps) {
    TNL_NEEDS_GPU();
    for (int64_t n : {1, 1023, 4096})
        for (bool own : {false, true})
            compare(
                [=](Bed& bed) {
                    const Tensor master = bed.acc_input({n}), m = bed.acc_input({n}, 0.1);
                    const Tensor v = bed.acc_input({n}, 0.1), g = bed.acc_input({n});
                    const bool same = own && bed.dtype != DType::bf16;
                    const Tensor weights = same ? master : bed.output({n});
                    const Tensor zero =
                        bed.values({n}, bed.acc, std::vector<double>(static_cast<size_t>(n), 0));
                    bed.device.copy(v.data, zero.data, static_cast<size_t>(v.bytes()));
                    AdamW a;
                    a.lr = 0.01f;
                    a.weight_decay = 0.1f;
                    a.gradient_scale = 0.5f;
                    for (a.step = 1; a.step <= 3; ++a.step)
                        bed.kernels.adamw(bed.stream(), weights, master, m, v, g, a);
                    bed.keep("master", master);
                    bed.keep("m", m);
                    bed.keep("v", v);
                    bed.keep("weights", weights);
                },
                fmt::format("adamw n={} own {}", n, own));
}

TEST(CudaAdamW, RoundsStochasticallyAsTheCpu) {
    TNL_NEEDS_GPU();
    const int64_t n = 40000;
    const auto weights_after = [&](Device& device, const Kernels& kernels) {
        Bed bed(device, kernels, DType::bf16, DType::bf16);
        const Tensor weights = bed.input({n}), m = bed.acc_input({n}, 0.1), g = bed.acc_input({n});
        const Tensor v = bed.values({n}, DType::f32, std::vector<double>(size_t{n}, 0.01));
        AdamW a{.lr = 0.01f, .weight_decay = 0.1f, .step = 7, .first = 3};
        bed.kernels.adamw(bed.stream(), weights, Tensor(), m, v, g, a);
        return bed.get(weights);
    };
    const auto there = weights_after(*gpu(), *cuda_kernels());
    const auto here = weights_after(cpu(), cpu_oracle_kernels());
    int64_t different = 0; // where f32 rounds otherwise before the random bits are added
    for (size_t i = 0; i < there.size(); ++i) {
        different += there[i] != here[i];
        ASSERT_NEAR(there[i], here[i], 0x1p-7 * std::abs(here[i]) + 1e-30) << i;
    }
    EXPECT_LT(different, n / 500);
}

TEST(CudaAdamW, ReachesTheHostsMemory) {
    TNL_NEEDS_GPU();
    const int64_t n = 100003;
    const auto after = [&](Place place) {
        Device& device = *gpu();
        Bed bed(device, *cuda_kernels(), DType::bf16, DType::bf16);
        const Tensor weights = bed.output({n}), g = bed.acc_input({n});
        const Tensor first = bed.acc_input({n});
        const OwnedTensor master(device, DType::f32, {n}, place);
        const OwnedTensor m(device, DType::f32, {n}, place), v(device, DType::f32, {n}, place);
        device.copy(master.data, first.data, static_cast<size_t>(master.bytes()));
        for (const Tensor& t : {Tensor(m), Tensor(v)})
            device.zero(t.data, static_cast<size_t>(t.bytes()));
        AdamW a{.lr = 0.01f, .weight_decay = 0.1f};
        for (; a.step <= 3; ++a.step) bed.kernels.adamw(bed.stream(), weights, master, m, v, g, a);
        return std::vector{bed.get(weights), bed.get(master), bed.get(m), bed.get(v)};
    };
    EXPECT_EQ(after(Place::host), after(Place::device));
}

TEST(CudaFlat, Sums) {
    TNL_NEEDS_GPU();
    for (int64_t n : {1, 1000, 300001})
        compare(
            [=](Bed& bed) {
                const Tensor x = bed.input({n}), wide = bed.input({7, 43}, 1, 5);
                for (const Tensor& t : {x, wide}) {
                    const Tensor out = bed.output_of(DType::f64, {1});
                    bed.kernels.sum_squares(bed.stream(), out, t);
                    bed.keep("sum of squares", out);
                }
                const Tensor out = bed.output_of(DType::f64, {1});
                bed.kernels.sum(bed.stream(), out, wide);
                bed.keep("sum", out);
            },
            fmt::format("sums n={}", n), {1e-12, 1e-12, 1e-12});
}

TEST(CudaFlat, AddScale) {
    TNL_NEEDS_GPU();
    for (int64_t gap : {0, 5})
        compare(
            [=](Bed& bed) {
                const Tensor y = bed.input({33, 64}, 1, gap), x = bed.input({33, 64}, 1, 2 * gap);
                bed.kernels.add(bed.stream(), y, x);
                bed.keep("y + x", y);
                bed.kernels.scale(bed.stream(), y, 0.3f);
                bed.keep("scaled", y);
                const Tensor a = bed.input({1001}), b = bed.input({1001});
                bed.kernels.add(bed.stream(), a, b);
                bed.keep("a + b", a);
            },
            fmt::format("add, scale gap {}", gap));
}

// Exactly as on the CPU, every pair of dtypes.
TEST(CudaFlat, CastIsExact) {
    TNL_NEEDS_GPU();
    const DType types[] = {DType::f64, DType::f32, DType::bf16, DType::f16};
    for (DType from : types)
        for (DType to : types)
            for (int64_t cols : {43, 64}) {
                const auto run = [&](Bed& bed) {
                    const Tensor x = bed.input({9, cols}, 300), y = bed.output_of(from, {9, cols});
                    const Tensor z = bed.output_of(to, {9, cols}, cols == 64 ? 0 : 3);
                    bed.kernels.cast(bed.stream(), y, x);
                    bed.kernels.cast(bed.stream(), z, y);
                    return bed.get(z);
                };
                Bed got(*gpu(), *cuda_kernels(), DType::f64, DType::f64);
                Bed truth(cpu(), cpu_oracle_kernels(), DType::f64, DType::f64);
                EXPECT_EQ(run(got), run(truth)) << name_of(from) << " to " << name_of(to);
            }
}

TEST(CudaFlat, NothingToDo) {
    TNL_NEEDS_GPU();
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    const Tensor none = bed.output({0, 8}), out = bed.output_of(DType::f64, {1});
    bed.kernels.add(bed.stream(), none, none);
    bed.kernels.act_forward(bed.stream(), none, none, Activation::exp);
    bed.kernels.sum(bed.stream(), out, none);
    EXPECT_EQ(bed.get(out), std::vector<double>{0});
}

TEST(CudaDevice, MovesMemoryInOrder) {
    TNL_NEEDS_GPU();
    std::vector<float> x(1000), y(1000, -1);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    const Buffer a(*gpu(), 4000), b(*gpu(), 4000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 256, 0u);
    gpu()->upload(a.data(), x.data(), 4000);
    std::fill(x.begin(), x.end(), 0.0f); // the caller's memory is free at once
    gpu()->zero(b.data(), 4000);
    gpu()->copy(b.data(), a.data(), 2000);
    gpu()->download(y.data(), b.data(), 4000);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], i < 500 ? static_cast<float>(i) : 0.0f);
    EXPECT_GT(gpu()->memory_total(), gpu()->memory_free());
    EXPECT_EQ(gpu()->kind(), DeviceKind::cuda);
    EXPECT_NE(gpu()->stream().threads, nullptr);
}

TEST(CudaDevice, SaysHowMuchMemoryWasWanted) {
    TNL_NEEDS_GPU();
    const size_t wanted = gpu()->memory_total() + (size_t{1} << 40);
    try {
        gpu()->allocate(wanted);
        FAIL() << "allocated " << wanted << " bytes";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(std::to_string(wanted)), std::string::npos)
            << error.what();
    }
    EXPECT_NO_THROW(Buffer(*gpu(), 1000)); // and goes on
}

TEST(CudaDevice, RefusesWrongShapes) {
    TNL_NEEDS_GPU();
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    const Tensor a = bed.input({3, 4}), b = bed.input({3, 5});
    EXPECT_THROW(bed.kernels.add(bed.stream(), a, b), Error);
    EXPECT_THROW(bed.kernels.gemm(bed.stream(), a, a, b, false, false, 1, 0), Error);
    EXPECT_THROW(make_cuda_device(1000), Error);
}

// On every machine: without a driver there is no GPU, and no exception.
TEST(CudaDevice, CountNeverThrows) { EXPECT_GE(cuda_device_count(), 0); }

} // namespace
} // namespace tnl::testing
