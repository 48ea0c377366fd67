"""Lightning attention on torch tensors: custom operators with fake kernels and autograd, so that
torch.compile, autocast, checkpointing and CUDA graphs take them as they take torch's own.

torch is not linked: addresses and strides of its tensors go to libtransnormer, with the current
stream. On a GPU nothing is allocated outside torch's allocator and nothing waits.
"""

import os

import torch

from . import _native, _shapes

DTYPES = {torch.float64: _native.F64, torch.float32: _native.F32, torch.bfloat16: _native.BF16,
          torch.float16: _native.F16}

CHECK = os.environ.get("TRANSNORMER_CHECK", "0") not in ("", "0")

_library = torch.library.Library("transnormer", "DEF")
# The kernels take any strides, but outputs are laid out as inputs are: compiled code may not change
# them.
_tags = (getattr(torch.Tag, "needs_exact_strides", torch.Tag.needs_fixed_stride_order),)
_library.define(
    "lightning_forward(Tensor q, Tensor k, Tensor v, Tensor decay, Tensor? initial_state, "
    "Tensor? cu_seqlens, float scale, bool output_final_state, bool head_first) "
    "-> (Tensor, Tensor)", tags=_tags)
_library.define(
    "lightning_backward(Tensor do, Tensor? dfinal_state, Tensor q, Tensor k, Tensor v, "
    "Tensor decay, Tensor? initial_state, Tensor? cu_seqlens, float scale, bool head_first) "
    "-> (Tensor, Tensor, Tensor, Tensor)", tags=_tags)
_library.define(
    "lightning_step(Tensor q, Tensor k, Tensor v, Tensor decay, Tensor(a!) state, Tensor? slots, "
    "float scale) -> Tensor", tags=_tags)


def _rows(x, head_first):
    batch, token, head, _ = x.stride()
    if head_first:
        token, head = head, token
    return x.data_ptr(), batch, token, head


def _address(x):
    return 0 if x is None else x.data_ptr()


def _packed(x):
    """x itself if its last dimension has no gaps."""
    return x if x.stride(-1) == 1 or x.shape[-1] <= 1 else x.contiguous()


def _new_rows(x, width):
    """Like x [.., .., .., D] with another width, in the order in which x lies in memory."""
    a, b, c, _ = x.shape
    if x.stride(1) >= x.stride(2):
        return x.new_empty((a, b, c, width))
    return x.new_empty((a, c, b, width)).transpose(1, 2)


def _new_state(q, v, cu_seqlens, head_first, wanted):
    acc = torch.float64 if q.dtype == torch.float64 else torch.float32
    if not wanted:
        return q.new_empty((0,), dtype=acc)
    sequences = q.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    H = q.shape[1] if head_first else q.shape[2]
    return q.new_empty((sequences, H, q.shape[3], v.shape[3]), dtype=acc)


def _call(q, k, v, decay, cu_seqlens, scale, head_first):
    B, T, H, D = q.shape
    if head_first:
        T, H = H, T
    gpu, stream = _native.CPU, 0
    if q.is_cuda:
        gpu = q.get_device()
        stream = torch.cuda.current_stream(gpu).cuda_stream
    sequences, on_gpu = B, False
    if cu_seqlens is not None:
        sequences, on_gpu = cu_seqlens.shape[0] - 1, cu_seqlens.is_cuda
    return _native.Call(gpu, stream, DTYPES[q.dtype], (B, T, H, D, v.shape[3]), scale,
                        _rows(q, head_first), _rows(k, head_first), _rows(v, head_first),
                        decay.data_ptr(), _address(cu_seqlens), sequences, on_gpu)


def _workspace(call, x, backward):
    if not x.is_cuda:
        return None, 0, 0
    bytes = call.workspace(backward)
    memory = torch.empty(bytes, dtype=torch.uint8, device=x.device) if bytes else None
    return memory, _address(memory), bytes


def _forward(q, k, v, decay, initial_state, cu_seqlens, scale, output_final_state, head_first):
    q, k, v = _packed(q), _packed(k), _packed(v)
    o = _new_rows(q, v.shape[3])
    final_state = _new_state(q, v, cu_seqlens, head_first, output_final_state)
    call = _call(q, k, v, decay, cu_seqlens, scale, head_first)
    memory, *workspace = _workspace(call, q, False)
    call.forward(_rows(o, head_first), _address(initial_state),
                 final_state.data_ptr() if output_final_state else 0, 0, 0, *workspace)
    return o, final_state


def _forward_fake(q, k, v, decay, initial_state, cu_seqlens, scale, output_final_state,
                  head_first):
    return (_new_rows(_packed(q), v.shape[3]),
            _new_state(q, v, cu_seqlens, head_first, output_final_state))


