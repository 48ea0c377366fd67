#!/usr/bin/env python3
"""Writing token by token on the CPU, weights of 16, 8 and 4 bits: this project and llama.cpp,
alternately in one run.

    bench/llama_cpp_decode.py [--rounds 3] [--tokens 64] [--binary build/transnormer]

llama.cpp computes a LLaMA of as many layers, as wide, its head tied likewise (random weights: speed
does not depend on them), so that a token reads nearly as many bytes; the shares of the memory's
bandwidth, which `transnormer bench decode` measures between its own steps in the same round, and the
bytes are printed beside the times. Medians over rounds. Needs a Python with
`pip install numpy gguf llama-cpp-python`, which builds llama.cpp for this processor; what it was built
for is printed first.
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LAYERS, WIDTH, HEADS, FEED_FORWARD, VOCABULARY = 24, 1024, 8, 3072, 64000  # of 385M
# ours, llama.cpp's file type (enum llama_ftype), type of its head (enum ggml_type)
FORMATS = {
    "bf16": ("keep", 32, 30),
    "int8 / Q8_0": ("int8", 7, 8),
    "int4 / Q4_0": ("int4", 2, 8),
    "int4 / Q4_K": ("int4", 14, 8),
}


def write_model(path: pathlib.Path) -> None:
    import gguf
    import numpy as np

    random = np.random.default_rng(1)
    block = (0.02 * random.standard_normal(1 << 20)).astype(np.float16)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    writer.add_file_type(1)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = np.resize(block, rows * columns).reshape(rows, columns)
        writer.add_tensor(f"{name}.weight", values)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", VOCABULARY, WIDTH)
    norm("output_norm")
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        norm(at + "attn_norm")
        norm(at + "ffn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(at + name, WIDTH, WIDTH)
        matrix(at + "ffn_gate", FEED_FORWARD, WIDTH)
        matrix(at + "ffn_up", FEED_FORWARD, WIDTH)
        matrix(at + "ffn_down", WIDTH, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source: pathlib.Path, target: pathlib.Path, ftype: int, head: int) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = ftype
    parameters.pure = True
    parameters.token_embedding_type = head
    parameters.output_tensor_type = head
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(),
                                      ctypes.byref(parameters)):
        raise SystemExit(f"llama.cpp could not quantize {source}")


def peer(path: pathlib.Path, threads: int, tokens: int) -> None:
    """Prints seconds of each of `tokens` steps of llama.cpp and the bytes of its weights."""
    import llama_cpp

    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(),
                                                 llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = 512
    parameters.n_threads = parameters.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, parameters)
    seconds = []
    for step in range(tokens + 8):
        token = (llama_cpp.llama_token * 1)(step * 37 % VOCABULARY)
        start = time.perf_counter()
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1)):
            raise SystemExit("llama.cpp could not decode")
        llama_cpp.llama_synchronize(context)
        seconds.append(time.perf_counter() - start)
    result = {"seconds": seconds[8:], "bytes": int(llama_cpp.llama_model_size(model))}
    print("\nRESULT " + json.dumps(result))


def run(command: list) -> dict:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with {done.returncode}: {done.stderr[-2000:]}")
    text = done.stdout
    return json.loads(text[text.rindex("\nRESULT ") + 8:] if "\nRESULT " in text else text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="steps of each program a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", default=str(HERE.parent / "build" / "transnormer"))
    parser.add_argument("--folder", type=pathlib.Path, help="keep llama.cpp's files there (2 GB)")
    parser.add_argument("--peer", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.threads, args.tokens)

    import llama_cpp

    built_for = llama_cpp.llama_print_system_info().decode().strip()
    print(f"llama-cpp-python {llama_cpp.__version__}: {built_for}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        source = folder / "f16.gguf"
        if not source.exists():
            write_model(source)
        rows = {name: [] for name in FORMATS}
        for name, (_, ftype, head) in FORMATS.items():
            target = folder / f"{ftype}.gguf"
            if not target.exists():
                quantize(source, target, ftype, head)
        for _ in range(args.rounds):
            for name, (weights, ftype, _) in FORMATS.items():
                ours = run([args.binary, "bench", "decode", "--preset", "385M", "--dtype", "bf16",
                            "--weights", weights, "--tokens", args.tokens, "--threads", args.threads,
                            "--contexts", 128, "--no-prefill", "--format", "json"])
                theirs = run([sys.executable, __file__, "--peer", folder / f"{ftype}.gguf",
                              "--tokens", args.tokens, "--threads", args.threads])
                row = ours["rows"][0]
                seconds = statistics.median(theirs["seconds"])
                bandwidth = row["read_gigabytes_per_second"] * 1e9
                rows[name].append({
                    "ours_ms": row["milliseconds_per_token"],
                    "ours_gb": ours["weight_bytes_per_token"] / 1e9,
                    "ours_share": row["fraction_of_read_bandwidth"],
                    "theirs_ms": 1e3 * seconds,
                    "theirs_gb": theirs["bytes"] / 1e9,
                    "theirs_share": theirs["bytes"] / seconds / bandwidth,
                    "read_gb_s": bandwidth / 1e9,
                })
                print(name, {k: round(v, 3) for k, v in rows[name][-1].items()}, file=sys.stderr)
        columns = list(next(iter(rows.values()))[0])
        print("| weights | " + " | ".join(columns) + " |")
        print("|---|" + "---|" * len(columns))
        for name, each in rows.items():
            medians = [statistics.median(row[c] for row in each) for c in columns]
            print(f"| {name} | " + " | ".join(f"{m:.3g}" for m in medians) + " |")


if __name__ == "__main__":
    main()
