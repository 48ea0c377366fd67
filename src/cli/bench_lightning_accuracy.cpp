// transnormer bench lightning --accuracy: errors against the recurrence in f64.
#include "cli/bench_lightning.h"
#include "cli/bench_lightning_plain.h"

#include "base/rng.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tnl {
namespace {

// One head each: no decay, the slowest of released models, 0.01, the fastest, and one that leaves
// nothing of the token before.
constexpr std::array<double, 6> kRates = {0, 4e-8, 5e-6, 0.01, 0.84, 8}; // rounded to f32
constexpr int64_t kHeads = kRates.size();
constexpr std::array kNames = {"o", "state_out", "dq", "dk", "dv", "dstate_in"};
constexpr bool is_state(size_t tensor) { return tensor == 1 || tensor == 5; }

struct Tensors {
    OwnedTensor q, k, v, dout, state_in, dstate_out, slopes;    // in
    OwnedTensor o, dq, dk, dv, state_out, dstate_in, workspace; // out

    Tensors(Device& device, DType dtype, int64_t n, int64_t width) {
        const DType acc = dtype == DType::f64 ? DType::f64 : DType::f32;
        for (OwnedTensor* x : {&q, &k, &v, &dout, &o, &dq, &dk, &dv})
            *x = OwnedTensor(device, dtype, {1, n, kHeads, width});
        for (OwnedTensor* x : {&state_in, &dstate_out, &state_out, &dstate_in})
            *x = OwnedTensor(device, acc, {1, kHeads, width, width});
        slopes = OwnedTensor(device, acc, {kHeads});
    }
    std::array<Tensor*, 7> inputs() { return {&q, &k, &v, &dout, &state_in, &dstate_out, &slopes}; }
    std::array<Tensor*, 6> results() { return {&o, &state_out, &dq, &dk, &dv, &dstate_in}; }

    void run(Stream& stream, const Kernels& kernels) {
        LightningForward f;
        f.q = q;
        f.k = k;
        f.v = v;
        f.o = o;
        f.slopes = slopes;
        f.state_in = state_in;
        f.state_out = state_out;
        f.workspace = workspace;
        kernels.lightning_forward(stream, f);
        LightningBackward b;
        b.q = q;
        b.k = k;
        b.v = v;
        b.slopes = slopes;
        b.state_in = state_in;
        b.dout = dout;
        b.dstate_out = dstate_out;
        b.dq = dq;
        b.dk = dk;
        b.dv = dv;
        b.dstate_in = dstate_in;
        b.workspace = workspace;
        kernels.lightning_backward(stream, b);
    }
};

template <class T> void draw(ThreadPool& pool, const Tensor& x, uint64_t stream) {
    pool.parallel_for(x.size(), 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            x.as<T>()[i] =
                T(static_cast<float>(2 * Philox{5, stream}.uniform(static_cast<uint64_t>(i)) - 1));
    });
}

template <class T> void widen(ThreadPool& pool, const Tensor& to, const Tensor& from) {
    pool.parallel_for(to.size(), 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            to.as<double>()[i] = static_cast<double>(from.as<T>()[i]);
    });
}

// The chunked form in low precision: a head's scan each.
template <class T> void run_plain(ThreadPool& pool, Tensors& x) {
    const int64_t n = x.q.shape[1], W = x.q.cols();
    pool.parallel_for(4 * kHeads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t h = task / 4, state = h * W * W;
            const auto rows = [&](const Tensor& t) { return t.as<T>() + h * W; };
            const auto at = [&](const Tensor& t) { return t.as<float>() + state; };
            PlainScan<T> s;
            s.tokens = n;
            s.K = s.N = W;
            s.stride_a = s.stride_c = kHeads * W;
            s.slope = static_cast<double>(x.slopes.as<float>()[h]);
            const auto set = [&](const Tensor& a, const Tensor& b, const Tensor& c,
                                 const Tensor& out) {
                s.a = rows(a);
                s.b = rows(b);
                s.c = rows(c);
                s.out = rows(out);
            };
            if (task % 4 == 0) {
                set(x.q, x.k, x.v, x.o);
                s.state_out = at(x.state_out);
            } else if (task % 4 == 1) {
                set(x.dout, x.v, x.k, x.dq);
            } else if (task % 4 == 2) {
                set(x.v, x.dout, x.q, x.dk);
            } else {
                set(x.k, x.q, x.dout, x.dv);
                s.state_out = at(x.dstate_in);
            }
            s.transposed = task % 4 == 1 || task % 4 == 2;
            s.reverse = task % 4 >= 2;
            s.state_in = at(s.reverse ? x.dstate_out : x.state_in);
            run_plain(s);
        }
    });
}

struct Errors {
    double rms = 0, largest = 0; // of the exact one's root mean square, largest magnitude
};

// Of the rows of one head: of a [1,n,H,W], or of a state [1,H,W,W].
template <class T>
Errors errors_of(const Tensor& x, const Tensor& exact, int64_t head, bool state) {
    const int64_t W = x.cols(), rows = state ? W : x.shape[1];
    const int64_t first = state ? head * W * W : head * W, step = state ? W : kHeads * W;
    double squares = 0, of = 0, largest = 0, magnitude = 0;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < W; ++c) {
            const int64_t i = first + r * step + c;
            const double e = exact.as<double>()[i];
            const double d = static_cast<double>(x.as<T>()[i]) - e;
            squares += d * d;
            of += e * e;
            // Not std::max, which drops NaN.
            if (!(std::abs(d) <= largest)) largest = std::abs(d);
            magnitude = std::max(magnitude, std::abs(e));
        }
    return {std::sqrt(squares / of), largest / magnitude};
}

