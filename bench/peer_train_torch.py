#!/usr/bin/env python3
"""The TransNormerLLM that `transnormer bench train` times, written plainly in PyTorch for the CPU.

Same architecture (2307.14995: qkvu in one Linear, SiLU on q and k, LRPE in the layers that use it,
decay per head, norm over all heads, full-rank gate, gated linear unit), same shapes, same AdamW
step, fp32. Attention is the masked product ((Q K^T) * M) V, the usual way to write it at T = 512.

    peer_train_torch.py --model DIR [--batch 8] [--length 512] [--steps 20] [--threads 2] [--json]

DIR holds config.json and model.safetensors, as `transnormer bench train --save-model DIR` writes
them. The first line that is printed is the loss of the first batch, before any step: token ids are
(i * 7919 + 13) % V in both programs, so that the two losses can be compared.
"""

import argparse
import json
import math
import pathlib
import time

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


def alibi_slopes(heads: int) -> list[float]:
    def power_of_two(n: int) -> list[float]:
        return [2 ** (-8 * (i + 1) / n) for i in range(n)]

    closest = 2 ** math.floor(math.log2(heads))
    if closest == heads:
        return power_of_two(heads)
    return power_of_two(closest) + power_of_two(2 * closest)[0::2][: heads - closest]


class SimpleRMSNorm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class Mixer(nn.Module):
    def __init__(self, c: dict, layer: int):
        super().__init__()
        self.heads, hidden = c["decoder_attention_heads"], c["hidden_dim"]
        self.head_dim = hidden // self.heads
        self.qkvu_proj = nn.Linear(c["decoder_embed_dim"], 4 * hidden, bias=False)
        self.out_proj = nn.Linear(hidden, c["decoder_embed_dim"], bias=False)
        self.norm = SimpleRMSNorm()
        lrpe = c.get("linear_use_lrpe_list") or [1] + [0] * (c["decoder_layers"] - 1)
        self.lrpe = nn.Module() if lrpe[layer] else None
        if self.lrpe is not None:
            self.lrpe.theta = nn.Parameter(torch.zeros(self.heads, 1, self.head_dim))
        layers = c["decoder_layers"]
        factor = 1 - layer / max(layers - 1, 1) + 1e-5
        slopes = torch.tensor(alibi_slopes(self.heads), dtype=torch.float64) * factor
        self.register_buffer("slopes", slopes, persistent=False)
        self.mask = None

    def decay_mask(self, length: int) -> torch.Tensor:
        if self.mask is None or self.mask.shape[-1] != length:
            i = torch.arange(length)
            distance = (i[:, None] - i[None, :]).double()
            mask = torch.exp(-self.slopes[:, None, None] * distance.clamp(min=0))
            self.mask = (mask * (distance >= 0)).float()
        return self.mask  # [H,T,T]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v, u = self.qkvu_proj(x).chunk(4, dim=-1)
        q, k = F.silu(q), F.silu(k)
        q, k, v = (y.view(b, t, self.heads, self.head_dim).transpose(1, 2) for y in (q, k, v))
        if self.lrpe is not None:
            angle = self.lrpe.theta * torch.arange(t).view(1, t, 1)
            cos, sin = angle.cos(), angle.sin()
            q = torch.cat([q * cos, q * sin], dim=-1)
            k = torch.cat([k * cos, k * sin], dim=-1)
        o = (q @ k.transpose(-1, -2) * self.decay_mask(t)) @ v
        o = o.transpose(1, 2).reshape(b, t, -1)
        return self.out_proj(u * self.norm(o))


class Glu(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        width, inner = c["decoder_embed_dim"], c["glu_dim"]
        self.l1 = nn.Linear(width, inner, bias=False)
        self.l2 = nn.Linear(width, inner, bias=False)
        self.l3 = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.l3(self.l1(x) * self.l2(x))


class Layer(nn.Module):
    def __init__(self, c: dict, layer: int):
        super().__init__()
        self.token_norm, self.channel_norm = SimpleRMSNorm(), SimpleRMSNorm()
        self.token_mixer, self.channel_mixer = Mixer(c, layer), Glu(c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.token_mixer(self.token_norm(x))
        return x + self.channel_mixer(self.channel_norm(x))


class Body(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["decoder_embed_dim"])
        self.layers = nn.ModuleList(Layer(c, i) for i in range(c["decoder_layers"]))
        self.final_norm = SimpleRMSNorm()
        self.scale = 1.0 if c["no_scale_embedding"] else math.sqrt(c["decoder_embed_dim"])


class TransNormer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.model = Body(c)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        m = self.model
        x = m.embed_tokens(ids) * m.scale
        for layer in m.layers:
            x = layer(x)
        logits = F.linear(m.final_norm(x), m.embed_tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def load(folder: pathlib.Path) -> tuple[TransNormer, dict]:
    config = json.loads((folder / "config.json").read_text())
    for key, known in (
        ("norm_type", ("simplermsnorm",)), ("linear_act_fun", ("swish", "silu")),
        ("gate_dim", (0,)), ("bias", (False,)), ("tie_word_embeddings", (True,)),
        ("decay_law", ("alibi",)), ("decay_temperature", (True,)), ("output_gate", (True,)),
        ("position_embeddings", (0,)), ("glu_act_fun", ("none",)),
    ):  # fmt: skip
        if config.get(key, known[0]) not in known:
            raise SystemExit(f"{folder}/config.json: {key} is {config[key]}, wanted {known[0]}")
    model = TransNormer(config)
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), False)
    if missing or unexpected:
        raise SystemExit(f"{folder}: missing {missing}, unexpected {unexpected}")
    return model.float(), config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's default")
    parser.add_argument("--fused", action="store_true", help="the fused AdamW of PyTorch")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    model, config = load(args.model)
    count = args.batch * args.length
    index = torch.arange(count + 1)
    stream = (index * 7919 + 13) % config["vocab_size"]
    ids = stream[:count].view(args.batch, args.length)
    targets = stream[1:].view(args.batch, args.length)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=args.fused or None
    )
    first, times = None, []
    for step in range(args.warmup + args.steps):
        start = time.perf_counter()
        loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value = loss.item()
        first = value if first is None else first
        if step >= args.warmup:
            times.append(time.perf_counter() - start)
    result = {
        "program": f"torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "first_loss": first,
        "step_seconds_median": sorted(times)[len(times) // 2],
        "tokens_per_second": count * len(times) / sum(times),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
