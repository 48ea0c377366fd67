#include "ops/timed.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace tnl {
namespace {

using Clock = std::chrono::steady_clock;

struct Cell {
    const char* name = "";
    double seconds = 0, flops = 0, bytes = 0;
    int64_t calls = 0;
};

// Functions in a table have no context of their own, hence one for the process.
struct State {
    const Kernels* real = nullptr;
    Device* device = nullptr;
    std::array<Cell, 64> cells;
    size_t used = 0;
};
State& state() {
    static State s;
    return s;
}

class Timer {
  public:
    explicit Timer(size_t cell) : cell_(cell), start_(Clock::now()) {}
    ~Timer() {
        State& s = state();
        if (s.device) s.device->synchronize();
        Cell& c = s.cells[cell_];
        c.seconds += std::chrono::duration<double>(Clock::now() - start_).count();
        ++c.calls;
    }

  private:
    size_t cell_;
    Clock::time_point start_;
};

// What a call moves at least: each tensor once.
template <class T> double bytes_of(const T&) { return 0; }
double bytes_of(const Tensor& x) {
    return x.rank == 0 ? 0 : static_cast<double>(x.size() * size_of(x.dtype));
}
double bytes_of(const Fp8Matrix& x) { return bytes_of(x.codes); }
double bytes_of(const QuantMatrix& x) { return bytes_of(x.bytes); }
double bytes_of(const FewRows& c) {
    return bytes_of(c.a) + bytes_of(c.b) + bytes_of(c.g) + (c.beta == 0 ? 1 : 2) * bytes_of(c.c);
}
double bytes_of(const DecodeStep& c) {
    double sum = bytes_of(c.head.memory());
    for (const StepLayer& l : c.layers)
        sum += bytes_of(l.qkvu.memory()) + bytes_of(l.out.memory()) + bytes_of(l.uv.memory()) +
               bytes_of(l.down.memory()) + 2 * bytes_of(l.state);
    return sum;
}
double bytes_of(const LightningForward& c) {
    double sum = 0;
    for (const Tensor* x : {&c.q, &c.k, &c.v, &c.o, &c.state_in, &c.state_out}) sum += bytes_of(*x);
    return sum;
}
double bytes_of(const LightningBackward& c) {
    double sum = bytes_of(c.state_in) + bytes_of(c.dstate_out) + bytes_of(c.dstate_in);
    for (const Tensor* x : {&c.q, &c.k, &c.v, &c.dout, &c.dq, &c.dk, &c.dv}) sum += bytes_of(*x);
    return sum;
}
double bytes_of(const SoftmaxForward& c) {
    double sum = 0;
    for (const Tensor* x : {&c.q, &c.k, &c.v, &c.o, &c.lse}) sum += bytes_of(*x);
    return sum;
}
double bytes_of(const SoftmaxBackward& c) {
    double sum = bytes_of(c.lse);
    for (const Tensor* x : {&c.q, &c.k, &c.v, &c.o, &c.dout, &c.dq, &c.dk, &c.dv})
        sum += bytes_of(*x);
    return sum;
}

// Beyond that: what is read and written, and tables of which a call touches some rows.
template <auto Member> struct Besides {
    template <class... Args> static double bytes(const Args&...) { return 0; }
};
template <> struct Besides<&Kernels::bias_forward> {
    static double bytes(Stream&, Tensor y, Tensor) { return bytes_of(y); }
};
template <> struct Besides<&Kernels::embed_forward> {
    static double bytes(Stream&, Tensor y, Tensor table, Tensor, float) {
        return bytes_of(y) - bytes_of(table);
    }
};
template <> struct Besides<&Kernels::embed_backward> {
    static double bytes(Stream&, Tensor dtable, Tensor, Tensor, float) { return bytes_of(dtable); }
};
template <> struct Besides<&Kernels::norm_backward> {
    static double bytes(Stream&, Tensor dx, NormWeights, Tensor, Tensor, Tensor, NormKind,
                        NormWeights, bool, bool accumulate) {
        return accumulate ? bytes_of(dx) : 0;
    }
};
template <> struct Besides<&Kernels::cross_entropy> {
    static double bytes(Stream&, Tensor, Tensor logits, Tensor, bool gradient, float) {
        return gradient ? bytes_of(logits) : 0;
    }
};
template <> struct Besides<&Kernels::adamw> {
    static double bytes(Stream&, Tensor, Tensor master, Tensor m, Tensor v, Tensor, const AdamW&) {
        return bytes_of(master) + bytes_of(m) + bytes_of(v);
    }
};
template <> struct Besides<&Kernels::add> {
    static double bytes(Stream&, Tensor y, Tensor) { return bytes_of(y); }
};
template <> struct Besides<&Kernels::scale> {
    static double bytes(Stream&, Tensor y, float) { return bytes_of(y); }
};

// One wrapper for each member: its type is the member's, its cell a static of its own.
template <auto Member> struct Wrapper;
template <class... Args, void (*Kernels::*Member)(Args...)> struct Wrapper<Member> {
    static inline size_t cell = 0;
    static void call(Args... args) {
        state().cells[cell].bytes += (bytes_of(args) + ...) + Besides<Member>::bytes(args...);
        const Timer timer(cell);
        (state().real->*Member)(args...);
    }
};

template <auto Member> void wrap(Kernels& table, const char* name) {
    State& s = state();
    TNL_CHECK(s.used < s.cells.size(), "more kernels than cells ({})", s.cells.size());
    Wrapper<Member>::cell = s.used;
    s.cells[s.used++] = {name};
    table.*Member = Wrapper<Member>::call;
}

size_t gemm_cell = 0, fp8_gemm_cell = 0;
void timed_gemm(Stream& stream, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b,
                float alpha, float beta) {
    const Timer timer(gemm_cell);
    const int64_t k = a.shape[transpose_a ? 0 : 1];
    state().cells[gemm_cell].flops += 2.0 * static_cast<double>(c.size()) * static_cast<double>(k);
    state().real->gemm(stream, c, a, b, transpose_a, transpose_b, alpha, beta);
}
void timed_fp8_gemm(Stream& stream, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast) {
    const Timer timer(fp8_gemm_cell);
    state().cells[fp8_gemm_cell].flops +=
        2.0 * static_cast<double>(c.size()) * static_cast<double>(a.codes.shape[1]);
    state().real->fp8_gemm(stream, c, a, b, beta, fast);
}

} // namespace

