"""The command line from end to end, as a user meets it: text to tokenizer, tokens, run, text again;
exit codes, messages, JSON, progress, completion."""

import gzip
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
OK, FAILED, USAGE = 0, 1, 2


def transnormer(*arguments, code=OK, **options):
    """Runs a command; its exit code has to be `code`."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def as_json(*arguments, **options):
    return json.loads(transnormer(*arguments, **options).stdout)


def sentences(draw, count):
    subjects = ["the king", "a prophet", "the lord", "my servant", "the people", "a shepherd"]
    verbs = ["said unto", "went up with", "gave bread to", "sent word to", "dwelt beside"]
    places = ["the city", "his brethren", "the river", "Ägypten", "the house of David"]
    return " ".join(f"And {draw.choice(subjects)} {draw.choice(verbs)} {draw.choice(places)}."
                    for _ in range(count))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Texts of documents that a tiny model learns in seconds."""
    root = tmp_path_factory.mktemp("work")
    draw = random.Random(5)
    texts = [sentences(draw, draw.randint(4, 30)) for _ in range(150)]
    for name, part in (("train", texts[10:]), ("held_out", texts[:10])):
        with open(root / f"{name}.jsonl", "w") as file:
            for text in part:
                file.write(json.dumps({"text": text}) + "\n")
    return root


@pytest.fixture(scope="module")
def tokenizer(work):
    path = work / "tokenizer.model"
    transnormer("tokenizer", "train", work / "train.jsonl", "-o", path, "--vocab-size", 320)
    return path


@pytest.fixture(scope="module")
def tokens(work, tokenizer):
    transnormer("tokenize", work / "train.jsonl", "--val", work / "held_out.jsonl", "--tokenizer",
                tokenizer, "--bos", "-o", work / "tokens")
    return work / "tokens"


def train_arguments(run, tokens, *more):
    return ["train", "--run", run, "preset=tiny", f"data.train={tokens}", "train.steps=120",
            "train.rows=4", "train.length=64", "optimizer.lr=5e-3", "eval.every=40",
            "eval.batches=0", "checkpoint.every=50", "log.every=20", "train.threads=1", *more]


@pytest.fixture(scope="module")
def trained(work, tokens):
    """A finished run and what it printed, into a pipe."""
    run = work / "run"
    return run, transnormer(*train_arguments(run, tokens)).stdout


@pytest.fixture(scope="module")
def model(trained):
    return trained[0] / "checkpoints/best"


# ---- the program ----

def commands(*path):
    """Every command below `path`, from the help."""
    text = transnormer(*path, "--help").stdout
    below = text.partition("Subcommands:")[2]
    names = re.findall(r"^  ([a-z-]+)", below, re.M)
    yield path
    for name in names:
        yield from commands(*path, name)


def test_every_command_has_help_with_defaults():
    paths = list(commands())
    assert {("train",), ("tokenizer", "decode"), ("bench", "length")} <= set(paths)
    for path in paths:
        text = transnormer(*path, "--help").stdout
        assert "Usage: transnormer" in text and "--help" in text, path


def test_version_names_commit_and_build():
    text = transnormer("--version").stdout
    assert re.match(r"transnormer \d+\.\d+\.\d+ \((commit [0-9a-f]{12}( with changes)?|"
                    r"unknown commit)\)\n", text)
    for word in ("build:", "cuda:", "processor:", "oneDNN", "SentencePiece", "fmt"):
        assert word in text


