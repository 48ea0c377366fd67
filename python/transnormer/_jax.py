"""Lightning attention on JAX arrays, as XLA custom calls (jax.ffi): inside jit and grad, on CPUs and
GPUs, on XLA's own buffers and stream."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from . import _native, _shapes

DTYPES = {"float64": _native.F64, "float32": _native.F32, "float16": _native.F16,
          "bfloat16": _native.BF16}

for _name in ("forward", "backward"):
    jax.ffi.register_ffi_target(f"transnormer_{_name}", getattr(_native, f"xla_{_name}_cpu"),
                                platform="cpu")
    if _native.built_with_cuda():
        jax.ffi.register_ffi_target(f"transnormer_{_name}", getattr(_native, f"xla_{_name}_gpu"),
                                    platform="CUDA")


def _workspace(q, v, sequences, head_first, backward):
    """A buffer of the size that a GPU would need; XLA allocates it like any other."""
    bytes = 0
    if _native.cuda_devices() and jax.default_backend() != "cpu":
        B, T, H, D = q.shape
        if head_first:
            T, H = H, T
        none = (0, 0, 0, 0)
        call = _native.Call(0, 0, DTYPES[q.dtype.name], (B, T, H, D, v.shape[3]), 1.0, none, none,
                            none, 0, 0 if sequences is None else 1,  # an address, not looked at
                            sequences or 0, True)
        bytes = call.workspace(backward)
    return jax.ShapeDtypeStruct((bytes,), jnp.uint8)


def _state(q, v, sequences, head_first, acc, wanted):
    H = q.shape[1] if head_first else q.shape[2]
    n = q.shape[0] if sequences is None else sequences
    return jax.ShapeDtypeStruct((n, H, q.shape[3], v.shape[3]) if wanted else (0,), acc)


def _like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _call(name, outputs, *inputs, scale, head_first):
    call = jax.ffi.ffi_call(f"transnormer_{name}", outputs, vmap_method="sequential")
    return call(*inputs, scale=np.float32(scale), head_first=np.int32(head_first))


def _sequences(cu_seqlens):
    return cu_seqlens.shape[0] - 1 if cu_seqlens.shape[0] else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(6, 7, 8))
def _attention(q, k, v, decay, initial_state, cu_seqlens, scale, output_final_state, head_first):
    n = _sequences(cu_seqlens)
    o, final_state, _ = _call(
        "forward", (_like(v), _state(q, v, n, head_first, decay.dtype, output_final_state),
                    _workspace(q, v, n, head_first, False)),
        q, k, v, decay, initial_state, cu_seqlens, scale=scale, head_first=head_first)
    return o, final_state


def _forward(q, k, v, decay, initial_state, cu_seqlens, scale, output_final_state, head_first):
    out = _attention(q, k, v, decay, initial_state, cu_seqlens, scale, output_final_state,
                     head_first)
    return out, (q, k, v, decay, initial_state, cu_seqlens)


def _backward(scale, output_final_state, head_first, saved, gradients):
    q, k, v, decay, initial_state, cu_seqlens = saved
    do, dfinal_state = gradients
    n = _sequences(cu_seqlens)
    dq, dk, dv, dinitial_state, _ = _call(
        "backward", (_like(q), _like(k), _like(v), _like(initial_state),
                     _workspace(q, v, n, head_first, True)),
        do, dfinal_state, q, k, v, decay, initial_state, cu_seqlens, scale=scale,
        head_first=head_first)
    return (dq, dk, dv, jnp.zeros_like(decay), dinitial_state,
            np.zeros(cu_seqlens.shape, jax.dtypes.float0))


_attention.defvjp(_forward, _backward)


def lightning_attention(q, k, v, decay, initial_state=None, output_final_state=False,
                        cu_seqlens=None, scale=None, head_first=False):
    function = "lightning_attention"
    B, T, H, D, E = _shapes.sizes(function, q, k, v, head_first)
    if q.dtype.name not in DTYPES:
        raise _shapes.wrong(function, f"q is {q.dtype}, wanted float64, float32, float16 or "
                                      "bfloat16")
    for name, x in (("k", k), ("v", v)):
        if x.dtype != q.dtype:
            raise _shapes.wrong(function, f"{name} is {x.dtype}, wanted {q.dtype} as q")
    acc = jnp.float64 if q.dtype == jnp.float64 else jnp.float32
    decay = jnp.asarray(decay)
    _shapes.check_decay(function, decay, H)
    decay = jax.lax.stop_gradient(decay).reshape(H).astype(acc)
    sequences = B
    if cu_seqlens is None:
        cu_seqlens = jnp.zeros((0,), jnp.int32)
    else:
        cu_seqlens = jnp.asarray(cu_seqlens, jnp.int32)
        sequences = _shapes.check_offsets(function, cu_seqlens, B)
    if initial_state is None:
        initial_state = jnp.zeros((0,), acc)
    else:
        _shapes.check_state(function, "initial_state", initial_state, sequences, H, D, E)
        initial_state = initial_state.astype(acc)
    o, final_state = _attention(q, k, v, decay, initial_state, cu_seqlens,
                                1.0 if scale is None else float(scale), bool(output_final_state),
                                bool(head_first))
    return (o, final_state) if output_final_state else o


def lightning_attention_step(q, k, v, decay, state, slots=None, scale=None):
    raise TypeError("lightning_attention_step updates its state in place, which JAX arrays never "
                    "are: call lightning_attention with T = 1 and output_final_state=True")
