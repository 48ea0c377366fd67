#!/usr/bin/env python3
"""CPU training speed: this project and the same model in plain PyTorch, alternately in one run.

    bench/cpu_train.py [--rounds 3] [--python .venv/bin/python] [--binary build/transnormer]

Each round runs `transnormer bench train` and bench/peer_train_torch.py one after the other, on the
same cores, shapes, weights and tokens; the losses of the first step must agree. The ratio is that of
the medians over rounds. PyTorch runs with its default AdamW and with its fused one, and the faster
of the two counts. --python must have torch and safetensors (`pip install torch safetensors`).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def run(command: list[str]) -> dict:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="25M")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--binary", default=str(HERE.parent / "build" / "transnormer"))
    parser.add_argument("--json", type=pathlib.Path, help="write every result to this file")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model"
        shape = ["--batch", args.batch, "--length", args.length, "--threads", args.threads]
        steps = ["--steps", args.steps, "--warmup", 2]
        ours = [args.binary, "bench", "train", "--preset", args.preset, "--format", "json"]
        peer = [args.python, HERE / "peer_train_torch.py", "--model", model, "--json"]
        commands = {
            "transnormer": [*ours, *shape, *steps, "--save-model", model],
            "torch": [*peer, *shape, *steps],
            "torch, fused AdamW": [*peer, *shape, *steps, "--fused"],
        }
        results = {name: [] for name in commands}
        for round_ in range(args.rounds):
            for name, command in commands.items():
                result = run([str(word) for word in command])
                results[name].append(result)
                print(
                    f"round {round_ + 1}  {name:<20} {result['tokens_per_second']:9.1f} tokens/s"
                    f"  first loss {result['first_loss']:.6f}",
                    flush=True,
                )

    losses = [r["first_loss"] for rs in results.values() for r in rs]
    if max(losses) - min(losses) > 1e-4 * abs(losses[0]):
        raise SystemExit(f"the programs do not compute the same loss: {losses}")
    rates = {n: statistics.median(r["tokens_per_second"] for r in rs) for n, rs in results.items()}
    best_peer = max((n for n in rates if n != "transnormer"), key=rates.get)
    last = results["transnormer"][-1]
    print(f"\n{last['device']}; {last['parameters']} parameters, batch {args.batch} x {args.length}")
    for name, rate in rates.items():
        print(f"{name:<20} {rate:9.1f} tokens/s (median of {args.rounds})")
    print(f"ratio to {best_peer}: {rates['transnormer'] / rates[best_peer]:.2f}")
    print(f"GEMM share {last['gemm_share']:.1%}, attention share {last['attention_share']:.1%}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
