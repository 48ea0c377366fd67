#!/usr/bin/env python3
"""Lightning attention beside what else is installed, on one GPU, in one run.

    python bench/lightning_peers.py [--out FOLDER] [--seconds 100] [--quick]

Ours goes through the Python package. Peers: flash-linear-attention (chunk_simple_gla,
chunk_lightning_attn), lightning_attn (OpenNLPLab's Triton kernels) and torch's softmax attention by
FlashAttention and by cuDNN, which computes something else, quadratic in T, and is what a user would
otherwise run. Those that are not installed are said to be absent.

A time is the median of CUDA events around calls in a row, the L2 as the calls before left it.
"fraction" is the least traffic (forward q, k, v, o; backward q, k, v, do, dq, dk, dv) per second, as
a share of a device-to-device copy measured in this run. Writes FOLDER/peers.csv and, where
matplotlib is, FOLDER/peers.png: time and memory against length.
"""

import argparse
import csv
import math
import pathlib
import statistics
import sys
import time

import torch

# B, H, T of the table; D = E = 128, bf16.
SHAPES = [(4, 32, 1024), (4, 32, 4096), (4, 32, 32768), (8, 8, 2048), (1, 16, 8192),
          (1, 16, 131072)]
# Time and memory against length, B = 1, H = 16.
LENGTHS = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072]
D = 128


def measure(call, budget=0.15):
    """Median milliseconds of a call, of batches of calls in a row."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def batch(n):
        begin.record()
        for _ in range(n):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / n

    batch(2)  # compiles, tunes
    one = batch(2)
    calls = max(1, min(50, int(budget * 1e3 / 5 / max(one, 1e-3))))
    return statistics.median(batch(calls) for _ in range(5))


def copy_bandwidth():
    """Bytes per second, read and written."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / (measure(lambda: b.copy_(a)) * 1e-3)


class Ours:
    name = "transnormer"
    head_first = False

    def __init__(self):
        import transnormer
        if not transnormer.built_with_cuda():
            raise ImportError("built without CUDA")
        self.call = transnormer.lightning_attention
        self.version = transnormer.__version__

    def __call__(self, q, k, v, decay):
        return self.call(q, k, v, decay)


class FlaSimpleGla:
    name = "fla chunk_simple_gla"
    head_first = False

    def __init__(self):
        import fla
        from fla.ops.simple_gla import chunk_simple_gla
        self.call, self.version = chunk_simple_gla, getattr(fla, "__version__", "?")

    def __call__(self, q, k, v, decay):
        return self.call(q, k, v, g_gamma=-decay, scale=1.0)[0]


class FlaLightning:
    name = "fla chunk_lightning_attn"  # its own decay: 8 h/H (1 - l/L)
    head_first = False

    def __init__(self):
        import fla
        from fla.ops.lightning_attn import chunk_lightning_attn
        self.call, self.version = chunk_lightning_attn, getattr(fla, "__version__", "?")

    def __call__(self, q, k, v, decay):
        return self.call(q, k, v, layer_idx=0, num_layers=24, scale=1.0)[0]


class Triton:
    name = "lightning_attn"
    head_first = True

    def __init__(self):
        from lightning_attn.ops import lightning_attn_func
        self.call, self.version = lightning_attn_func, "0.0.5"

    def __call__(self, q, k, v, decay):
        return self.call(q, k, v, decay.reshape(-1, 1, 1))


class Softmax:
    head_first = True
    version = torch.__version__

    def __init__(self, name, backend):
        self.name, self.backend = name, getattr(torch.nn.attention.SDPBackend, backend)
        q = torch.zeros(1, 1, 64, D, dtype=torch.bfloat16, device="cuda")
        self(q, q, q, None)  # raises where the backend does not serve

    def __call__(self, q, k, v, decay):
        with torch.nn.attention.sdpa_kernel(self.backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


PEERS = [Ours, FlaSimpleGla, FlaLightning, Triton,
         lambda: Softmax("softmax, FlashAttention", "FLASH_ATTENTION"),
         lambda: Softmax("softmax, cuDNN", "CUDNN_ATTENTION")]
NAMES = ["transnormer", "fla chunk_simple_gla", "fla chunk_lightning_attn", "lightning_attn",
         "softmax, FlashAttention", "softmax, cuDNN"]


def installed():
    for name, make in zip(NAMES, PEERS):
        try:
            peer = make()
            print(f"{name}: {peer.version}")
            yield peer
        except Exception as error:  # a package that is broken is absent, too
            print(f"{name}: absent ({type(error).__name__}: {str(error).splitlines()[0]})"
                  if str(error) else f"{name}: absent ({type(error).__name__})")


def run(peer, B, H, T, copy):
    """One row: milliseconds, fractions of the copy, bytes beyond inputs and outputs."""
    shape = (B, H, T, D) if peer.head_first else (B, T, H, D)
    q, k, v, do = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(4))
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    decay = torch.tensor([2.0 ** (-8 * (h + 1) / H) for h in range(H)], device="cuda")
    row = {"peer": peer.name, "B": B, "H": H, "T": T}
    tensor = q.numel() * q.element_size()

    def forward():
        with torch.no_grad():
            peer(q, k, v, decay)

    row["forward_ms"] = measure(forward)
    row["forward_fraction"] = 4 * tensor / (row["forward_ms"] * 1e-3) / copy
    o = peer(q, k, v, decay)
    torch.cuda.synchronize()
    backward = lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True)  # noqa: E731
    row["backward_ms"] = measure(backward)
    row["backward_fraction"] = 7 * tensor / (row["backward_ms"] * 1e-3) / copy
    del o
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    torch.autograd.grad(peer(q, k, v, decay), (q, k, v), do)
    row["extra_mb"] = (torch.cuda.max_memory_allocated() - before - 4 * tensor) / 1e6
    return row


