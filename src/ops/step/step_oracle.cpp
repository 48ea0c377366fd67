#include "ops/step/step.h"
#include "tensor/arena.h"

#include <vector>

namespace tnl {
namespace {

// Tensors of one call, on the host.
class Memory {
  public:
    Tensor tensor(DType dtype, std::initializer_list<int64_t> shape) {
        const Tensor form(nullptr, dtype, shape);
        blocks_.emplace_back(static_cast<size_t>(form.bytes() + 15) / 16 * 16);
        return Tensor(blocks_.back().data(), dtype, shape);
    }

  private:
    std::vector<std::vector<std::byte>> blocks_;
};

} // namespace

namespace oracle {

// The contract's lines, each by the kernel that it names.
void decode_step(Stream& stream, const DecodeStep& call) {
    const StepShape s = check_decode_step(call);
    const Kernels& k = cpu_oracle_kernels();
    Memory memory;
    const int64_t hidden = s.hidden();
    const Tensor x = memory.tensor(s.dtype, {1, s.C}),
                 qkvu = memory.tensor(s.dtype, {1, 4 * hidden}),
                 o = memory.tensor(s.dtype, {1, hidden}), h = memory.tensor(s.dtype, {1, s.F});
    const auto heads = [&](const Tensor& row) { return row.split_last(s.heads, s.width); };
    const auto part = [&](int64_t i) { return qkvu.slice(1, i * hidden, (i + 1) * hidden); };
    const auto floats = [&](const StepMatrix& m) {
        if (!m.codes) return m.floats;
        const Tensor out = memory.tensor(s.dtype, {m.rows(), m.codes.cols});
        dispatch_float(s.dtype, [&]<class T>() {
            if constexpr (!std::is_same_v<T, f16>)
                for (int64_t r = 0; r < m.rows(); ++r)
                    dequantize_row(m.format(), out.as<T>() + r * m.codes.cols,
                                   m.codes.bytes.as<uint8_t>() + r * m.codes.bytes.shape[1],
                                   m.codes.cols);
        });
        return out;
    };
    const auto product = [&](Tensor c, Tensor a, const StepMatrix& b, FewRows::Before before,
                             float beta) {
        FewRows out;
        out.c = c;
        out.a = a;
        out.b = floats(b);
        out.before = before;
        out.eps = call.eps;
        out.beta = beta;
        return out;
    };
    k.embed_forward(stream, x, call.embed, call.ids, call.embed_scale);
    for (size_t l = 0; l < call.layers.size(); ++l) {
        const StepLayer& layer = call.layers[l];
        k.few_rows(stream, product(qkvu, x, layer.qkvu, FewRows::Before::srms, 0));
        for (const int64_t i : {0, 1, 2})
            k.act_forward(stream, part(i), part(i), i < 2 ? call.qk_act : call.v_act);
        Tensor q = heads(part(0)), key = heads(part(1));
        if (layer.theta.rank) {
            const Tensor turned_q = memory.tensor(s.dtype, {1, s.heads, 2 * s.width}),
                         turned_k = memory.tensor(s.dtype, {1, s.heads, 2 * s.width});
            k.lrpe_forward(stream, turned_q, q, layer.theta, call.positions);
            k.lrpe_forward(stream, turned_k, key, layer.theta, call.positions);
            q = turned_q;
            key = turned_k;
        }
        const auto token = [](const Tensor& t) { return t.split_first(1, 1); };
        LightningForward attend;
        attend.q = token(q);
        attend.k = token(key);
        attend.v = token(heads(part(2)));
        attend.o = token(heads(o));
        attend.slopes = call.slopes.slice(0, static_cast<int64_t>(l), static_cast<int64_t>(l) + 1)
                            .reshape({s.heads});
        attend.state_in = attend.state_out = layer.state;
        k.lightning_forward(stream, attend);
        FewRows out = product(x, o, layer.out, FewRows::Before::srms_gate, 1);
        out.g = part(3);
        out.gate_act = call.gate_act;
        k.few_rows(stream, out);
        FewRows gated = product(h, x, layer.uv, FewRows::Before::srms, 0);
        gated.after = FewRows::After::gate;
        gated.act = call.glu_act;
        k.few_rows(stream, gated);
        k.few_rows(stream, product(x, h, layer.down, FewRows::Before::nothing, 1));
    }
    k.few_rows(stream, product(call.logits, x, call.head, FewRows::Before::srms, 0));
    k.argmax(stream, call.chosen, call.logits);
}

} // namespace oracle
} // namespace tnl