Kernels timed_kernels(const Kernels& real, Device* device) {
    State& s = state();
    s = {};
    s.real = &real;
    s.device = device;
    Kernels table = real; // workspaces and plans: nothing on the device to time
    gemm_cell = s.used++;
    s.cells[gemm_cell] = {"gemm"};
    table.gemm = timed_gemm;
    fp8_gemm_cell = s.used++;
    s.cells[fp8_gemm_cell] = {"gemm, fp8"};
    table.fp8_gemm = timed_fp8_gemm;
#define TNL_WRAP(member) wrap<&Kernels::member>(table, #member)
    TNL_WRAP(few_rows);
    TNL_WRAP(fp8_quantize);
    TNL_WRAP(quant_gemm);
    TNL_WRAP(bias_forward);
    TNL_WRAP(bias_backward);
    TNL_WRAP(embed_forward);
    TNL_WRAP(embed_backward);
    TNL_WRAP(norm_forward);
    TNL_WRAP(norm_backward);
    TNL_WRAP(srms_gate_forward);
    TNL_WRAP(srms_gate_backward);
    TNL_WRAP(act_forward);
    TNL_WRAP(act_backward);
    TNL_WRAP(gate_forward);
    TNL_WRAP(gate_backward);
    TNL_WRAP(lrpe_forward);
    TNL_WRAP(lrpe_backward);
    TNL_WRAP(lightning_forward);
    TNL_WRAP(lightning_backward);
    TNL_WRAP(rope);
    TNL_WRAP(softmax_forward);
    TNL_WRAP(softmax_backward);
    TNL_WRAP(cross_entropy);
    TNL_WRAP(decode_step);
    TNL_WRAP(argmax);
    TNL_WRAP(sample);
    TNL_WRAP(mask_rows);
    TNL_WRAP(adamw);
    TNL_WRAP(sum_squares);
    TNL_WRAP(sum);
    TNL_WRAP(add);
    TNL_WRAP(cast);
    TNL_WRAP(scale);
#undef TNL_WRAP
    return table;
}

std::vector<KernelTime> kernel_times() {
    std::vector<KernelTime> out;
    const State& s = state();
    for (size_t i = 0; i < s.used; ++i)
        if (const Cell& c = s.cells[i]; c.calls > 0)
            out.push_back({c.name, c.seconds, c.calls, c.flops, c.bytes});
    std::ranges::sort(out, std::greater<>(), &KernelTime::seconds);
    return out;
}

void reset_kernel_times() {
    State& s = state();
    for (size_t i = 0; i < s.used; ++i) s.cells[i] = {s.cells[i].name};
}

} // namespace tnl