def print_row(r):
    print(f"{r['peer']:26} {r['B']:>2} {r['H']:>3} {r['T']:>7}  " + (r["error"] if "error" in r else
          f"{r['forward_ms']:>10.3f} {r['forward_fraction']:>8.3f}  {r['backward_ms']:>11.3f} "
          f"{r['backward_fraction']:>8.3f}  {r['extra_mb']:>9.1f}"), flush=True)


def plot(rows, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("matplotlib is absent: no plot")
        return
    figure, panels = pyplot.subplots(1, 3, figsize=(15, 4.5))
    for name in NAMES:
        series = [r for r in rows if r["peer"] == name and "error" not in r
                  and (r["B"], r["H"]) == (1, 16)]
        series.sort(key=lambda r: r["T"])
        for panel, field in zip(panels, ("forward_ms", "backward_ms", "extra_mb")):
            if series:
                panel.plot([r["T"] for r in series], [max(r[field], 1e-3) for r in series], "o-",
                           label=name)
    titles = ("forward, ms", "backward, ms", "memory beyond inputs and outputs, MB")
    for panel, title in zip(panels, titles):
        panel.set(xscale="log", yscale="log", xlabel="tokens", title=title)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.suptitle(f"{torch.cuda.get_device_name()}, B = 1, H = 16, D = E = {D}, bf16")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."))
    parser.add_argument("--seconds", type=float, default=100, help="shapes left then are skipped; what Triton compiles and tunes first "
                        "takes minutes where its cache is empty")
    parser.add_argument("--quick", action="store_true", help="the table's shapes, no lengths")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("lightning_peers: torch sees no GPU")
    started = time.monotonic()
    torch.manual_seed(0)
    copy = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; "
          f"copy {copy / 1e9:.0f} GB/s read and written")
    peers = list(installed())
    shapes = SHAPES + ([] if options.quick else
                       [(1, 16, T) for T in LENGTHS if (1, 16, T) not in SHAPES])
    options.out.mkdir(parents=True, exist_ok=True)
    table = open(options.out / "peers.csv", "w", newline="", buffering=1)
    fields = ["peer", "B", "H", "T", "forward_ms", "forward_fraction", "backward_ms",
              "backward_fraction", "extra_mb", "error"]
    writer = csv.DictWriter(table, fields)
    writer.writeheader()
    print(f"\n{'peer':26} {'B':>2} {'H':>3} {'T':>7}  {'forward ms':>10} {'of copy':>8}  "
          f"{'backward ms':>11} {'of copy':>8}  {'extra MB':>9}", flush=True)
    rows = []
    for B, H, T in shapes:
        for peer in peers:
            row = {"peer": peer.name, "B": B, "H": H, "T": T}
            if time.monotonic() - started > options.seconds:
                row["error"] = f"not measured: {options.seconds:.0f} s are over"
            else:
                try:
                    row = run(peer, B, H, T, copy)
                except torch.cuda.OutOfMemoryError:
                    row["error"] = "out of memory"
                except Exception as error:
                    row["error"] = f"{type(error).__name__}: {(str(error) or '?').splitlines()[0][:60]}"
                torch.cuda.empty_cache()
            rows.append(row)
            writer.writerow(row)
            print_row(row)
    table.close()
    print(f"\n{options.out / 'peers.csv'}")
    plot(rows, options.out / "peers.png")
    if not any("error" not in r and math.isfinite(r["forward_ms"]) for r in rows):
        sys.exit("lightning_peers: nothing could be measured")


if __name__ == "__main__":
    main()
