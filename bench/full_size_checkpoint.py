#!/usr/bin/env python3
"""A checkpoint as large as a released one, written by PyTorch, through import, GPU and export.

    python bench/full_size_checkpoint.py --program build/transnormer [--preset 385M|1B|7B]
                                         [--device cuda] [--folder DIR] [--keep]

Writes config.json and pytorch_model.bin as the authors released them (names, shapes, bf16, the head
sharing the embedding's storage), with random weights; computes logits, states and a greedy
continuation of random tokens in f64 with PyTorch, by the quadratic form; then runs

    transnormer import RELEASED -o IMPORTED        what torch.save wrote, read without torch
    transnormer verify --model IMPORTED ...        in f32, on the device (the bound of bf16 comes from
                                                   plain loops on the CPU, too slow for such a size)
    transnormer export IMPORTED -o EXPORTED        whose every tensor must be the one written, bit by bit

Needs PyTorch, not the project's Python package. Ends with 1 where anything differs.
"""

import argparse
import json
import math
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

# layers, width, heads, width of the gated unit: the released configs
PRESETS = {"385M": (24, 1024, 8, 2816), "1B": (16, 2048, 16, 5632), "7B": (30, 4096, 32, 11008)}
VOCABULARY = 64000
DTYPES = {"BF16": torch.bfloat16, "F32": torch.float32}


def config_of(preset):
    layers, width, heads, glu = PRESETS[preset]
    return {
        "model_type": "transnormer", "architectures": ["TransnormerForCausalLM"],
        "vocab_size": VOCABULARY, "decoder_layers": layers, "decoder_embed_dim": width,
        "hidden_dim": width, "decoder_attention_heads": heads, "glu_dim": glu, "bias": False,
        "norm_type": "simplermsnorm", "linear_act_fun": "swish", "glu_act_fun": "none",
        "linear_use_lrpe_list": [1] + [0] * (layers - 1), "no_scale_embedding": preset == "7B",
        "tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "bfloat16", "use_cache": True,
    }