@pytest.mark.parametrize("arguments, words", [
    ([], "A subcommand is required"),
    (["trian"], "the nearest is train"),
    (["tokenizer", "encod"], "the nearest is encode"),
    (["train", "--resum"], "the nearest is --resume"),
    (["generate", "--prompt", "x"], "--model is required"),
    (["generate", "--model", "m", "--top-k", "few"], "--top-k"),
    (["train", "preset=tiny"], "--run DIR"),
    (["train", "--run", "r", "preset=tiny", "train.steps=1"], "data.train"),
    (["train", "--run", "r", "preset=tinny", "train.steps=1"], "tiny"),
    (["train", "--run", "r", "preset=tiny", "optimiser.lr=1"], "nearest is optimizer.lr"),
    (["train", "--run", "r", "preset=tiny", "model.glu_dimm=1"], "nearest is model.glu_dim"),
    (["train", "--run", "r", "preset=tiny", "train.rows=many"], "train.rows"),
    (["tokenize", "nowhere*.txt", "--tokenizer", "t", "-o", "o"], "nowhere*.txt"),
    (["bench", "decode", "--batch", "0"], "--batch"),
    (["completion", "tcsh"], "tcsh"),
])
def test_wrong_usage_is_2_and_says_what_is_right(arguments, words, tmp_path, tokenizer):
    arguments = [str(tokenizer) if a == "t" else a for a in arguments]
    done = transnormer(*arguments, code=USAGE, cwd=tmp_path)
    assert words in done.stderr and done.stdout == ""
    assert "--help" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, words", [
    (["generate", "--model", "nowhere", "--prompt", "x"], "nowhere"),
    (["eval", "--model", "nowhere", "text.txt"], ""),
    (["tokenizer", "encode", "--tokenizer", "text.txt", "--text", "x"], "text.txt"),
    (["tokenizer", "train", "empty.txt", "-o", "t.model"], "empty"),
    (["tokenize", "text.txt", "--tokenizer", "missing.model", "-o", "o"], "missing.model"),
    (["train", "--run", "r", "--resume", "preset=tiny", "train.steps=1"], "no checkpoint"),
    (["train", "--run", "r", "preset=tiny", "train.steps=1", "data.train=gone"], "gone"),
    (["plot", "nowhere"], "nowhere"),
])
def test_failure_is_1_and_names_what_failed(arguments, words, tmp_path):
    (tmp_path / "text.txt").write_text("In the beginning")
    (tmp_path / "empty.txt").write_text("")
    done = transnormer(*arguments, code=FAILED, cwd=tmp_path)
    assert words in done.stderr and done.stdout == ""
    assert done.stderr.startswith("transnormer " + arguments[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.txt", "text.txt"]


# ---- tokenizer, tokenize ----

def test_encode_and_decode_are_inverse(tokenizer, work, tmp_path):
    text = "And the king went up. Ägypten — 東京\nno piece has these: ☃"
    ids = as_json("tokenizer", "encode", "--tokenizer", tokenizer, "--text", text, "--json")["ids"]
    assert as_json("tokenizer", "decode", "--tokenizer", tokenizer, "--text",
                   " ".join(map(str, ids)), "--json") == {"text": text}
    (tmp_path / "in.txt").write_text(text)
    plain = transnormer("tokenizer", "encode", "--tokenizer", tokenizer, tmp_path / "in.txt").stdout
    assert plain.split() == [str(i) for i in ids]
    pieces = transnormer("tokenizer", "encode", "--tokenizer", tokenizer, "--pieces", "--text",
                         "the king").stdout
    assert pieces.replace(" ", "").strip() == "▁the▁king"


def test_tokenizer_training_is_repeatable(work, tokenizer, tmp_path):
    summary = as_json("tokenizer", "train", work / "train.jsonl", "-o", tmp_path / "again.model",
                      "--vocab-size", 320, "--json")
    assert summary["vocab_size"] == 320
    assert (tmp_path / "again.model").read_bytes() == tokenizer.read_bytes()


def test_tokenize_reads_plain_gz_and_zst_alike(work, tokenizer, tmp_path):
    text = (work / "train.jsonl").read_bytes()
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text))
    shards = []
    for name in ("a.jsonl", "b.jsonl.gz"):
        summary = as_json("tokenize", tmp_path / name, "--tokenizer", tokenizer, "-o",
                          tmp_path / "out", "--json")
        assert summary["documents"] == 140 and summary["val"]["documents"] == 0
        shards.append((tmp_path / "out/train/shard-00000.tnl").read_bytes())
    assert shards[0] == shards[1]


