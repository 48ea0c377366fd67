"""Fine-tuning from end to end: instructions to tokens, a run from a checkpoint, what it learned."""

import gzip
import json
import math
import re
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cli_test import (BINARY, FAILED, USAGE, as_json, tokenizer, tokens, train_arguments,
                      transnormer, work)

__all__ = ["tokenizer", "tokens", "work"]  # fixtures

WORDS = ["bread", "water", "gold", "silver", "cloth", "corn"]


def records(count, first=0):
    """Questions whose answer is a word of the question."""
    return [{"messages": [
        {"role": "user", "content": f"Who gave {WORDS[i % 6]} to {WORDS[i // 6 % 6]}?"},
        {"role": "assistant", "content": f"The lord gave {WORDS[i % 6]}."}]}
        for i in range(first, first + count)]


def write(path, items):
    text = "".join(json.dumps(item) + "\n" for item in items)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(scope="module")
def base(tokens, tmp_path_factory):
    run = tmp_path_factory.mktemp("base") / "run"
    transnormer(*train_arguments(run, tokens))
    return run / "checkpoints/step-00000120"


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return write(tmp_path_factory.mktemp("chat") / "chat.jsonl.gz", records(36))


def tune_arguments(run, base, data, *more):
    return ["train", "--run", run, f"init={base}", f"data.train={data}", "data.val_fraction=0.2",
            "train.steps=60", "train.rows=4", "train.length=128", "optimizer.lr=3e-3",
            "eval.batches=0", "log.every=10", "train.threads=1", *more]


@pytest.fixture(scope="module")
def tuned(base, chat, tmp_path_factory):
    run = tmp_path_factory.mktemp("tuned") / "run"
    return run, as_json(*tune_arguments(run, base, chat), "--json")


def test_tokenize_counts_what_is_learned(chat, tokenizer, tmp_path):
    summary = as_json("tokenize", chat, "--tokenizer", tokenizer, "-o", tmp_path / "out", "--json")
    assert summary["instructions"] == summary["documents"] == 36
    train = summary["train"]
    assert 0 < train["learned_tokens"] < train["tokens"]
    # The answers' tokens, each with the space before it, and an end.
    answers = [r["messages"][1]["content"] for r in records(36)]
    wanted = sum(len(as_json("tokenizer", "encode", "--tokenizer", tokenizer, "--text", text,
                             "--json")["ids"]) + 1 for text in answers)
    assert train["learned_tokens"] == wanted


def test_alpaca_and_prompts_and_texts_mix(tokenizer, tmp_path):
    data = write(tmp_path / "mixed.jsonl", [
        {"instruction": "Add.", "input": "1 1", "output": "2"},
        {"prompt": "one and one is", "completion": " two"},
        {"text": "the lord said unto the people"}])
    summary = as_json("tokenize", data, "--tokenizer", tokenizer, "-o", tmp_path / "out", "--json")
    assert (summary["documents"], summary["instructions"]) == (3, 2)


@pytest.mark.parametrize("record, wanted", [
    ({"prompt": "a", "completion": " "}, ["bad.jsonl:2", "'completion'", "to be learned"]),
    ({"instruction": "a", "output": 3}, ["bad.jsonl:2", "'output'", "a string"]),
    ({"messages": [{"role": "user", "content": "a"}]}, ["bad.jsonl:2", "'messages'", "assistant"]),
    ({"question": "a"}, ["bad.jsonl:2", "'text'", "'messages'"])])
def test_bad_records_name_line_and_field(record, wanted, base, tmp_path):
    data = write(tmp_path / "bad.jsonl", [{"prompt": "a", "completion": "b"}, record])
    done = transnormer(*tune_arguments(tmp_path / "run", base, data), code=FAILED)
    for part in wanted:
        assert part in done.stderr


def test_text_wants_a_tokenizer_and_whole_answers(chat, tokenizer, tmp_path):
    arguments = ["train", "--run", tmp_path / "run", "preset=tiny", f"data.train={chat}",
                 "train.steps=1", "train.rows=2", "train.length=16", "train.threads=1"]
    assert "data.tokenizer" in transnormer(*arguments, code=USAGE).stderr
    transnormer(*arguments, f"data.tokenizer={tokenizer}")
    done = transnormer("tokenize", chat, "--tokenizer", tokenizer, "-o", tmp_path / "out",
                       "--val-tail", "0.1", code=FAILED)
    assert "chat.jsonl.gz:1" in done.stderr and "val_tail" in done.stderr


def test_a_dry_run_writes_nothing(base, chat, tmp_path):
    text = transnormer(*tune_arguments(tmp_path / "run", base, chat), "--dry-run").stdout
    assert "36 instructions" in text and "to be learned" in text
    assert list(tmp_path.iterdir()) == []


