"""A run killed at random moments, also in the midst of a save, ends as if it had never stopped."""

import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

BINARY = os.environ.get("TRANSNORMER", "build/transnormer")
STEPS = 60
CLOCK = ("seconds", "tokens_per_second")  # what may differ from run to run


def transnormer(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shards of a few thousand tokens of made-up prose."""
    root = tmp_path_factory.mktemp("data")
    draw = random.Random(7)
    words = ["".join(draw.choices("aeioulnrst", k=draw.randint(1, 7))) for _ in range(200)]
    with open(root / "text.jsonl", "w") as file:
        for _ in range(200):
            text = " ".join(draw.choices(words, k=draw.randint(5, 120)))
            file.write(json.dumps({"text": text}) + "\n")
    for command in (
            ["tokenizer", "train", root / "text.jsonl", "-o", root / "tok.model",
             "--vocab-size", 320],
            ["tokenize", root / "text.jsonl", "--tokenizer", root / "tok.model", "-o",
             root / "shards", "--val-fraction", 0.1]):
        result = transnormer(*command)
        assert result.returncode == 0, result.stderr
    return root / "shards"


def arguments(run, data):
    return ["train", "--run", str(run), "preset=tiny", f"data.train={data}",
            f"train.steps={STEPS}", "train.rows=2", "train.length=48", "train.accumulate=2",
            "train.threads=1", "eval.every=6", "eval.batches=2", "checkpoint.every=3",
            "checkpoint.keep=2", "log.every=1"]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that is never interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    result = transnormer(*arguments(run, data), "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["outcome"] == "finished"
    return run


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def trainer(run):
    state = json.loads((run / f"checkpoints/step-{STEPS:08}/trainer.json").read_text())
    del state["seconds"]
    del state["config"]["run"]
    return state


def assert_same_end(run, whole):
    for name in ("model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.model"):
        path = f"checkpoints/step-{STEPS:08}/{name}"
        assert (run / path).read_bytes() == (whole / path).read_bytes(), name
    assert metrics(run) == metrics(whole)
    assert len(metrics(run)) == STEPS + STEPS // 6
    assert trainer(run) == trainer(whole)
    assert [p.name for p in (run / "checkpoints").iterdir() if p.name.startswith(".")] == []


def partials(run):
    return list((run / "checkpoints").glob(".step-*"))


def kill_somewhere(process, run, draw):
    """After some steps: at once, or in the midst of the save that comes next."""
    left = draw.randint(0, 14)
    for line in process.stdout:
        left -= line.startswith("step ")
        if left < 0:
            break
    if draw.random() < 0.6:
        while process.poll() is None and not partials(run):
            pass
        time.sleep(draw.uniform(0, 0.01))
    process.kill()
    return process.communicate()[0]


def test_killed_at_any_moment(data, whole, tmp_path):
    run = tmp_path / "run"
    draw = random.Random(11)
    kills = during_save = 0
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        process = subprocess.Popen([BINARY, *arguments(run, data)], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        output = kill_somewhere(process, run, draw)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        kills += 1
        during_save += bool(partials(run))
    # What has a checkpoint's name is one, with all that a model needs.
        for step in (run / "checkpoints").glob("step-*"):
            for name in ("config.json", "model.safetensors", "optimizer.safetensors",
                         "trainer.json", "tokenizer.model"):
                assert (step / name).exists(), (step, name)
    result = transnormer(*arguments(run, data))
    assert result.returncode == 0, result.stderr
    assert "Going on from" in result.stdout or "over already" in result.stdout
    print(f"{kills} kills, {during_save} of them during a save")
    assert kills >= 3
    assert during_save >= 1
    assert_same_end(run, whole)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(data, whole, tmp_path, stop):
    run = tmp_path / "run"
    process = subprocess.Popen([BINARY, *arguments(run, data), "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("step  5"):
            break
    process.send_signal(stop)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    result = json.loads(output)
    assert result["outcome"] == "interrupted"
    assert 5 <= result["step"] < STEPS
    assert Path(result["checkpoint"]).is_dir()
    # The run alone is enough to go on.
    result = transnormer("train", "--run", run, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["outcome"] == "finished"
    assert_same_end(run, whole)


def test_back_to_an_earlier_checkpoint(data, whole, tmp_path):
    run = tmp_path / "run"
    assert transnormer(*arguments(run, data), "checkpoint.keep=0").returncode == 0
    result = transnormer("train", "--run", run, "--from", 33)
    assert result.returncode == 0, result.stderr
    assert "Going on from" in result.stdout
    assert metrics(run) == metrics(whole)
    path = f"checkpoints/step-{STEPS:08}/optimizer.safetensors"
    assert (run / path).read_bytes() == (whole / path).read_bytes()
    result = transnormer("train", "--run", run, "--from", 34)
    assert result.returncode == 2
    assert "has checkpoints of the steps 3, 6," in result.stderr


def test_a_full_disk_ends_with_the_last_good_checkpoint(data, whole, tmp_path):
    run = tmp_path / "run"
    begin = arguments(run, data)
    assert transnormer(*begin, "--dry-run").returncode == 0
    assert not run.exists()
    size = (whole / f"checkpoints/step-{STEPS:08}/optimizer.safetensors").stat().st_size
    limit = (size // 2, resource.RLIM_INFINITY)
    result = transnormer(*begin, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                       limit))
    assert result.returncode == 1
    assert "the checkpoint of step 3 could not be saved" in result.stderr
    assert "optimizer.safetensors: cannot write" in result.stderr
    assert "There is no checkpoint yet" in result.stderr
    assert list((run / "checkpoints").iterdir()) == []
    result = transnormer(*begin)  # room was made
    assert result.returncode == 0, result.stderr
    assert_same_end(run, whole)


def test_two_at_once_are_refused(data, tmp_path):
    run = tmp_path / "run"
    endless = [*arguments(run, data), "train.steps=1000000"]
    process = subprocess.Popen([BINARY, *endless], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("step"):
            break
    result = transnormer(*endless)
    process.kill()
    process.communicate()
    assert result.returncode == 1
    assert "another process is training in it" in result.stderr


def test_resume_wants_a_checkpoint(data, tmp_path):
    result = transnormer(*arguments(tmp_path / "run", data), "--resume")
    assert result.returncode == 1
    assert "no checkpoint to go on from" in result.stderr
    assert not (tmp_path / "run").exists()