def test_tokenize_keeps_held_out_files_apart(work, tokens):
    summary = json.loads((tokens / "dataset.json").read_text())
    assert summary["train"]["documents"] == 140 and summary["val"]["documents"] == 10
    assert summary["files"] == 2
    held_out = sum(len(json.loads(line)["text"].encode())
                   for line in open(work / "held_out.jsonl"))
    assert summary["val"]["text_bytes"] == held_out
    assert (tokens / "val/shard-00000.tnl").exists()


# ---- train ----

def test_progress_in_a_pipe_is_a_line_every_so_many_steps(trained):
    _, text = trained
    steps = [int(n) for n in re.findall(r"^step +(\d+)/120 .*loss .* tok/s ", text, re.M)]
    assert steps == [20, 40, 60, 80, 100, 120]
    assert "\r" not in text and "\x1b" not in text
    held_out = re.findall(r"^step (\d+): held-out loss .* bits per byte$", text, re.M)
    assert held_out == ["40", "80", "120"]
    assert "transnormer generate --model" in text


def test_progress_on_a_terminal_is_one_live_line(tokens, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BINARY, *map(str, train_arguments(tmp_path / "run", tokens, "eval.every=0"))],
        stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait() == OK
    lines = text.decode().replace("\r\n", "\n").split("\n")
    live = [line.split("\r") for line in lines if "\r" in line]
    assert len(live) == 1 and len(live[0]) > 4  # written over itself again and again
    *_, last, after = live[0]
    assert "step 120/120" in last and "━" in last and "100%" in last
    assert "loss" in last and "tok/s" in last
    assert after.startswith("\x1b[Kstep 120: held-out loss")  # wiped away


def test_metrics_and_result_are_json(trained, tokens):
    run, _ = trained
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    result = as_json(*train_arguments(run, tokens), "--json")  # over already
    assert result["outcome"] == "finished" and result["step"] == 120
    assert result["parameters"] > 0
    assert json.loads((run / "run.json").read_text())["train"]["steps"] == 120


