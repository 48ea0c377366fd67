#include "ops/step/step_sm90_cuda.h"

#include "ops/entries_cuda.h"
#include "tensor/device_cuda.h"

#include <algorithm>

namespace tnl::cuda {
namespace {

std::optional<StepPlan> plan_for(Stream& s, const StepShape& shape) {
    const cudaDeviceProp& gpu = cuda_of(s).props;
    if (gpu.major != 9 || !gpu.cooperativeLaunch) return {};
    return plan_decode_step(shape, gpu.multiProcessorCount,
                            static_cast<int64_t>(gpu.sharedMemPerBlockOptin));
}

template <class T> T* at(const Tensor& workspace, int64_t offset) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(workspace.data) + offset);
}

template <class T = StepArguments::T> const T* weights(const Tensor& x) {
    TNL_CHECK(reinterpret_cast<uintptr_t>(x.data) % 16 == 0,
              "decode_step on a GPU: weights at {}, wanted a multiple of 16", x.data);
    return static_cast<const T*>(x.data);
}
const unsigned char* matrix(const StepMatrix& x) { return weights<unsigned char>(x.memory()); }

} // namespace

bool decode_step_pays(Stream& s, const StepShape& shape) { return plan_for(s, shape).has_value(); }

size_t decode_step_workspace(const StepShape& shape) {
    return static_cast<size_t>(mail_of(shape).bytes);
}

void decode_step(Stream& s, const DecodeStep& call) {
    const StepShape shape = check_decode_step(call);
    const auto plan = plan_for(s, shape);
    TNL_CHECK(plan, "decode_step on a GPU: wanted one of compute capability 9.0, bf16, and a shape "
                    "for which decode_step_pays");
    const StepMail mail = mail_of(shape);
    TNL_CHECK(call.workspace.dtype == DType::u8 && call.workspace.bytes() >= mail.bytes,
              "decode_step: a workspace of {} {}, wanted u8 [{}]", name_of(call.workspace.dtype),
              call.workspace.shape_string(), mail.bytes);
    StepArguments p{};
    for (size_t i = 0; i < plan->products.size(); ++i) {
        const StepPlan::Product& from = plan->products[i];
        const bool apart = i == static_cast<size_t>(StepProduct::uv);
        p.products[i] = {static_cast<int>(from.pairs),       static_cast<int>(from.rows),
                         static_cast<int>(from.row_bytes),   from.splits,
                         static_cast<int>(from.split_bytes), from.format,
                         static_cast<int>(from.piece_bytes), apart ? static_cast<int>(shape.F) : 0};
    }
    p.embed = weights(call.embed);
    p.head = matrix(call.head);
    p.ids = call.ids.as<int32_t>();
    p.positions = call.positions.as<int32_t>();
    p.slopes = call.slopes.as<float>();
    p.logits = call.logits.as<float>();
    p.chosen = call.chosen.as<int32_t>();
    p.count = at<uint32_t>(call.workspace, 0);
    p.x = at<uint32_t>(call.workspace, mail.x);
    p.qkvu = at<uint32_t>(call.workspace, mail.qkvu);
    p.o = at<uint32_t>(call.workspace, mail.o);
    p.h = at<uint32_t>(call.workspace, mail.h);
    p.best = at<uint64_t>(call.workspace, mail.best);
    p.copy_words = static_cast<int>(mail.copy_bytes / 4);
    p.layers = static_cast<int>(shape.layers);
    p.C = static_cast<int>(shape.C);
    p.hidden = static_cast<int>(shape.hidden());
    p.heads = static_cast<int>(shape.heads);
    p.width = static_cast<int>(shape.width);
    p.by_width = StepDivisor(p.width);
    p.F = static_cast<int>(shape.F);
    p.V = static_cast<int>(shape.V);
    p.groups = static_cast<int>(plan->groups);
    p.row_bytes = static_cast<int>(plan->row_bytes);
    p.slots = static_cast<int>(plan->slots);
    p.slot_bytes = static_cast<int>(plan->slot_bytes);
    p.eps = call.eps;
    p.embed_scale = call.embed_scale;
    p.qk_act = call.qk_act;
    p.v_act = call.v_act;
    p.gate_act = call.gate_act;
    p.glu_act = call.glu_act;
    for (size_t l = 0; l < call.layers.size(); ++l) {
        const StepLayer& from = call.layers[l];
        p.layer[l] = {{matrix(from.qkvu), matrix(from.out), matrix(from.uv), matrix(from.down)},
                      from.theta.rank ? weights(from.theta) : nullptr,
                      from.state.as<float>()};
    }
    run_step(cuda_of(s), *plan, p);
}

} // namespace tnl::cuda
