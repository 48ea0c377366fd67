"""Lightning attention from Python: a sequence at once, and token by token with its state. With
torch, where it is installed, the gradients too.

    python examples/lightning/lightning.py
"""

import numpy as np

import transnormer

B, T, H, D = 1, 300, 4, 64
rng = np.random.default_rng(1)
q, k, v = (rng.standard_normal((B, T, H, D), dtype=np.float32) for _ in range(3))
decay = transnormer.decay_rates(H, layer=0, layers=24)
print("tokens after which each head has forgotten half:",
      [round(transnormer.half_life(rate), 1) for rate in decay])

o, last = transnormer.lightning_attention(q, k, v, decay, output_final_state=True)

state = np.zeros((B, H, D, D), np.float32)
steps = [transnormer.lightning_attention_step(q[:, t], k[:, t], v[:, t], decay, state)
         for t in range(T)]
print(f"token by token differs by at most {np.abs(np.stack(steps, axis=1) - o).max():.1e}, "
      f"the state by {np.abs(state - last).max():.1e}")
assert np.allclose(np.stack(steps, axis=1), o, atol=1e-2)

try:
    import torch
except ImportError:
    print("torch is not installed: no gradients")
else:
    x = [torch.from_numpy(a).requires_grad_() for a in (q, k, v)]
    transnormer.lightning_attention(*x, torch.tensor(decay)).square().sum().backward()
    wanted = transnormer.lightning_attention_backward(2 * o, q, k, v, decay)
    for a, b in zip(x, wanted):
        assert np.allclose(a.grad, b, rtol=1e-4, atol=1e-2)
    print("gradients by torch and by hand agree")