def test_interrupt_saves_and_the_same_command_goes_on(trained, tokens, tmp_path):
    command = train_arguments(tmp_path / "run", tokens, "log.every=1")
    process = subprocess.Popen([BINARY, *map(str, command)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if re.match(r"step +33/", line):
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == OK
    assert "Stopped after" in rest and "To go on:  transnormer train --run" in rest
    text = transnormer(*command).stdout
    assert "Going on from" in text and "Finished: 120 of 120 steps" in text
    last = "checkpoints/step-00000120/model.safetensors"
    assert (tmp_path / "run" / last).read_bytes() == (trained[0] / last).read_bytes()


def test_dry_run_prints_the_plan_and_writes_nothing(tokens, tmp_path):
    text = transnormer(*train_arguments(tmp_path / "run", tokens), "--dry-run").stdout
    for word in ("parameters", "held out", "AdamW moments", "activations", "together"):
        assert word in text
    assert list(tmp_path.iterdir()) == []


def test_profile_says_where_the_time_goes_and_changes_nothing(trained, tokens, tmp_path):
    text = transnormer(*train_arguments(tmp_path / "run", tokens), "--profile", 5).stdout
    table = text.partition("Profile of 5 steps")[2]
    shares = dict(re.findall(r"^  (\S.*?) +[\d.]+ +(-?[\d.]+)% ", table, re.M))
    assert {"gemm", "lightning_forward", "lightning_backward", "adamw"} < shares.keys()
    assert sum(map(float, shares.values())) == pytest.approx(100, abs=2)
    last = "checkpoints/step-00000120/model.safetensors"
    assert (tmp_path / "run" / last).read_bytes() == (trained[0] / last).read_bytes()
    done = transnormer(*train_arguments(tmp_path / "other", tokens), "train.steps=10", "--profile",
                       5, code=USAGE)
    assert "--profile 5: the run has 10 steps left, wanted 13" in done.stderr


def test_config_files_and_overrides(tokens, tmp_path):
    (tmp_path / "c.toml").write_text("preset = 'tiny'\n[train]\nsteps = 2\nrows = 2\nlength = 16\n")
    as_json("train", "--run", tmp_path / "run", "--json", "--config", tmp_path / "c.toml",
            "train.rows=3", f"data.train={tokens}")
    config = json.loads((tmp_path / "run/run.json").read_text())
    assert config["train"]["rows"] == 3 and config["train"]["length"] == 16
    (tmp_path / "bad.json").write_text('{"train": {"stepz": 1}}')
    done = transnormer("train", "--config", tmp_path / "bad.json", "--run", tmp_path / "r", code=USAGE)
    assert "bad.json" in done.stderr and "train.steps" in done.stderr
    done = transnormer(*train_arguments(tmp_path / "run", tokens), code=USAGE)
    assert "the run in" in done.stderr  # it began otherwise


def test_time_budget_becomes_steps(tokens, tmp_path):
    begin = time.monotonic()
    result = as_json("train", "--run", tmp_path / "run", "preset=tiny", f"data.train={tokens}",
                     "train.minutes=10", "train.steps=3", "train.rows=2", "train.length=16",
                     "--json")
    assert result["steps"] == 3  # what ends first
    assert time.monotonic() - begin < 60


# ---- eval, generate ----

def test_eval_agrees_with_itself(model, work):
    total = as_json("eval", "--model", model, work / "held_out.jsonl", "--json", "--per-document")
    assert total["documents"] == 10 == len(total["per_document"])
    assert 0 < total["bits_per_byte"] < 2  # chance is far above
    nats = sum(d["loss_nats_per_token"] * d["tokens"] for d in total["per_document"])
    assert nats == pytest.approx(total["loss_nats_per_token"] * total["tokens"], rel=1e-6)
    text = transnormer("eval", "--model", model, work / "held_out.jsonl").stdout
    assert "bits per byte" in text and "perplexity" in text
    # In windows each token is counted once, after less of what came before.
    windows = as_json("eval", "--model", model, work / "held_out.jsonl", "--json",
                      "--per-document", "--window", "16")
    assert [d["tokens"] for d in windows["per_document"]] == [
        d["tokens"] for d in total["per_document"]]
    assert windows["bytes"] == total["bytes"]
    assert windows["loss_nats_per_token"] > total["loss_nats_per_token"]
    longest = as_json("eval", "--model", model, work / "held_out.jsonl", "--json", "--window",
                      "100000")
    assert longest["loss_nats_per_token"] == total["loss_nats_per_token"]


def test_generate_is_greedy_seeded_and_json(model):
    common = ["generate", "--model", model, "--prompt", "And the king", "--max-new-tokens", 24,
              "--quiet"]
    greedy = transnormer(*common, "--temperature", 0).stdout
    assert transnormer(*common, "--temperature", 0).stdout == greedy
    out = as_json(*common, "--temperature", 0, "--json")
    assert out["results"][0]["text"] + "\n" == greedy
    assert out["results"][0]["finish_reason"] in ("length", "end_token")
    assert out["timings"]["new_tokens"] >= len(out["results"][0]["tokens"])
    seeded = as_json(*common, "--seed", 3, "--n", 3, "--json")["results"]
    assert len(seeded) == 3 and len({r["text"] for r in seeded}) > 1
    assert as_json(*common, "--seed", 3, "--n", 3, "--json")["results"] == seeded


def test_generate_reads_prompts_from_files_and_stdin(model, tmp_path):
    prompts = ["And the king", "And a prophet went"]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))
    out = as_json("generate", "--model", model, "--prompt-file", tmp_path / "p.jsonl", "--json",
                  "--temperature", 0, "--max-new-tokens", 8)["results"]
    assert [r["prompt"] for r in out] == prompts
    for prompt, result in zip(prompts, out):
        done = subprocess.run([BINARY, "generate", "--model", model, "--temperature", "0",
                               "--max-new-tokens", "8"], input=prompt, capture_output=True,
                              text=True, timeout=60)
        assert done.stdout == result["text"] + "\n"  # alone as in the batch
        assert "tokens/s" in done.stderr


