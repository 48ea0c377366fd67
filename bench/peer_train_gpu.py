#!/usr/bin/env python3
"""What users would train with today, on one GPU, beside `transnormer bench train --device cuda`.

    python bench/peer_train_gpu.py [--model tnl|llama ...] [--preset 385M|1B] [--lengths 1024,8192]
                                   [--tokens 32768] [--steps 10] [--json]

tnl: the TransNormerLLM of `transnormer inspect --preset`, its attention by flash-linear-attention
(chunk_simple_gla). llama: RMSNorm, rotary positions, softmax attention by PyTorch's SDPA (flash),
SwiGLU, as many layers, as wide. Blocks and head under torch.compile, parameters in bf16 and no f32 copy of
them, fused AdamW, gradient clipped at 1, 64,000 tokens of vocabulary; `--tokens` tokens a step in
sequences of each length. Tokens a second: the median of the steps after two; peak: what PyTorch's
allocator held at most.
"""

import argparse
import json
import math
import statistics

import torch
from torch import nn
from torch.nn import functional as F

# width, layers, heads, width of the gated unit; `transnormer inspect --preset NAME`
PRESETS = {"385M": (1024, 24, 8, 2816), "1B": (2048, 16, 16, 5632)}
VOCABULARY = 64000


def slopes(heads, layer, layers):
    first = 2.0 ** (-8.0 / heads)
    factor = 1 - layer / (layers - 1) + 1e-5
    return [first ** (i + 1) * factor for i in range(heads)]


class SimpleRMSNorm(nn.Module):
    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


class Mixer(nn.Module):
    def __init__(self, width, heads, layer, layers):
        super().__init__()
        from fla.ops.simple_gla import chunk_simple_gla

        self.attend, self.heads = chunk_simple_gla, heads
        self.qkvu = nn.Linear(width, 4 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm = SimpleRMSNorm()
        self.register_buffer("decay", -torch.tensor(slopes(heads, layer, layers)), persistent=False)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v, u = self.qkvu(x).chunk(4, dim=-1)
        q, k, v = (t.reshape(B, T, self.heads, -1) for t in (F.silu(q), F.silu(k), v))
        o = self.attend(q, k, v, g_gamma=self.decay, scale=1.0)[0]
        return self.out(self.norm(o.reshape(B, T, C)) * u)


class Sglu(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.l12 = nn.Linear(width, 2 * inner, bias=False)
        self.l3 = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        a, b = self.l12(x).chunk(2, dim=-1)
        return self.l3(a * b)


class Softmax(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, cosine, sine):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2)
                   for t in self.qkv(x).chunk(3, dim=-1))

        def turned(t):
            a, b = t.chunk(2, dim=-1)
            return t * cosine + torch.cat((-b, a), dim=-1) * sine

        o = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        return self.out(o.transpose(1, 2).reshape(B, T, C))


class SwiGlu(Sglu):
    def forward(self, x):
        a, b = self.l12(x).chunk(2, dim=-1)
        return self.l3(F.silu(a) * b)


class Block(nn.Module):
    def __init__(self, norm, mixer, unit):
        super().__init__()
        self.before, self.mixer, self.between, self.unit = norm(), mixer, norm(), unit

    def forward(self, x, *positions):
        x = x + self.mixer(self.before(x), *positions)
        return x + self.unit(self.between(x))


class Head(nn.Module):
    def __init__(self, norm, width):
        super().__init__()
        self.norm, self.head = norm(), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, x, targets):
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())


class Tnl(nn.Module):
    def __init__(self, width, layers, heads, inner, length):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(
            Block(SimpleRMSNorm, Mixer(width, heads, i, layers), Sglu(width, inner))
            for i in range(layers))
        self.head = Head(SimpleRMSNorm, width)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x, targets)


class Llama(nn.Module):
    def __init__(self, width, layers, heads, inner, length):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        norm = lambda: nn.RMSNorm(width)  # noqa: E731
        self.blocks = nn.ModuleList(
            Block(norm, Softmax(width, heads), SwiGlu(width, inner)) for _ in range(layers))
        self.head = Head(norm, width)
        D = width // heads
        angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, D, 2) / D)
        for name, table in (("cosine", angle.cos()), ("sine", angle.sin())):
            self.register_buffer(name, torch.cat((table, table), dim=-1), persistent=False)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        return self.head(x, targets)


def run(kind, preset, length, tokens, steps):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(1)
    model = {"tnl": Tnl, "llama": Llama}[kind](*PRESETS[preset], length)
    for p in model.parameters():
        nn.init.normal_(p, std=0.02) if p.dim() > 1 else nn.init.ones_(p)
    decays = {n: b.clone() for n, b in model.named_buffers() if n.endswith("decay")}
    model = model.to("cuda", torch.bfloat16)
    for name, b in model.named_buffers():  # rates stay f32
        if name in decays:
            owner = model.get_submodule(name.rpartition(".")[0])
            owner.decay = decays[name].cuda()
    parameters = sum(p.numel() for p in model.parameters())
    for part in (*model.blocks, model.head):  # the blocks share what is compiled
        part.compile()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1,
                             fused=True)
    data = torch.randint(VOCABULARY, (tokens // length, length + 1), device="cuda")
    ids, targets = data[:, :-1].contiguous(), data[:, 1:].contiguous()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 3)]
    for i in range(steps + 2):
        marks[i].record()
        loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
    marks[-1].record()
    torch.cuda.synchronize()
    seconds = [a.elapsed_time(b) / 1e3 for a, b in zip(marks[2:-1], marks[3:])]
    row = {"model": kind, "preset": preset, "length": length, "parameters": parameters,
           "tokens_per_second": tokens / statistics.median(seconds),
           "peak_gib": torch.cuda.max_memory_allocated() / 2**30, "loss": loss.item()}
    assert math.isfinite(row["loss"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["tnl", "llama"], choices=["tnl", "llama"])
    parser.add_argument("--preset", default="385M", choices=sorted(PRESETS))
    parser.add_argument("--lengths", default="1024,8192,32768", help="tokens of a sequence")
    parser.add_argument("--tokens", type=int, default=32768, help="of a step")
    parser.add_argument("--steps", type=int, default=10, help="timed, after two")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row")
    args = parser.parse_args()
    if not args.json:
        print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; {args.preset}, "
              f"{args.tokens} tokens a step")
    for kind in args.model:
        for length in map(int, args.lengths.split(",")):
            row = run(kind, args.preset, length, args.tokens, args.steps)
            print(json.dumps(row) if args.json else
                  f"{kind:6} T={length:<6} {row['tokens_per_second']:10,.0f} tokens/s "
                  f"{row['peak_gib']:6.1f} GiB", flush=True)


if __name__ == "__main__":
    main()