using HeadErrors = std::array<std::array<Errors, kNames.size()>, kHeads>;

template <class T> HeadErrors compare(ThreadPool& pool, Tensors& x, Tensors& exact) {
    HeadErrors out;
    const int64_t tensors = kNames.size();
    pool.parallel_for(kHeads * tensors, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const auto h = static_cast<size_t>(task / tensors),
                       t = static_cast<size_t>(task % tensors);
            const Tensor &a = *x.results()[t], &e = *exact.results()[t];
            const auto head = static_cast<int64_t>(h);
            out[h][t] =
                is_state(t) ? errors_of<float>(a, e, head, true) : errors_of<T>(a, e, head, false);
        }
    });
    return out;
}

// The worst of a measure, ours over the plain form's.
struct Worst {
    double ratio = 0;
    int64_t beyond = 0;
    std::string at;

    void see(double r, const std::string& where) {
        if (!(r <= 1)) ++beyond;
        if (r <= ratio) return;
        ratio = r;
        at = where;
    }
    void tell(Json& facts, const std::string& measure) const {
        facts[measure + "_errors_beyond_plain"] = beyond;
        facts[measure + "_largest_ratio"] = ratio;
        facts[measure + "_largest_ratio_at"] = at;
    }
};

template <class T>
void run_length(Device& device, Device& cpu, DType dtype, int64_t n, int64_t width,
                BenchReport& report, std::array<Worst, 2>& worst) {
    ThreadPool& pool = *cpu.stream().threads;
    Tensors plain(cpu, dtype, n, width), exact(cpu, DType::f64, n, width);
    uint64_t stream = 0;
    for (Tensor* x : plain.inputs())
        x->dtype == DType::f32 ? draw<float>(pool, *x, stream++) : draw<T>(pool, *x, stream++);
    for (size_t h = 0; h < kHeads; ++h) plain.slopes.as<float>()[h] = static_cast<float>(kRates[h]);
    const auto from = plain.inputs(), to = exact.inputs();
    for (size_t i = 0; i < from.size(); ++i)
        from[i]->dtype == DType::f32 ? widen<float>(pool, *to[i], *from[i])
                                     : widen<T>(pool, *to[i], *from[i]);

    Tensors on_device(device, dtype, n, width), ours(cpu, dtype, n, width);
    const Kernels& kernels = kernels_for(device);
    const LightningShape shape{1, n, kHeads, width, width, 1, dtype};
    on_device.workspace = OwnedTensor(
        device, DType::u8,
        {static_cast<int64_t>(std::max({kernels.lightning_workspace(shape, false),
                                        kernels.lightning_workspace(shape, true), size_t{1}}))});
    const auto device_inputs = on_device.inputs();
    for (size_t i = 0; i < from.size(); ++i)
        device.upload(device_inputs[i]->data, from[i]->data, static_cast<size_t>(from[i]->bytes()));
    on_device.run(device.stream(), kernels);
    const auto results = on_device.results(), host = ours.results();
    for (size_t i = 0; i < results.size(); ++i)
        device.download(host[i]->data, results[i]->data, static_cast<size_t>(results[i]->bytes()));

    exact.run(cpu.stream(), cpu_oracle_kernels());
    run_plain<T>(pool, plain);
    const HeadErrors mine = compare<T>(pool, ours, exact), other = compare<T>(pool, plain, exact);
    for (size_t h = 0; h < kHeads; ++h)
        for (const size_t measure : {size_t{0}, size_t{1}}) {
            const auto value = [&](const Errors& e) { return measure == 0 ? e.rms : e.largest; };
            Json row;
            row["length"] = n;
            row["rate"] = kRates[h];
            row["error"] = measure == 0 ? "rms" : "largest";
            for (size_t t = 0; t < kNames.size(); ++t) {
                const double ratio = value(mine[h][t]) / value(other[h][t]);
                row[kNames[t]] = value(mine[h][t]);
                row[std::string(kNames[t]) + "_of_plain"] = ratio;
                worst[measure].see(
                    ratio, fmt::format("{}, length {}, rate {:g}", kNames[t], n, kRates[h]));
            }
            report.rows.push_back(row);
        }
}

} // namespace

BenchReport bench_lightning_accuracy(Device& device, const LightningOptions& o) {
    const DType dtype = o.dtype.empty() ? DType::bf16 : o.type(device);
    if (dtype != DType::bf16 && dtype != DType::f16)
        throw UsageError(fmt::format("--accuracy --dtype {}, wanted bf16 or f16", name_of(dtype)));
    const int64_t width = o.dim ? o.dim : 64;
    const auto cpu = make_cpu_device(o.common.threads);
    BenchReport report;
    report.facts["device"] = device.name();
    report.facts["dtype"] = std::string(name_of(dtype));
    report.facts["head_dim"] = width;
    std::array<Worst, 2> worst;
    std::vector<int64_t> lengths = o.lengths;
    if (lengths.empty()) lengths = {1 << 10, 1 << 14, 1 << 17, 1 << 20};
    for (const int64_t n : lengths)
        dtype == DType::bf16 ? run_length<bf16>(device, *cpu, dtype, n, width, report, worst)
                             : run_length<f16>(device, *cpu, dtype, n, width, report, worst);
    worst[0].tell(report.facts, "rms");
    worst[1].tell(report.facts, "largest");
    return report;
}

} // namespace tnl
