"""TensorBoard reads the event files of a run, and drops what a resumed run has written again."""

import json
import os
import random
import signal
import subprocess

import pytest

BINARY = os.environ.get("TRANSNORMER", "build/transnormer")
event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="tensorboard is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 30 steps, killed in between at step 17 or so, and finished."""
    root = tmp_path_factory.mktemp("tensorboard")
    draw = random.Random(3)
    with open(root / "text.txt", "w") as file:
        for _ in range(2000):
            words = ("".join(draw.choices("aeinorst", k=4)) for _ in range(10))
            file.write(" ".join(words) + "\n")
    for command in (
            ["tokenizer", "train", root / "text.txt", "-o", root / "tok.model",
             "--vocab-size", 300],
            ["tokenize", root / "text.txt", "--tokenizer", root / "tok.model", "-o",
             root / "shards", "--val-tail", 0.1]):
        subprocess.run([BINARY, *map(str, command)], check=True, capture_output=True)
    command = [BINARY, "train", "--run", str(root / "run"), "preset=tiny",
               f"data.train={root / 'shards'}", "train.steps=30", "train.rows=2",
               "train.length=48", "checkpoint.every=5", "eval.every=10", "log.every=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("step 17"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    return root / "run"


def test_reads_every_scalar_once(run):
    assert len(list((run / "tensorboard").iterdir())) == 2
    reader = event_accumulator.EventAccumulator(str(run / "tensorboard"))
    reader.Reload()
    tags = reader.Tags()["scalars"]
    assert {"train/loss", "train/lr", "train/grad_norm", "eval/eval_loss",
            "eval/perplexity"} <= set(tags)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for tag, key, kind in (("train/loss", "loss", "loss"), ("train/lr", "lr", "loss"),
                           ("eval/eval_loss", "eval_loss", "eval_loss")):
        events = reader.Scalars(tag)
        wanted = [(line["step"], line[key]) for line in lines if kind in line]
        assert [e.step for e in events] == [step for step, _ in wanted]
        assert [e.value for e in events] == pytest.approx([v for _, v in wanted], rel=1e-6)
    assert [e.step for e in reader.Scalars("train/loss")] == list(range(1, 31))