def random_weights(config, device):
    torch.manual_seed(1)
    C, F, H = (config[k] for k in ("decoder_embed_dim", "glu_dim", "decoder_attention_heads"))

    def matrix(rows, cols):
        return (torch.randn(rows, cols, device=device) / math.sqrt(cols)).bfloat16()

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], C)}
    for i in range(config["decoder_layers"]):
        p = f"model.layers.{i}.token_mixer."
        if i == 0:
            theta = 10000.0 ** (-2 / C * torch.arange(C, device=device))
            weights[p + "lrpe.theta"] = theta.reshape(H, 1, C // H).bfloat16()
        weights[p + "qkvu_proj.weight"] = matrix(4 * C, C)
        weights[p + "out_proj.weight"] = matrix(C, C)
        p = f"model.layers.{i}.channel_mixer."
        weights[p + "l1.weight"] = matrix(F, C)
        weights[p + "l2.weight"] = matrix(F, C)
        weights[p + "l3.weight"] = matrix(C, F)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    return weights


def slopes_of(config, layer, device):
    heads, layers = config["decoder_attention_heads"], config["decoder_layers"]
    first = 2.0 ** (-8.0 / heads)
    slopes = torch.tensor([first ** (i + 1) for i in range(heads)], dtype=torch.float64)
    return (slopes * (1 - layer / (layers - 1) + 1e-5)).to(device)


def norm(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)


@torch.no_grad()
def forward(config, weights, ids):
    """Logits [B,T,V] and the states after the last token, by layer [B,H,D,E]; all in f64."""
    B, T = ids.shape
    H = config["decoder_attention_heads"]

    def linear(x, name):
        return x @ weights[name + ".weight"].double().T

    scale = 1.0 if config["no_scale_embedding"] else math.sqrt(config["decoder_embed_dim"])
    x = scale * weights["model.embed_tokens.weight"][ids].double()
    at = torch.arange(T, device=ids.device)
    steps = at[:, None] - at[None, :]
    states = []
    for layer in range(config["decoder_layers"]):
        p = f"model.layers.{layer}.token_mixer"
        q, k, v, u = linear(norm(x), p + ".qkvu_proj").chunk(4, dim=-1)
        q, k, v = (y.reshape(B, T, H, -1).transpose(1, 2) for y in (q, k, v))
        q, k = torch.nn.functional.silu(q), torch.nn.functional.silu(k)
        if config["linear_use_lrpe_list"][layer]:
            theta = weights[p + ".lrpe.theta"].float()
            angle = (theta * at.reshape(1, -1, 1).float()).double()  # the product in f32, as released
            q, k = (torch.cat([y * angle.cos(), y * angle.sin()], dim=-1) for y in (q, k))
        slopes = slopes_of(config, layer, ids.device)[:, None, None]
        decay = torch.where(steps >= 0, torch.exp(-slopes * steps.clamp(min=0)), 0.0)
        o = (q @ k.transpose(-1, -2) * decay) @ v
        last = torch.exp(-slopes * (T - 1 - at)[:, None])
        states.append((k * last).transpose(-1, -2) @ v)
        o = o.transpose(1, 2).reshape(B, T, -1)
        x = x + linear(norm(o) * u, p + ".out_proj")
        p = f"model.layers.{layer}.channel_mixer"
        y = norm(x)
        x = x + linear(linear(y, p + ".l1") * linear(y, p + ".l2"), p + ".l3")
    return linear(norm(x), "lm_head"), states


def write_safetensors(path, tensors):
    header, at = {}, 0
    names = {torch.int64: "I64", torch.float32: "F32"}
    for name, t in tensors.items():
        size = t.numel() * t.element_size()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            file.write(t.contiguous().cpu().numpy().tobytes())


def read_safetensors(path):
    """name -> tensor, of one file."""
    data = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    (length,) = struct.unpack("<Q", bytes(data[:8].tolist()))
    header = json.loads(bytes(data[8:8 + length].tolist()))
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + n for n in entry["data_offsets"])
            out[name] = data[begin:end].clone().view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def expected_of(config, weights, device, tokens=64, new=4):
    ids = torch.randint(3, VOCABULARY, (2, tokens), device=device)
    logits, states = forward(config, weights, ids)
    out = {"input_ids": ids, "prefill_logits": logits.float()}
    out.update({f"prefill_state.{i}": s.float() for i, s in enumerate(states)})
    greedy, decoded, text = [], [], ids
    for _ in range(new):
        greedy.append(logits[:, -1].argmax(-1))
        text = torch.cat([text, greedy[-1][:, None]], dim=1)
        logits, _ = forward(config, weights, text)
        decoded.append(logits[:, -1].float())
    loss = torch.nn.functional.cross_entropy(
        out["prefill_logits"][:, :-1].double().flatten(0, 1), ids[:, 1:].flatten())
    out["train_loss"] = loss.float().reshape(1)
    out["greedy_ids"] = torch.stack(greedy, 1)
    out["decode_logits"] = torch.stack(decoded, 1)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/transnormer")
    parser.add_argument("--preset", choices=PRESETS, default="1B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--folder", help="a folder for the files (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    options = parser.parse_args()
    place = tempfile.TemporaryDirectory(dir=options.folder)
    folder = Path(place.name)
    failed = []

    def run(name, *arguments):
        begin = time.monotonic()
        result = subprocess.run([options.program, *map(str, arguments)], text=True,
                                capture_output=True)
        print(f"== {name}: {time.monotonic() - begin:.1f} s, exit {result.returncode}")
        print((result.stdout + result.stderr).strip()[-1500:], flush=True)
        if result.returncode:
            failed.append(name)

    config = config_of(options.preset)
    released, imported, exported = (folder / n for n in ("released", "imported", "exported"))
    released.mkdir()
    weights = random_weights(config, options.device)
    (released / "config.json").write_text(json.dumps(config, indent=1))
    kept = {name: t.cpu() for name, t in weights.items()}
    kept["lm_head.weight"] = kept["model.embed_tokens.weight"]  # one storage
    torch.save(kept, released / "pytorch_model.bin")
    write_safetensors(folder / "expected.safetensors", expected_of(config, weights, options.device))
    count = sum(t.numel() for n, t in weights.items() if n != "lm_head.weight")
    print(f"{options.preset}: {count:,} parameters", flush=True)

    run("import", "import", released, "-o", imported)
    run("verify", "verify", "--model", imported, "--device", options.device, "--dtype", "f32",
        "--expected", folder / "expected.safetensors")
    run("export", "export", imported, "-o", exported, "--dtype", "bf16")
    found = {}
    for file in sorted(exported.glob("*.safetensors")):
        found |= read_safetensors(file)
    for name, want in weights.items():
        if name == "lm_head.weight" and name not in found:
            continue  # tied
        if name not in found or not torch.equal(found[name].reshape(want.shape), want.cpu()):
            failed.append(f"tensor {name}")
    print(f"exported: {len(found)} tensors")
    if options.keep:
        place._finalizer.detach()
        print(f"left in {folder}")
    print("FAILED: " + ", ".join(failed) if failed else "all as written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
