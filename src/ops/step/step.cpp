#include "ops/step/step.h"

#include <algorithm>

namespace tnl {
namespace {

constexpr int64_t kPack = 16; // bytes: what the copy engine moves at least

int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t most_of(int64_t n, int64_t blocks) { return (n + blocks - 1) / blocks; }

void check(const Tensor& x, std::initializer_list<int64_t> shape, DType dtype, const char* what) {
    TNL_CHECK(x.is(shape) && x.dtype == dtype && x.contiguous(),
              "decode_step: {} is {} {}, wanted {} {}, contiguous", what, name_of(x.dtype),
              x.shape_string(), name_of(dtype), Tensor(nullptr, dtype, shape).shape_string());
}

void check(const StepMatrix& x, int64_t rows, int64_t cols, DType dtype, QuantFormat format,
           const char* what) {
    TNL_CHECK(x.format() == format, "decode_step: {} in {}, wanted {} as the others", what,
              name_of(x.format()), name_of(format));
    if (!x.codes) return check(x.floats, {rows, cols}, dtype, what);
    TNL_CHECK(x.codes.cols == cols, "decode_step: {} has {} columns, wanted {}", what, x.codes.cols,
              cols);
    check(x.codes.bytes, {rows, quant_row_bytes(format, cols)}, DType::u8, what);
}

// The split under which the slowest warp of a block has least to do.
void choose_splits(StepPlan::Product& product, int64_t blocks) {
    const int64_t unit = product.format == QuantFormat::none
                             ? kPack
                             : quant_block_bytes(product.format, kQuantBlock);
    constexpr int64_t kItem = 384; // bytes in the time that a pair's sums take to be made and sent
    const int64_t pairs = most_of(product.pairs, blocks);
    int64_t least = 0;
    for (const int splits : {1, 2, 4, 8, 16}) {
        const int64_t bytes = up(most_of(product.row_bytes, splits), unit);
        if (bytes * (splits - 1) >= product.row_bytes) continue; // the last would have nothing
        const int64_t rounds = most_of(pairs, StepPlan::kWarps / splits);
        const int64_t cost = rounds * (bytes + kItem * (splits > 1 ? 2 : 1));
        if (least != 0 && cost >= least) continue;
        least = cost;
        product.splits = splits;
        product.split_bytes = bytes;
    }
}

} // namespace

StepShape check_decode_step(const DecodeStep& call) {
    TNL_CHECK(!call.layers.empty(), "decode_step: no layers");
    const Tensor& uv = call.layers.front().uv.memory();
    TNL_CHECK(call.layers.front().state.rank == 4 && uv.rank == 2,
              "decode_step: the first layer's state has shape {}, its uv {}, wanted ranks 4 and 2",
              call.layers.front().state.shape_string(), uv.shape_string());
    const auto& state = call.layers.front().state.shape;
    StepShape s;
    s.dtype = call.embed.dtype;
    s.layers = static_cast<int64_t>(call.layers.size());
    s.V = call.embed.dims<2>("embed")[0];
    s.C = call.embed.dims<2>("embed")[1];
    s.heads = state[1];
    s.width = state[3];
    s.F = call.layers.front().uv.rows() / 2;
    s.matrices = call.layers.front().uv.format();
    s.head = call.head.format();
    s.acts = {call.qk_act, call.v_act, call.gate_act, call.glu_act};
    const DType acc = s.dtype == DType::f64 ? DType::f64 : DType::f32;
    TNL_CHECK(is_float(s.dtype) && s.dtype != DType::f16,
              "decode_step: {}, wanted f64, f32 or bf16", name_of(s.dtype));
    for (const StepLayer& layer : call.layers) {
        check(layer.qkvu, 4 * s.hidden(), s.C, s.dtype, s.matrices, "qkvu");
        check(layer.out, s.C, s.hidden(), s.dtype, s.matrices, "out");
        check(layer.uv, 2 * s.F, s.C, s.dtype, s.matrices, "uv");
        check(layer.down, s.C, s.F, s.dtype, s.matrices, "down");
        if (layer.theta.rank) check(layer.theta, {s.heads, s.width}, s.dtype, "theta");
        const int64_t keys = (layer.theta.rank ? 2 : 1) * s.width;
        s.keys = std::max(s.keys, keys);
        check(layer.state, {1, s.heads, keys, s.width}, acc, "state");
    }
    check(call.head, s.V, s.C, s.dtype, s.head, "head");
    check(call.ids, {1}, DType::i32, "ids");
    check(call.positions, {1}, DType::i32, "positions");
    check(call.slopes, {s.layers, s.heads}, acc, "slopes");
    check(call.logits, {1, s.V}, acc, "logits");
    check(call.chosen, {1}, DType::i32, "chosen");
    for (const Activation act : s.acts)
        TNL_CHECK(act != Activation::exp, "decode_step: activation exp, wanted one of each number "
                                          "alone");
    return s;
}

StepMail mail_of(const StepShape& s) {
    constexpr int64_t kCount = 256, kMostBlocks = 1024;
    StepMail mail;
    int64_t at = kCount;
    const auto take = [&](int64_t bytes) {
        const int64_t begin = at;
        at = up(at + bytes, kCount);
        return begin;
    };
    mail.best = take(16 * kMostBlocks);
    mail.x = take(4 * s.C);
    mail.qkvu = take(16 * s.hidden());
    mail.o = take(4 * s.hidden());
    mail.h = take(4 * s.F);
    mail.copy_bytes = at - mail.x;
    mail.bytes = mail.x + StepMail::kCopies * mail.copy_bytes;
    return mail;
}

std::optional<StepPlan> plan_decode_step(const StepShape& s, int sms, int64_t shared_memory) {
    constexpr int64_t kVector = 4;
    for (const Activation act : s.acts)
        if (act != Activation::identity && act != Activation::silu && act != Activation::sigmoid)
            return {};
    const bool packs = s.C % 8 == 0 && s.hidden() % 8 == 0 && s.F % 8 == 0 && s.width % 16 == 0;
    if (s.dtype != DType::bf16 || !packs || s.layers > StepPlan::kMostLayers) return {};
    StepPlan plan;
    plan.blocks = sms;
    bool whole = true; // groups of codes
    const auto product = [&](StepProduct which, int64_t rows, int64_t columns) {
        auto& out = plan.products[static_cast<size_t>(which)];
        out.format = which == StepProduct::head ? s.head : s.matrices;
        out.rows = rows;
        out.pairs = (rows + 1) / 2;
        const int64_t bytes = columns * size_of(s.dtype);
        if (out.format == QuantFormat::none) {
            out.row_bytes = bytes;
            out.piece_bytes = StepPlan::kPiece;
        } else {
            whole = whole && columns % quant_group(out.format) == 0;
            out.row_bytes = quant_row_bytes(out.format, columns);
            out.piece_bytes =
                StepPlan::blocks_of(out.format) * quant_block_bytes(out.format, kQuantBlock);
        }
        choose_splits(out, plan.blocks);
        // Numbers for codes lie by 512 (step_sm90_multiply.cuh).
        plan.row_bytes =
            std::max(plan.row_bytes, out.format == QuantFormat::none ? bytes : up(bytes, 1024));
    };
    product(StepProduct::qkvu, 4 * s.hidden(), s.C);
    product(StepProduct::out, s.C, s.hidden());
    product(StepProduct::uv, 2 * s.F, s.C);
    product(StepProduct::down, s.C, s.F);
    product(StepProduct::head, s.V, s.C);
    plan.groups = s.hidden() / StepPlan::kColumns;
    plan.groups_most = most_of(plan.groups, plan.blocks);
    plan.pairs_most = most_of(s.C / 2, plan.blocks);
    plan.vectors = most_of(std::max(s.C, s.hidden()), kVector * StepPlan::kThreads);
    plan.states = most_of(plan.groups_most * s.keys * StepPlan::kColumns, 4 * StepPlan::kThreads);
    if (!whole || plan.vectors > StepPlan::kMostVectors || plan.states > StepPlan::kMostStates ||
        plan.groups_most > StepPlan::kMostGroups)
        return {};
    // Attention's numbers lie where a row lies otherwise: q and k, v, and sums of 16 keys.
    const int64_t attention =
        4 * plan.groups_most * (2 * s.keys + StepPlan::kColumns * (1 + s.keys / 16));
    plan.row_bytes = up(std::max(plan.row_bytes, attention), kPack);
    for (const StepPlan::Product& p : plan.products)
        plan.slot_bytes = std::max(plan.slot_bytes, 2 * p.piece_bytes);
    constexpr int64_t kStatic = 8448; // what the kernel has beside it
    const int64_t others = plan.row_bytes + up(4 * plan.pairs_most, kPack);
    const bool codes = s.matrices != QuantFormat::none || s.head != QuantFormat::none;
    plan.slots =
        std::min(codes ? StepPlan::kMostSlots : StepPlan::kSlots,
                 (shared_memory - kStatic - others) / (StepPlan::kWarps * plan.slot_bytes));
    if (plan.slots < StepPlan::kSlots) return {};
    plan.shared = StepPlan::kWarps * plan.slots * plan.slot_bytes + others;
    return plan;
}

} // namespace tnl
