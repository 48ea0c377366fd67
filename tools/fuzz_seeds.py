#!/usr/bin/env python3
"""Writes valid files for the fuzz targets to begin with, made by the program and by foreign
libraries.

    tools/fuzz_seeds.py PROGRAM CORPUS     makes CORPUS/fuzz_NAME/seed-* for each target
"""
import base64
import gzip
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save

TEXT = "".join(f"The {n} quick brown foxes, é ü 中.\n--\n" for n in range(60))


def zstd_frame(content):
    """Not compressed, but a frame all the same: one last, raw block of at most 255 bytes."""
    n = len(content)
    return b"\x28\xb5\x2f\xfd\x20" + bytes([n]) + (n << 3 | 1).to_bytes(3, "little") + content


def torch_file():
    """(what torch.save writes of a dict of one tensor, its pickle)"""
    def text(s):
        return b"X" + len(s).to_bytes(4, "little") + s.encode()

    program = (b"\x80\x02ccollections\nOrderedDict\nq\x00)R(" + text("x") +
               b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
               b"ctorch\nFloatStorage\n" + text("0") + text("cpu") +
               b"K\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89h\x00)RtRu}" +
               text("_metadata") + b"}sb.")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("m/data.pkl", program)
        z.writestr("m/byteorder", "little")
        z.writestr("m/data/0", np.arange(6, dtype=np.float32).tobytes())
    return out.getvalue(), program


def main():
    program, corpus = Path(sys.argv[1]).resolve(), Path(sys.argv[2])

    def seed(target, name, content):
        folder = corpus / f"fuzz_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{name}").write_bytes(
            content.encode() if isinstance(content, str) else content)

    def run(folder, *arguments):
        subprocess.run([program, *map(str, arguments)], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = "".join(json.dumps({"text": line}, ensure_ascii=False) + "\n"
                          for line in TEXT.split("--\n") if line)
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        (folder / "text.jsonl").write_text(records, encoding="utf-8")
        run(folder, "tokenizer", "train", "text.txt", "-o", "tokenizer.model",
            "--vocab-size", "310")
        run(folder, "tokenize", "text.jsonl", "--tokenizer", "tokenizer.model", "-o", "data",
            "--val-fraction", "0.2")
        run(folder, "train", "--run", "run", "preset=tiny", "data.train=data", "train.steps=20",
            "train.rows=1", "train.length=16", "log.tensorboard=false", "log.every=1",
            "eval.every=5", "eval.batches=1", "guard.window=16")
        checkpoint = folder / "run/checkpoints/step-00000020"
        shard = (folder / "data/train/shard-00000.tnl").read_bytes()
        for kind, content in enumerate([TEXT.encode()[:600], records.encode()[:600],
                                        gzip.compress(TEXT.encode())]):
            for flags in (0, 4, 8, 16):
                seed("reader", f"{kind}-{flags}", bytes([kind + flags]) + content)
        seed("reader", "3", bytes([3]) + zstd_frame(records.encode()[:200]))
        seed("utf8", "text", TEXT[:300])
        seed("tokenizer", "model", (folder / "tokenizer.model").read_bytes())
        ranks = [bytes([i]) for i in range(256)] + [b"th", b" the", b"he", "中".encode()]
        seed("tokenizer", "tiktoken", b"".join(base64.b64encode(token) + b" %d\n" % rank
                                               for rank, token in enumerate(ranks)))
        seed("tiktoken", "text", TEXT[:300] + "it's 12345 \r\n\n  x")
        for first in (0, 1, 7):
            seed("shard", str(first), bytes([first]) + shard)
        seed("config", "tiny", (checkpoint / "config.json").read_bytes())
        seed("generation_config", "own", (checkpoint / "generation_config.json").read_bytes())
        seed("trainer_state", "own", (checkpoint / "trainer.json").read_bytes())
        seed("curves", "own", (folder / "run/metrics.jsonl").read_bytes()[:2000])
        settings = (folder / "run/run.json").read_bytes()
        seed("run_config", "json", b"\x01" + settings)
        seed("run_config", "toml",
             b"\x00preset = 'tiny'\n[train]\nsteps = 10\nrows = 2\n[guard]\naction = \"skip\"\n")
        seed("run_config", "set", b"\x02model.linear_use_lrpe_list=[1,0]")
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "seed": 1, "n": 2,
                "logit_bias": {"3": -1}, "stop": ["a", "b"], "max_tokens": 5, "stream": True,
                "stream_options": {"include_usage": True}, "presence_penalty": 1}
    seed("api_request", "text", json.dumps(
        {"prompt": ["a", "b"], "echo": True, "logprobs": 2, "best_of": 2, **sampling}))
    seed("api_request", "ids", json.dumps({"model": "m", "prompt": [[1, 2], [3]]}))
    seed("api_request", "chat", json.dumps(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
         "logprobs": True, "top_logprobs": 2, "response_format": {"type": "text"}, **sampling}))
    seed("tensor_files", "index", json.dumps(
        {"metadata": {"total_size": 12},
         "weight_map": {"x": "a.safetensors", "y": "a.safetensors"}}))
    archive, described = torch_file()
    seed("torch_file", "one", archive)
    seed("pickle", "one", described)
    f32, i64 = np.float32, np.int64
    seed("safetensors", "small", save({"a": np.ones((2, 3), f32), "b": np.zeros(5, i64),
                                       "c": np.zeros((0, 4), np.float16)}, {"format": "pt"}))
    seed("recorded", "small", save({  # of the model in recorded_fuzz.cpp
        "input_ids": np.ones((2, 3), i64), "greedy_ids": np.ones((2, 2), i64),
        "attention_mask": np.ones((2, 3), i64), "prefill_logits": np.ones((2, 3, 7), f32),
        "prefill_state.0": np.ones((2, 2, 4, 2), f32), "decode_logits": np.ones((2, 2, 7), f32),
        "train_loss": np.ones(1, f32)}))


if __name__ == "__main__":
    main()
