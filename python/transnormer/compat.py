"""Other libraries' functions under their own names and with their own conventions, so that one
import line is all that changes."""

import torch

from ._torch import lightning_attention


def lightning_attn_func(q, k, v, s=None, variant="chunk_loop"):
    """lightning_attn.ops.lightning_attn_func (OpenNLPLab): q, k [B, H, N, D], v [B, H, N, E]
    without a scale, slopes s [H, 1, 1] or [H], None for no decay. Both variants are one here, and
    take any N, D and E up to 256.

    (Its kernels carry the state one decay further than this package; no state leaves them.)
    """
    if variant not in ("chunk_loop", "parallel"):
        raise ValueError(f"lightning_attn_func: variant is {variant!r}, wanted 'chunk_loop' or "
                         "'parallel'")
    if s is None:
        s = q.new_zeros(q.shape[1], dtype=torch.float32)
    return lightning_attention(q, k, v, s, head_first=True)


def chunk_lightning_attn(q, k, v, layer_idx, num_layers, scale=None, initial_state=None,
                         output_final_state=False, cu_seqlens=None, head_first=False, **kwargs):
    """fla.ops.lightning_attn.chunk_lightning_attn (flash-linear-attention): q, k [B, T, H, K],
    v [B, T, H, V], a scale of 1/sqrt(K) unless another is given, and the decay 8 h/H (1 - l/L) of
    head h = 0..H-1 in layer l of L, which is not that of the released models: see
    transnormer.decay_rates. Returns (o, final state or None); states are [N, H, K, V] float32.
    """
    kwargs.pop("chunk_size", None)  # the kernels choose
    if kwargs:
        raise TypeError(f"chunk_lightning_attn: unknown argument {next(iter(kwargs))!r}")
    H = q.shape[1] if head_first else q.shape[2]
    rate = 8 / H * (1 - layer_idx / num_layers)
    decay = rate * torch.arange(H, dtype=torch.float32, device=q.device)
    if scale is None:
        scale = q.shape[-1] ** -0.5
    out = lightning_attention(q, k, v, decay, initial_state, output_final_state, cu_seqlens, scale,
                              head_first)
    return out if output_final_state else (out, None)


fused_recurrent_lightning_attn = chunk_lightning_attn