def test_generate_stops_at_a_stop_string(model):
    common = ["generate", "--model", model, "--prompt", "And the king", "--max-new-tokens", 40,
              "--temperature", 0, "--json", "--ignore-eos"]
    text = as_json(*common)["results"][0]["text"]
    assert "." in text
    stopped = as_json(*common, "--stop", ".")["results"][0]
    assert stopped["text"] == text[:text.index(".")] and stopped["finish_reason"] == "stop"


def test_streamed_text_is_the_same_and_whole_characters(model):
    common = [BINARY, "generate", "--model", model, "--prompt", "And he dwelt in Ägy", "--quiet",
              "--max-new-tokens", "40", "--seed", "2"]
    plain = subprocess.run([*common, "--no-stream"], capture_output=True, timeout=60).stdout
    process = subprocess.Popen([*common, "--stream"], stdout=subprocess.PIPE)
    streamed = b""
    while piece := os.read(process.stdout.fileno(), 65536):
        piece.decode()  # raises on half a character
        streamed += piece
    assert process.wait() == OK
    assert streamed == plain


# ---- a Transformer beside it ----

@pytest.fixture(scope="module")
def llama(work, tokens):
    """The run of `trained`, but for the preset."""
    run = work / "llama"
    arguments = [a if a != "preset=tiny" else "preset=llama-tiny" for a in
                 train_arguments(run, tokens)]
    return run, as_json(*arguments, "--json")