def test_tuning_learns_the_answers(tuned, base, chat, tmp_path):
    run, result = tuned
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.3 * losses[0]
    held_out = as_json("eval", "--model", result["checkpoint"], chat, "--eos", "--json")
    before = as_json("eval", "--model", base, chat, "--eos", "--json")
    assert held_out["loss_nats_per_token"] < 0.3 * before["loss_nats_per_token"]
    text = as_json("eval", "--model", base, chat, "--eos", "--json", "--records", "instruct",
                   "--per-document")
    assert text["tokens"] == before["tokens"]
    assert sum(d["tokens"] for d in text["per_document"]) == text["tokens"]


def test_it_answers_as_it_was_taught(tuned):
    _, result = tuned
    said = transnormer("generate", "--model", result["checkpoint"], "--prompt",
                       "User: Who gave gold to corn?\n\nAssistant:", "--temperature", "0",
                       "--max-new-tokens", "40").stdout
    # In the form it was taught; which word, so small a model may get wrong.
    assert re.search(r"The lord gave (%s)\." % "|".join(WORDS), said)
    assert "User:" not in said.split("Assistant:")[-1]


def test_the_same_command_goes_on(base, chat, tuned, tmp_path):
    short = tune_arguments(tmp_path / "run", base, chat, "checkpoint.every=30")
    transnormer(*short)
    first = tmp_path / "run/checkpoints/step-00000060/model.safetensors"
    whole = first.read_bytes()
    assert whole == (tuned[0] / "checkpoints/step-00000060/model.safetensors").read_bytes()
    text = transnormer(*short, "--from", 30).stdout
    assert "Going on from" in text and first.read_bytes() == whole


def test_held_out_loss_is_that_of_eval(base, tokenizer, tmp_path):
    """In one row that holds all of the held-out documents: the same tokens count."""
    data = write(tmp_path / "data.jsonl", records(6))
    tokens = as_json("tokenize", data, "--tokenizer", tokenizer, "--bos", "-o", tmp_path / "t",
                     "--json")["train"]["tokens"]
    run = as_json("train", "--run", tmp_path / "run", f"init={base}", f"data.train={data}",
                  f"data.validation={data}", "train.steps=1", "train.rows=1",
                  f"train.length={tokens - 1}", "optimizer.lr=1e-9", "eval.batches=0",
                  "train.threads=1", "--json")["held_out"]
    alone = as_json("eval", "--model", base, data, "--eos", "--json")
    for key in ("loss_nats_per_token", "perplexity", "bits_per_byte"):
        assert math.isclose(run[key], alone[key], rel_tol=1e-5), key


# ---- adapters ----

@pytest.fixture(scope="module")
def adapter(base, chat, tmp_path_factory):
    run = tmp_path_factory.mktemp("adapter") / "run"
    result = as_json(*tune_arguments(run, base, chat, "train.lora.rank=8", "optimizer.lr=2e-2",
                                     "checkpoint.every=30"), "--json")
    return run, result


def loss_of(*arguments):
    return as_json("eval", *arguments, "--eos", "--json")["loss_nats_per_token"]


def test_adapters_learn_the_answers(adapter, base, chat):
    _, result = adapter
    assert result["trained_parameters"] < result["parameters"] / 5
    tuned = loss_of("--model", base, "--adapter", result["checkpoint"], chat)
    assert tuned < 0.5 * loss_of("--model", base, chat)
    said = transnormer("generate", "--model", base, "--adapter", result["checkpoint"], "--prompt",
                       "User: Who gave gold to corn?\n\nAssistant:", "--temperature", "0",
                       "--max-new-tokens", "40").stdout
    assert re.search(r"The lord gave (%s)\." % "|".join(WORDS), said)