def _backward(do, dfinal_state, q, k, v, decay, initial_state, cu_seqlens, scale, head_first):
    do, q, k, v = _packed(do), _packed(q), _packed(k), _packed(v)
    dq, dk, dv = (_new_rows(x, x.shape[3]) for x in (q, k, v))
    dinitial_state = _new_state(q, v, cu_seqlens, head_first, initial_state is not None)
    call = _call(q, k, v, decay, cu_seqlens, scale, head_first)
    memory, *workspace = _workspace(call, q, True)
    call.backward(_rows(do, head_first), _address(dfinal_state), _address(initial_state),
                  _rows(dq, head_first), _rows(dk, head_first), _rows(dv, head_first),
                  dinitial_state.data_ptr() if initial_state is not None else 0, *workspace)
    return dq, dk, dv, dinitial_state


def _backward_fake(do, dfinal_state, q, k, v, decay, initial_state, cu_seqlens, scale, head_first):
    dq, dk, dv = (_new_rows(_packed(x), x.shape[3]) for x in (q, k, v))
    return dq, dk, dv, _new_state(q, v, cu_seqlens, head_first, initial_state is not None)


def _step(q, k, v, decay, state, slots, scale):
    q, k, v = (_packed(x).unsqueeze(1) for x in (q, k, v))
    o = q.new_empty((q.shape[0], 1, q.shape[2], v.shape[3]))
    call = _call(q, k, v, decay, None, scale, False)
    memory, *workspace = _workspace(call, q, False)
    at = state.data_ptr()
    call.forward(_rows(o, False), at, at, _address(slots), state.shape[0], *workspace)
    return o.squeeze(1)


def _step_fake(q, k, v, decay, state, slots, scale):
    return q.new_empty((q.shape[0], q.shape[1], v.shape[2]))


def _save(ctx, inputs, output):
    q, k, v, decay, initial_state, cu_seqlens, scale, _, head_first = inputs
    ctx.save_for_backward(q, k, v, decay, initial_state, cu_seqlens)
    ctx.scale, ctx.head_first = scale, head_first
    ctx.set_materialize_grads(False)


def _differentiate(ctx, do, dfinal_state):
    q, k, v, decay, initial_state, cu_seqlens = ctx.saved_tensors
    if do is None and dfinal_state is None:
        return (None,) * 9
    if do is None:
        do = _new_rows(q, v.shape[3]).zero_()
    if dfinal_state is not None:
        dfinal_state = dfinal_state.contiguous() if dfinal_state.numel() else None
    dq, dk, dv, dinitial_state = torch.ops.transnormer.lightning_backward(
        do, dfinal_state, q, k, v, decay, initial_state, cu_seqlens, ctx.scale, ctx.head_first)
    if initial_state is None:
        dinitial_state = None
    return dq, dk, dv, None, dinitial_state, None, None, None, None


def _save_nothing(ctx, inputs, output):
    pass


def _refuse(ctx, *grads):
    raise RuntimeError("lightning_attention has no second derivative: its backward is not "
                       "differentiable")


for _name, _run, _fake in (("lightning_forward", _forward, _forward_fake),
                           ("lightning_backward", _backward, _backward_fake),
                           ("lightning_step", _step, _step_fake)):
    _library.impl(_name, _run, "CPU")
    _library.impl(_name, _run, "CUDA")
    torch.library.register_fake(f"transnormer::{_name}", _fake, lib=_library)
torch.library.register_autograd("transnormer::lightning_forward", _differentiate,
                                setup_context=_save, lib=_library)
torch.library.register_autograd("transnormer::lightning_backward", _refuse,
                                setup_context=_save_nothing, lib=_library)


def _autocast(q, k, v):
    """In an autocast region the dtype that it asks for, of matrix products."""
    kind = q.device.type
    if kind not in ("cpu", "cuda") or not torch.is_autocast_enabled(kind) or q.dtype == torch.float64:
        return q, k, v
    dtype = torch.get_autocast_dtype(kind)
    return q.to(dtype), k.to(dtype), v.to(dtype)


def _check_alike(function, q, **others):
    if q.dtype not in DTYPES:
        raise _shapes.wrong(function, f"q is {q.dtype}, wanted float64, float32, bfloat16 or "
                                      "float16")
    if q.device.type not in ("cpu", "cuda", "meta"):
        raise _shapes.wrong(function, f"q lies on {q.device}, wanted cpu or cuda")
    for name, x in others.items():
        if x.dtype != q.dtype:
            raise _shapes.wrong(function, f"{name} is {x.dtype}, wanted {q.dtype} as q")
        if x.device != q.device:
            raise _shapes.wrong(function, f"{name} lies on {x.device}, q on {q.device}")


