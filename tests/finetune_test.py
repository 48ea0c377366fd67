"""Fine-tuning from end to end: instructions to tokens, a run from a checkpoint, what it learned."""

import gzip
import json
import math

import pytest

from cli_test import FAILED, USAGE, as_json, tokenizer, tokens, train_arguments, transnormer, work

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
    assert "The lord gave gold." in said and "User:" not in said.split("Assistant:")[-1]


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