def test_checkpoints_of_adapters_are_small_and_peft_reads_them(adapter, base):
    _, result = adapter
    at = Path(result["checkpoint"])
    assert {p.name for p in at.iterdir()} == {"adapter_config.json", "adapter_model.safetensors",
                                              "optimizer.safetensors", "trainer.json"}
    config = json.loads((at / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["r"] == 8 and config["lora_alpha"] == 16
    assert Path(config["base_model_name_or_path"]) == base
    assert "out_proj" in config["target_modules"] and "l1" in config["target_modules"]
    tensors = load_file(at / "adapter_model.safetensors")
    for name in tensors:
        assert re.fullmatch(r"base_model\.model\.model\.layers\.\d+\.(token|channel)_mixer\.\w+"
                            r"\.lora_[AB]\.weight", name)


def test_merged_weights_are_the_model_with_its_adapter(adapter, base, chat, tmp_path):
    _, result = adapter
    transnormer("export", base, "--adapter", result["checkpoint"], "-o", tmp_path / "merged")
    before, after = (load_file(d / "model.safetensors") for d in (base, tmp_path / "merged"))
    low = load_file(Path(result["checkpoint"]) / "adapter_model.safetensors")
    changed = 0
    for name, weight in before.items():
        layer = "base_model.model." + name.removesuffix(".weight")
        want = weight.astype(np.float64)
        if layer + ".lora_A.weight" in low:
            want += 2 * (low[layer + ".lora_B.weight"].astype(np.float64)
                         @ low[layer + ".lora_A.weight"].astype(np.float64))
            changed += 1
        np.testing.assert_allclose(after[name], want, rtol=1e-5, atol=1e-6)
    assert changed == len(low) // 2
    merged = loss_of("--model", tmp_path / "merged", chat)
    assert math.isclose(merged, loss_of("--model", base, "--adapter", result["checkpoint"], chat),
                        rel_tol=1e-4)


def test_adapter_runs_go_on_bit_for_bit(adapter, base, chat):
    run, result = adapter
    last = Path(result["checkpoint"])
    wanted = {name: (last / name).read_bytes()
              for name in ("adapter_model.safetensors", "optimizer.safetensors")}
    text = transnormer("train", "--run", run, "--from", 30).stdout
    assert "Going on from" in text and f"--model {base} --adapter" in text
    for name, data in wanted.items():
        assert (last / name).read_bytes() == data


def test_adapters_of_something_else_are_told(adapter, base, tuned, chat, tmp_path):
    run, result = adapter
    other = tuned[1]["checkpoint"]
    done = transnormer("eval", "--model", other, "--adapter", result["checkpoint"], chat)
    assert "trained on other weights" in done.stderr
    done = transnormer("train", "--run", run, f"init={other}", "--from", 30, code=FAILED)
    assert "other weights" in done.stderr and "init" in done.stderr
    done = transnormer("generate", "--model", base, "--adapter", base, "--prompt", "a", code=FAILED)
    assert "is no adapter" in done.stderr and "adapter_config.json" in done.stderr
    arguments = tune_arguments(tmp_path / "run", base, chat, "train.lora.rank=4")
    done = transnormer(*arguments, "train.lora.targets=q_proj", code=USAGE)
    assert "q_proj" in done.stderr and "qkvu_proj" in done.stderr
    done = transnormer(*train_arguments(tmp_path / "run", chat, "train.lora.rank=4"), code=USAGE)
    assert "init" in done.stderr


def test_the_plan_shows_what_adapters_save(base, chat, tmp_path):
    def table(*more):
        text = transnormer(*tune_arguments(tmp_path / "run", base, chat, *more), "--dry-run").stdout
        rows = re.findall(r"^  (\S.*?) +([\d.]+) MiB$", text, re.M)
        return text, {name: float(size) for name, size in rows}
    text, low = table("train.lora.rank=2", "train.lora.targets=out_proj,l3")
    assert "of rank 2 are trained" in text
    _, full = table()
    assert low["AdamW moments, f32"] < 0.1 * full["AdamW moments, f32"]
    assert low["together"] < full["together"]


def test_inspect_knows_adapters(adapter):
    run, result = adapter
    text = transnormer("inspect", result["checkpoint"]).stdout
    assert "rank 8, alpha 16" in text and "step 60" in text
    tuned = as_json("inspect", run, "--json")["memory"]["training"]["recompute_none"]
    whole = as_json("inspect", "tiny", "--dtype", "f32", "--json")["memory"]["training"]["recompute_none"]
    low = as_json("inspect", "tiny", "--lora-rank", 2, "--dtype", "f32",
                  "--json")["memory"]["training"]
    assert tuned["gradients, f32"] < tuned["weights, f32"] / 3
    assert whole["gradients, f32"] == whole["weights, f32"]
    assert low["recompute_none"]["gradients, f32"] < whole["gradients, f32"] / 10


def test_serve_takes_an_adapter(adapter, base):
    _, result = adapter
    server = subprocess.Popen([BINARY, "serve", "--model", str(base), "--adapter",
                               result["checkpoint"], "--port", "0"],
                              stdout=subprocess.PIPE, text=True)
    try:
        address = next(line.split()[-1] for line in server.stdout if "listening on" in line)
        body = {"messages": [{"role": "user", "content": "Who gave gold to corn?"}],
                "temperature": 0, "max_tokens": 40}
        request = urllib.request.Request(address + "/v1/chat/completions",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]
        assert re.fullmatch(r"The lord gave (%s)\." % "|".join(WORDS),
                            answer["message"]["content"])
        assert answer["finish_reason"] == "stop"
    finally:
        server.terminate()
        server.wait(timeout=30)


# ---- rows in pieces ----

def test_documents_go_on_over_pieces(tokens, tmp_path):
    """Rows of 128 tokens whole, and in four pieces: the same run but for rounding."""
    def losses(run, *more):
        transnormer("train", "--run", run, "preset=tiny", f"data.train={tokens}", "train.steps=4",
                    "train.rows=2", "log.every=1", "eval.batches=0", "train.threads=1", *more)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [(line["loss"], line["grad_norm"]) for line in lines if "loss" in line]
    whole = losses(tmp_path / "whole", "train.length=128")
    cut = losses(tmp_path / "cut", "train.length=32", "train.pieces=4", "train.accumulate=4",
                 "train.through=exact")
    np.testing.assert_allclose(cut, whole, rtol=2e-4)