def _decay_of(function, decay, q, H):
    acc = torch.float64 if q.dtype == torch.float64 else torch.float32
    if not isinstance(decay, torch.Tensor):
        raise TypeError(f"{function}: decay is a {type(decay).__name__}, wanted a tensor [H]: "
                        "keep it beside the weights")
    if decay.requires_grad:
        raise _shapes.wrong(function, "decay requires a gradient, which there is none of: "
                                      "pass decay.detach()")
    if decay.device != q.device:
        raise _shapes.wrong(function, f"decay lies on {decay.device}, q on {q.device}: move it "
                                      "once, beside the weights")
    _shapes.check_decay(function, decay, H)
    return decay.reshape(H).to(acc).contiguous()


def _offsets_of(function, cu_seqlens, q, tokens):
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise _shapes.wrong(function, f"cu_seqlens is {cu_seqlens.dtype}, wanted int32 or int64")
    if cu_seqlens.device.type == "cuda" and cu_seqlens.device != q.device:
        raise _shapes.wrong(function, f"cu_seqlens lies on {cu_seqlens.device}, q on {q.device}")
    if CHECK and cu_seqlens.is_cuda:
        ends = cu_seqlens.tolist()
        if ends[0] != 0 or ends[-1] > tokens or any(a > b for a, b in zip(ends, ends[1:])):
            raise _shapes.wrong(function, f"cu_seqlens is {ends}, wanted numbers from 0 that never "
                                          f"decrease, up to T = {int(tokens)}")
    return cu_seqlens.to(torch.int32).contiguous()


def lightning_attention(q, k, v, decay, initial_state=None, output_final_state=False,
                        cu_seqlens=None, scale=None, head_first=False):
    function = "lightning_attention"
    B, T, H, D, E = _shapes.sizes(function, q, k, v, head_first)
    q, k, v = _autocast(q, k, v)
    _check_alike(function, q, k=k, v=v)
    decay = _decay_of(function, decay, q, H)
    sequences = B
    if cu_seqlens is not None:
        sequences = _shapes.check_offsets(function, cu_seqlens, B)
        cu_seqlens = _offsets_of(function, cu_seqlens, q, T)
    if initial_state is not None:
        _shapes.check_state(function, "initial_state", initial_state, sequences, H, D, E)
        if initial_state.device != q.device:
            raise _shapes.wrong(function, f"initial_state lies on {initial_state.device}, q on "
                                          f"{q.device}")
        initial_state = initial_state.to(decay.dtype).contiguous()
    o, final_state = torch.ops.transnormer.lightning_forward(
        q, k, v, decay, initial_state, cu_seqlens, 1.0 if scale is None else float(scale),
        bool(output_final_state), bool(head_first))
    return (o, final_state) if output_final_state else o


def lightning_attention_step(q, k, v, decay, state, slots=None, scale=None):
    function = "lightning_attention_step"
    N, H, D, E = _shapes.check_step(function, q, k, v, state, slots)
    q, k, v = _autocast(q, k, v)
    _check_alike(function, q, k=k, v=v)
    decay = _decay_of(function, decay, q, H)
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad
                                    or state.requires_grad):
        raise RuntimeError(f"{function} updates the state in place and has no gradient: call it "
                           "under torch.no_grad(), or lightning_attention with T = 1")
    if state.dtype != decay.dtype or not state.is_contiguous() or state.device != q.device:
        raise _shapes.wrong(function, f"state is {state.dtype} on {state.device}, wanted "
                                      f"{decay.dtype} on {q.device}, contiguous: it is updated in "
                                      "place")
    if slots is not None:
        if slots.device != q.device:
            raise _shapes.wrong(function, f"slots lies on {slots.device}, q on {q.device}")
        slots = slots.to(torch.int32).contiguous()
    return torch.ops.transnormer.lightning_step(q, k, v, decay, state, slots,
                                                1.0 if scale is None else float(scale))


def lightning_attention_plan(q, k, v, cu_seqlens=None, backward=False, head_first=False):
    _, T, H, _, _ = _shapes.sizes("lightning_attention_plan", q, k, v, head_first)
    decay = q.new_zeros(H, dtype=torch.float32)
    if cu_seqlens is not None:
        cu_seqlens = _offsets_of("lightning_attention_plan", cu_seqlens, q, T)
    return _call(q, k, v, decay, cu_seqlens, 1.0, head_first).plan(backward)
