"""Lightning attention in plain torch: the quadratic form, differentiable, in any dtype."""

import torch


def attention(q, k, v, decay, initial_state=None, cu_seqlens=None, scale=1.0):
    """q, k [B,T,H,D], v [B,T,H,E] -> o [B,T,H,E], states [N,H,D,E]."""
    B, T = q.shape[:2]
    ranges = [(b, 0, T) for b in range(B)]
    if cu_seqlens is not None:
        ends = [int(n) for n in cu_seqlens]
        ranges = [(0, a, b) for a, b in zip(ends, ends[1:])]
    outputs, states = [], []
    for n, (row, begin, end) in enumerate(ranges):
        x, y, z = (t[row, begin:end].transpose(0, 1) for t in (q, k, v))  # [H,m,width]
        steps = torch.arange(end - begin, dtype=q.dtype)
        apart = steps[:, None] - steps[None, :]
        mask = torch.exp(-decay[:, None, None] * apart.clamp(min=0)) * (apart >= 0)
        last = torch.exp(-decay[:, None] * (end - begin - 1 - steps))[..., None]
        o = (x @ y.transpose(1, 2) * mask) @ z
        state = (y * last).transpose(1, 2) @ z
        if initial_state is not None:
            since = torch.exp(-decay[:, None] * (steps + 1))[..., None]
            o = o + (x * since) @ initial_state[n]
            state = state + (torch.exp(-decay * (end - begin))[:, None, None]
                             * initial_state[n])
        outputs.append(scale * o.transpose(0, 1))
        states.append(state)
    return torch.cat(outputs).reshape(B, T, q.shape[2], v.shape[3]), torch.stack(states)
