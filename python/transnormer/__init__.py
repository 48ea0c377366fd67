"""Lightning Attention (2405.17381): causal linear attention with a fixed decay per head.

    S_t = lambda S_{t-1} + k_t^T v_t        o_t = scale * q_t S_t        lambda = exp(-decay)

`lightning_attention` takes torch tensors, NumPy arrays and JAX arrays; docs/python.md tells more.
"""

import ctypes
import os
import pathlib

# Another libtransnormer than the one beside this file: of the same name inside, it is found first.
if os.environ.get("TRANSNORMER_LIBRARY"):
    ctypes.CDLL(os.environ["TRANSNORMER_LIBRARY"], mode=ctypes.RTLD_GLOBAL)

from . import _native  # noqa: E402
from ._native import built_with_cuda, cuda_devices, set_threads, threads  # noqa: E402
from .decay import alibi_slopes, decay_rates, half_life  # noqa: E402

__version__ = _native.version()
__all__ = [
    "TNLAttention", "alibi_slopes", "built_with_cuda", "chunk_lightning_attn", "cuda_devices",
    "decay_rates", "half_life", "include_dir", "library_path", "lightning_attention",
    "lightning_attention_backward", "lightning_attention_plan", "lightning_attention_step",
    "lightning_attn_func", "set_threads", "threads",
]


def _backend(x):
    """The module that knows arrays of x's type."""
    name = type(x).__module__.partition(".")[0]
    if name in ("torch", "transnormer") or hasattr(type(x), "__torch_function__"):
        from . import _torch
        return _torch
    if name in ("jax", "jaxlib"):
        from . import _jax
        return _jax
    if hasattr(type(x), "__array_interface__"):
        from . import _numpy
        return _numpy
    raise TypeError(f"q is a {type(x).__module__}.{type(x).__name__}, wanted a torch tensor, a "
                    "NumPy array or a JAX array")


def lightning_attention(q, k, v, decay, initial_state=None, output_final_state=False,
                        cu_seqlens=None, scale=None, head_first=False):
    """Causal linear attention, in time linear in T; differentiable in torch and JAX.

    q, k           [B, T, H, D], any strides; with head_first [B, H, T, D]
    v              [B, T, H, E]
    decay          [H], rates >= 0: lambda = exp(-decay). decay_rates() knows the usual ones
    initial_state  [N, H, D, E] before the first token, or None for zero; N sequences
    cu_seqlens     [N+1]: B is 1, and sequence i is tokens cu_seqlens[i] to cu_seqlens[i+1]-1
    scale          of the output; None is 1: there is no 1/sqrt(D)

    Returns o [B, T, H, E], or with output_final_state (o, state), the state [N, H, D, E] after the
    last token, that token at weight 1, in float32 (float64 for float64).
    """
    return _backend(q).lightning_attention(q, k, v, decay, initial_state, output_final_state,
                                           cu_seqlens, scale, head_first)


def lightning_attention_step(q, k, v, decay, state, slots=None, scale=None):
    """One token of each of N sequences, the state updated in place; no gradient.

    q, k   [N, H, D]; v [N, H, E]
    state  [N, H, D, E], or any number of states with slots [N], which says whose is whose: each at
           most once, a negative one for none
    Returns o [N, H, E].
    """
    return _backend(q).lightning_attention_step(q, k, v, decay, state, slots, scale)


def lightning_attention_backward(do, q, k, v, decay, initial_state=None, dfinal_state=None,
                                 cu_seqlens=None, scale=None, head_first=False):
    """Gradients for NumPy: (dq, dk, dv, dinitial_state) from that of the output, do, and that of
    the final state."""
    from . import _numpy
    return _numpy.lightning_attention_backward(do, q, k, v, decay, initial_state, dfinal_state,
                                               cu_seqlens, scale, head_first)


def lightning_attention_plan(q, k, v, cu_seqlens=None, backward=False, head_first=False):
    """How a call on these torch tensors would run, in words."""
    from . import _torch
    return _torch.lightning_attention_plan(q, k, v, cu_seqlens, backward, head_first)


def library_path():
    """libtransnormer itself, for C and for other languages."""
    given = os.environ.get("TRANSNORMER_LIBRARY")
    return given or str(next(pathlib.Path(__file__).parent.glob("libtransnormer.so*")))


def include_dir():
    """The folder of <transnormer/lightning_c.h>."""
    return str(pathlib.Path(__file__).parent / "include")


# What needs torch, imported when it is asked for.
_LAZY = {"TNLAttention": "attention", "lightning_attn_func": "compat",
         "chunk_lightning_attn": "compat", "fused_recurrent_lightning_attn": "compat"}


def __getattr__(name):
    if name in _LAZY:
        import importlib
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_LAZY])