def test_llama_is_trained_and_evaluated_alike(llama, trained, model, work):
    run, result = llama
    ours = as_json(*train_arguments(trained[0], work / "tokens"), "--json")  # over already
    assert result["tokens"] == ours["tokens"]
    assert abs(result["parameters"] / ours["parameters"] - 1) < 0.005
    best = run / "checkpoints/best"
    config = json.loads((best / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and config["hidden_size"] == 128
    assert result["best_loss"] < 1.5 * ours["best_loss"]
    evaluate = ["eval", work / "held_out.jsonl", "--json", "--model"]
    whole, own = as_json(*evaluate, best), as_json(*evaluate, model)
    # Beyond the length that it was trained on, a Transformer is lost.
    seen = as_json(*evaluate, best, "--window", 64)
    assert whole["tokens"] == own["tokens"] == seen["tokens"]
    assert seen["loss_nats_per_token"] < 0.6 * whole["loss_nats_per_token"]
    done = transnormer(*evaluate, best, "--chunk", 20, code=FAILED)
    assert "a call takes 20" in done.stderr and "llama" in done.stderr


def test_llama_has_no_state_to_generate_from(llama, work):
    best = llama[0] / "checkpoints/best"
    for command in (["generate", "--model", best, "--prompt", "x"],
                    ["bench", "decode", "--preset", "llama-tiny"]):
        done = transnormer(*command, code=FAILED)
        assert "model_type is llama" in done.stderr and "transnormer" in done.stderr
    done = transnormer("train", "--run", work / "pieces", "preset=llama-tiny", "train.steps=1",
                       "data.train=gone", "data.reset=false", "train.pieces=2", code=USAGE)
    assert "train.pieces = 2" in done.stderr and "model_type is llama" in done.stderr
    done = transnormer("train", "--run", work / "gate", "preset=llama-tiny", "train.steps=1",
                       "model.gate_dim=16", code=USAGE)
    assert "gate_dim is 16" in done.stderr and "llama" in done.stderr


def test_inspect_tells_of_llama(llama):
    text = transnormer("inspect", llama[0] / "checkpoints/best").stdout
    assert "LLaMA with" in text and "state       none" in text and "self_attn.q_proj" in text
    assert "num_key_value_heads" in text and "decay_law" not in text
    out = as_json("inspect", "llama-tiny", "--json")
    assert out["variant"] == "LLaMA" and out["state_bytes_per_sequence"] == 0


def test_plot_of_two_runs_names_both(llama, trained, tmp_path):
    text = transnormer("plot", trained[0], llama[0], "--name", "TNL", "--name", "LLaMA", "--x",
                       "tokens", "-o", tmp_path / "both.svg").stdout
    assert "points of 2 runs" in text
    assert (tmp_path / "both.svg").stat().st_size > 1000
    done = transnormer("plot", trained[0], llama[0], "--name", "TNL", "-o", tmp_path / "x.svg",
                       code=USAGE)
    assert "1 names for 2 runs" in done.stderr


def test_benches_take_llama_presets(tmp_path):
    out = as_json("bench", "train", "--preset", "llama-tiny", "--batch", 2, "--length", 32,
                  "--steps", 1, "--warmup", 1, "--format", "json")
    assert out["attention_share"] > 0 and out["attention"].startswith("cpu")
    longer = as_json("bench", "train", "--preset", "llama-tiny", "--batch", 2, "--length", 64,
                     "--steps", 1, "--warmup", 1, "--format", "json")
    # 12 D a head and token seen, of which there are (length + 1) / 2: 3 layers, 128 wide
    assert (longer["model_flops_per_token"] - out["model_flops_per_token"]
            == pytest.approx(12 * 3 * 128 * 16))
    out = as_json("bench", "length", "--preset", "llama-tiny", "--lengths", "128,16",
                  "--step-tokens", "64", "--longest-step", "64", "--rounds", 1, "--format", "json",
                  "--plot", tmp_path / "speed.svg")
    assert [row["length"] for row in out["rows"]] == [16, 128]
    for row in out["rows"]:  # trained alone, on whole sequences
        assert row["train_tokens_per_second"] > 0 and "decode_tokens_per_second" not in row
        assert row["train_model_teraflops_per_second"] > 0


# ---- plot, bench ----

def test_plot_draws_svg_and_png(trained, tmp_path):
    run, _ = trained
    for name in ("loss.svg", "loss.png"):
        assert "points of 1 run" in transnormer("plot", run, "-o", tmp_path / name).stdout
    root = xml.etree.ElementTree.parse(tmp_path / "loss.svg").getroot()
    assert root.tag.endswith("svg")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    done = transnormer("plot", run, "--y", "los", "-o", tmp_path / "x.svg", code=FAILED)
    assert '"loss"' in done.stderr and not (tmp_path / "x.svg").exists()
    transnormer("plot", run, "-o", tmp_path / "loss.gif", code=USAGE)


def test_bench_length_measures_and_draws(tmp_path):
    out = as_json("bench", "length", "--preset", "tiny", "--lengths", "128,16", "--step-tokens",
                  "64", "--longest-step", "64", "--decode-tokens", "4", "--rounds", 1, "--format",
                  "json", "--plot", tmp_path / "speed.svg")
    assert [row["length"] for row in out["rows"]] == [16, 128]
    for row in out["rows"]:  # the longer one in two pieces, the state passed on
        assert row["train_tokens_per_second"] > 0
    assert all(row["prefill_tokens_per_second"] > 0 and row["decode_tokens_per_second"] > 0
               for row in out["rows"])
    assert xml.etree.ElementTree.parse(tmp_path / "speed.svg").getroot().tag.endswith("svg")


def test_bench_length_trains_a_transformer_beside(tmp_path):
    report = as_json("bench", "length", "--preset", "tiny", "--beside", "llama-tiny",
                     "--train-only", "--lengths", "64,256", "--step-tokens", 256, "--rounds", 1,
                     "--plot", tmp_path / "train.svg", "--format", "json")
    assert [row["length"] for row in report["rows"]] == [64, 256]
    assert all(row["beside_train_tokens_per_second"] > 0 for row in report["rows"])
    assert "prefill_tokens_per_second" not in report["rows"][0]
    assert (tmp_path / "train.svg").stat().st_size > 1000


def test_bench_lightning_measures_shapes(tmp_path):
    out = as_json("bench", "lightning", "--shapes", "2,64,2,16", "1,100,1,16,32", "--format",
                  "json", "--csv", tmp_path / "shapes.csv")
    assert [(row["pass"], row["T"], row["E"]) for row in out["rows"]] == [
        ("forward", 64, 16), ("backward", 64, 16), ("forward", 100, 32), ("backward", 100, 32)]
    for row in out["rows"]:
        moved = row["gigabytes_per_second"] * row["microseconds"] * 1e3
        D, E = row["D"], row["E"]
        width = 2 * (D + E) if row["pass"] == "forward" else 4 * D + 3 * E
        assert moved == pytest.approx(row["B"] * row["H"] * row["T"] * width * 4)
        assert row["fraction_of_copy"] == pytest.approx(
            row["gigabytes_per_second"] / out["copy_gigabytes_per_second"])
        assert row["plan"].startswith("cpu: ")
    assert len((tmp_path / "shapes.csv").read_text().splitlines()) == 5
    for wrong in ("1,2,3", "1,2,3,x", "0,2,3,4", "1,2,3,4,", "1,2,3,4,5,6"):
        assert "B,T,H,D" in transnormer("bench", "lightning", "--shapes", wrong, code=USAGE).stderr


def test_bench_lightning_is_flat_and_exact_enough(tmp_path):
    out = as_json("bench", "lightning", "--flat", "--tokens", "2048", "--heads", "1", "--dim", "16",
                  "--format", "json", "--plot", tmp_path / "flat.svg")
    assert [(row["length"], row["sequences"]) for row in out["rows"]] == [(1024, 2), (2048, 1)]
    assert out["forward_largest_deviation_from_median"] >= 0
    assert xml.etree.ElementTree.parse(tmp_path / "flat.svg").getroot().tag.endswith("svg")
    out = as_json("bench", "lightning", "--accuracy", "--lengths", "300", "--dim", "16", "--format",
                  "json")
    assert len(out["rows"]) == 12  # six rates, two measures
    for row in out["rows"]:
        for tensor in ("o", "dq", "dk", "dv"):  # rounded to bf16 at the end
            assert 1e-4 < row[tensor] < 2e-2 and row[f"{tensor}_of_plain"] < 2


# ---- completion ----

def complete(line, directory):
    """What bash offers after `line`."""
    script = f"""
        source <({BINARY} completion bash)
        COMP_LINE={json.dumps(line)}
        read -ra COMP_WORDS <<<"$COMP_LINE"
        [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        [ "$(complete -p transnormer)" = 'complete -F _transnormer transnormer' ] || exit 3
        _transnormer transnormer "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True,
                          cwd=directory, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_and_options(tmp_path):
    assert {"train", "generate", "tokenizer", "completion"} <= set(complete("transnormer ", tmp_path))
    assert complete("transnormer tr", tmp_path) == ["train"]
    assert complete("transnormer tokenizer ", tmp_path) == ["train", "report", "encode", "decode"]
    assert complete("transnormer tokenizer de", tmp_path) == ["decode"]
    assert complete("transnormer generate --temp", tmp_path) == ["--temperature"]
    assert "--vocab-size" in complete("transnormer tokenizer train --v", tmp_path)
    assert complete("transnormer train --ru", tmp_path) == ["--run"]


def test_bash_leaves_files_to_the_shell(tmp_path):
    """Typed into an interactive bash, Tab completes a file where no command is wanted."""
    (tmp_path / "chapters.jsonl").write_text("")
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs,
                             stderr=theirs, cwd=tmp_path, start_new_session=True,
                             env={**os.environ, "PS1": "> ", "TERM": "dumb",
                                  "PATH": f"{Path(BINARY).parent}:{os.environ['PATH']}"})
    os.close(theirs)

    def until(words):
        text, end = b"", time.monotonic() + 20
        while words not in text:
            assert select.select([ours], [], [], max(0, end - time.monotonic()))[0], text
            text += os.read(ours, 4096)

    try:
        os.write(ours, b"source <(transnormer completion bash); echo rea''dy\n")
        until(b"\r\nready")
        os.write(ours, b"transnormer tokenize chap\t--tok\tx")
        until(b"transnormer tokenize chapters.jsonl --tokenizer x")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(shell):
    text = transnormer("completion", shell).stdout
    assert "tokenizer" in text and "temperature" in text
