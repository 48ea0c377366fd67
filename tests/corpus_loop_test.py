"""The stages of a corpus that turn on a model, from end to end: scores that are eval's, the same bytes for any
number of tasks and after kill -9, thresholds, grades, mixing, the report, and recipes with training in them."""

import hashlib
import json
import math
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
OK, FAILED, USAGE = 0, 1, 2
SMALL = ["preset=tiny"]


def run(*arguments, code=OK, **options):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def lines_of(path):
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line) for line in text.decode().splitlines()]


def outputs(out):
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*"))
            if p.is_file() and p.relative_to(out).parts[0] not in ("manifest", "leases", "scratch")}


WORDS = ("the of and to in a is that for it as was with be by on not he his but at are this have from or had an "
         "they which one you were all her she there would their we him been has when who will no more if out so").split()


def sentence(draw, n):
    return " ".join(draw.choice(WORDS) for _ in range(n)).capitalize() + "."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three files; every fifth document is letters at random, which a model finds improbable."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(7)
    for number in range(3):
        with open(root / f"{number}.jsonl", "w", encoding="utf-8") as out:
            for i in range(60):
                text = " ".join(sentence(draw, draw.randint(4, 12)) for _ in range(draw.randint(1, 12)))
                if i % 5 == 4:
                    text = "".join(draw.choice("qxzjkvwybg#@%&") for _ in range(draw.randint(40, 400)))
                out.write(json.dumps({"id": f"{number}-{i}", "language": "de" if i % 3 else "en", "text": text,
                                      "meta": {"kind": "noise" if i % 5 == 4 else "words"}}) + "\n")
    return root


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    run("tokenizer", "train", corpus / "0.jsonl", "-o", root / "tokenizer.model", "--vocab-size", "320")
    run("tokenize", corpus / "0.jsonl", corpus / "1.jsonl", "--tokenizer", root / "tokenizer.model", "-o", root / "data")
    run("train", "--run", root / "run", *SMALL, f"data.train={root}/data", "train.steps=300",
        "train.rows=4", "train.length=64", "train.threads=1", "optimizer.lr=5e-3", "eval.every=0", "train.device=cpu")
    return root / "run/checkpoints/latest"


@pytest.fixture(scope="module")
def scored(corpus, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored")
    run("corpus", "score", *sorted(corpus.iterdir()), "-o", out, "--model", model, "--device", "cpu", "--threads", 1,
        "--chunk", 128, "--category-field", "meta.kind")
    return out


def test_scores_are_those_of_eval(corpus, model, scored):
    alone = json.loads(run("eval", "--model", model, corpus / "1.jsonl", "--per-document", "--json", "--device", "cpu",
                           "--chunk", 77, "--threads", 1).stdout)["per_document"]
    scores = lines_of(scored / "scores/1.jsonl.zst")
    records = [json.loads(line) for line in (corpus / "1.jsonl").read_text().splitlines()]
    assert [s["id"] for s in scores] == [r["id"] for r in records]
    assert [s["index"] for s in scores] == list(range(60))
    for score, one, record in zip(scores, alone, records):
        assert (score["tokens"], score["bytes"]) == (one["tokens"], one["bytes"])
        # Other calls, other neighbours: f32 sums in another order.
        assert score["nll"] == pytest.approx(one["loss_nats_per_token"] * one["tokens"], rel=1e-4)
        assert score["perplexity"] == pytest.approx(math.exp(score["nll"] / score["tokens"]), rel=1e-5)
        assert score["bits_per_byte"] == pytest.approx(one["bits_per_byte"], rel=1e-4)
        assert (score["language"], score["category"]) == (record["language"], record["meta"]["kind"])
    stats = json.loads((scored / "stats.json").read_text())
    assert stats["counts"]["documents"] == 180
    assert stats["counts"]["category"]["noise"]["documents"] == 36
    assert len(stats["made_by"]["weights"]) >= 16


def test_scores_are_the_same_for_any_tasks_and_after_kill(corpus, model, scored, tmp_path):
    inputs = sorted(corpus.iterdir())
    command = [BINARY, "corpus", "score", *map(str, inputs), "-o", str(tmp_path), "--model", str(model), "--device",
               "cpu", "--threads", "1", "--chunk", "128", "--category-field", "meta.kind"]
    for delay in (0.02, 0.05, 0.1, 0.2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    tasks = [subprocess.Popen([*command, "--task", str(i), "--world", "2"], stdout=subprocess.DEVNULL) for i in range(2)]
    assert [t.wait() for t in tasks] == [OK, OK]
    run(*command[1:])
    mine, theirs = outputs(tmp_path), outputs(scored)
    assert mine == theirs
    assert "3 of 3 inputs" not in run(*command[1:]).stdout  # all were done before


def select(corpus, scored, out, *options, code=OK):
    return run("corpus", "select", *sorted(corpus.iterdir()), "-o", out, "--scores", scored, *options, code=code)


def test_select_drops_what_is_improbable(corpus, scored, tmp_path):
    select(corpus, scored, tmp_path, "--keep", 0.8)
    kept = [r for n in range(3) for r in lines_of(tmp_path / f"kept/{n}.jsonl.zst")]
    dropped = [r for n in range(3) for r in lines_of(tmp_path / f"dropped/{n}.jsonl.zst")]
    assert len(kept) == 144 and len(dropped) == 36
    assert {r["meta"]["kind"] for r in kept} == {"words"}  # exactly the noise goes
    original = (corpus / "2.jsonl").read_text().splitlines()
    assert all(json.dumps(r) in original for r in lines_of(tmp_path / "kept/2.jsonl.zst"))
    high = json.loads((tmp_path / "thresholds.json").read_text())["all"]["high"]
    scores = {s["id"]: s["perplexity"] for n in range(3) for s in lines_of(scored / f"scores/{n}.jsonl.zst")}
    for r in dropped:
        assert (r["step"], r["rule"], r["threshold"]) == ("select", "perplexity_high", high)
        assert r["value"] == scores[r["id"]] > high
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["counts"]["before"]["documents"] == 180 and stats["counts"]["after"]["documents"] == 144
    assert stats["made_by"] == json.loads((scored / "stats.json").read_text())["made_by"]


def test_select_by_group_and_by_file(corpus, scored, tmp_path):
    select(corpus, scored, tmp_path / "a", "--low", 0.1, "--high", 0.9, "--per", "language,category")
    thresholds = json.loads((tmp_path / "a/thresholds.json").read_text())
    assert len(thresholds["groups"]) == 4
    scores = [s for n in range(3) for s in lines_of(scored / f"scores/{n}.jsonl.zst")]
    for group in thresholds["groups"]:
        values = sorted(s["perplexity"] for s in scores
                        if (s["language"], s["category"]) == (group["language"], group["category"]))
        assert group["documents"] == len(values)
        assert group["low"] == values[round(0.1 * len(values) + 1e-9)]
        assert group["high"] == values[round(0.9 * len(values) + 1e-9) - 1]
    select(corpus, scored, tmp_path / "b", "--thresholds", tmp_path / "a/thresholds.json")
    same = [{k: v for k, v in outputs(tmp_path / x).items() if k.startswith("kept")} for x in "ab"]
    assert same[0] == same[1]


def test_select_says_what_is_wrong(corpus, scored, tmp_path):
    assert "--low 0.5 and --keep 0.9 are more than 1" in select(corpus, scored, tmp_path, "--low", 0.5, "--keep", 0.9,
                                                                 code=USAGE).stderr
    assert "stats.json: is not there" in select(corpus, tmp_path / "none", tmp_path, code=FAILED).stderr
    other = tmp_path / "other"
    other.mkdir()
    for n in range(3):
        (other / f"{n}.jsonl").write_text((corpus / f"{n}.jsonl").read_text().replace('"id": "2-7"', '"id": "x"'))
    assert "says document 7 is '2-7'" in select(other, scored, tmp_path / "out", code=FAILED).stderr


def test_grades_become_thresholds(corpus, scored, tmp_path):
    run("corpus", "grade", "sample", *sorted(corpus.iterdir()), "-o", tmp_path, "--scores", scored, "--documents", 60,
        "--strata", 6)
    sample = json.loads((tmp_path / "sample.json").read_text())
    assert len(sample["documents"]) == 60
    assert sum(d["weight"] for d in sample["documents"]) == pytest.approx(180)
    texts = {r["id"]: r["text"] for n in range(3) for r in map(json.loads, (corpus / f"{n}.jsonl").read_text().splitlines())}
    assert all(d["text"] == texts[d["id"]] for d in sample["documents"])
    page = (tmp_path / "grade.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert "value" not in data["documents"][0] and data["sample"] == sample["sample"]
    assert "http" not in page.replace("http://www.w3.org", "")  # works offline
    for name, wrong in (("ann", 0), ("bo", 6)):
        grades = {d["key"]: {"grade": "bad" if (d["category"] == "noise") != (i < wrong) else "good"}
                  for i, d in enumerate(sample["documents"])}
        (tmp_path / f"{name}.json").write_text(json.dumps({"sample": sample["sample"], "grader": name, "grades": grades}))
    report = json.loads(run("corpus", "grade", "read", tmp_path / "sample.json", tmp_path / "ann.json", "--json",
                            "--precision", 0.95, "-o", tmp_path / "thresholds.json").stdout)
    assert report["suggested"][0]["recall"] == 1 and report["suggested"][0]["precision"] >= 0.95
    two = json.loads(run("corpus", "grade", "read", tmp_path / "sample.json", tmp_path / "ann.json", tmp_path / "bo.json",
                         "--json").stdout)
    assert two["agreement"][0]["share"] == pytest.approx(0.9)
    select(corpus, scored, tmp_path / "out", "--thresholds", tmp_path / "thresholds.json")
    kinds = [r["meta"]["kind"] for n in range(3) for r in lines_of(tmp_path / f"out/kept/{n}.jsonl.zst")]
    assert kinds.count("noise") <= 0.06 * len(kinds) and kinds.count("words") > 130


def test_mix_is_weighted_shuffled_and_the_same(corpus, tmp_path):
    inputs = sorted(corpus.iterdir())
    options = ["--by", "meta.kind", "--epochs", "noise=0.5", "--epochs", "words=2.25", "--part-bytes", "20K"]
    run("corpus", "mix", *inputs, "-o", tmp_path / "a", *options)
    run("corpus", "mix", *inputs, "-o", tmp_path / "b", *options, "--threads", 1, "--memory", "256M")
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b")
    parts = sorted((tmp_path / "a/mixed").iterdir())
    assert len(parts) > 3
    mixed = [r for p in parts for r in lines_of(p)]
    times = {}
    for r in mixed:
        times[r["id"]] = times.get(r["id"], 0) + 1
    records = [r for p in inputs for r in map(json.loads, p.read_text().splitlines())]
    words = [times.get(r["id"], 0) for r in records if r["meta"]["kind"] == "words"]
    noise = [times.get(r["id"], 0) for r in records if r["meta"]["kind"] == "noise"]
    assert set(words) == {2, 3} and 2.1 < sum(words) / len(words) < 2.4
    assert set(noise) == {0, 1}
    place = [records.index(r) for r in mixed]
    rises = sum(a < b for a, b in zip(place, place[1:]))
    assert 0.4 < rises / len(place) < 0.6  # no order is left
    before = outputs(tmp_path / "a")
    run("corpus", "mix", *inputs, "-o", tmp_path / "a", *options)
    assert outputs(tmp_path / "a") == before and not (tmp_path / "a/scattered").exists()
    wrong = run("corpus", "mix", *inputs, "-o", tmp_path / "c", "--by", "meta.kind", "--epochs", "nois=1", code=USAGE)
    assert "names 'nois', which no document has; there are: noise, words" in wrong.stderr


def test_mix_counts_and_writes_tokens(corpus, model, tmp_path):
    inputs, tokenizer = sorted(corpus.iterdir()), model / "tokenizer.model"
    options = ["--by", "meta.kind", "--tokenizer", tokenizer, "--unit", "tokens", "--target", 60000, "--weight", "words=9",
               "--weight", "noise=1", "--threads", 1]
    made = json.loads(run("corpus", "mix", *inputs, "-o", tmp_path / "a", *options, "--val-fraction", 0.1, "--json").stdout)
    sizes = {g["name"]: g for g in made["groups"]}
    whole = json.loads(run("tokenize", *inputs, "--tokenizer", tokenizer, "-o", tmp_path / "whole", "--json").stdout)
    assert sum(g["tokens"] for g in sizes.values()) == whole["tokens"]
    for name, share in (("words", 0.9), ("noise", 0.1)):
        assert sizes[name]["epochs"] * sizes[name]["tokens"] == pytest.approx(share * 60000)
    assert made["tokens"] == pytest.approx(60000, rel=0.15)  # documents are drawn by lot
    parts = sorted((tmp_path / "a/mixed").iterdir())
    alone = json.loads(run("tokenize", *parts, "--tokenizer", tokenizer, "-o", tmp_path / "alone", "--val-fraction", 0.1,
                           "--json").stdout)
    assert alone["tokens"] == made["tokens"] and alone["val"]["tokens"] > 0
    for split in ("train", "val"):
        assert [p.read_bytes() for p in sorted((tmp_path / "alone" / split).iterdir())] == \
               [p.read_bytes() for p in sorted((tmp_path / "a/tokens" / split).iterdir())]
    run("train", "--run", tmp_path / "run", *SMALL, f"data.train={tmp_path}/a/tokens", "train.steps=1", "train.rows=2",
        "train.length=32", "train.device=cpu", "eval.every=0")
    assert (tmp_path / "run/checkpoints/latest/tokenizer.model").read_bytes() == tokenizer.read_bytes()
    before = outputs(tmp_path / "a")
    run("corpus", "mix", *inputs, "-o", tmp_path / "a", *options, "--val-fraction", 0.1)
    assert outputs(tmp_path / "a") == before
    run("corpus", "mix", *inputs, "-o", tmp_path / "a", "--by", "meta.kind")
    assert not (tmp_path / "a/tokens").exists()  # they would be those of another mixture
    wrong = run("corpus", "mix", *inputs, "-o", tmp_path / "b", "--unit", "tokens", "--target", 100, code=USAGE)
    assert "--unit tokens without --tokenizer" in wrong.stderr


RECIPE = """
output = "out"
[common]
threads = 1

[[stage]]
name = "unique"
command = "corpus dedup"
inputs = ["*.jsonl"]

[[stage]]
name = "tokenizer"
command = "tokenizer train"
from = "unique"
output = "tokenizer.model"
vocab_size = 320

[[stage]]
name = "loop"
from = "unique"
rounds = 2
  [[stage.stage]]
  name = "tokens"
  command = "tokenize"
  from = "loop"
  tokenizer = "{tokenizer}/tokenizer.model"
  [[stage.stage]]
  name = "model"
  command = "train"
  preset = "tiny"
  data.train = "{tokens}"
  train.steps = 20
  train.rows = 2
  train.length = 64
  train.device = "cpu"
  train.threads = 1
  eval.every = 0
  checkpoint.every = 5
  [[stage.stage]]
  name = "scores"
  command = "corpus score"
  from = "loop"
  model = "{model}/checkpoints/latest"
  device = "cpu"
  [[stage.stage]]
  name = "chosen"
  command = "corpus select"
  from = "loop"
  scores = "{scores}"
  keep = 0.9

[[stage]]
name = "mix"
command = "corpus mix"
from = "loop"
by = "language"
epochs = {en = 2}

[[stage]]
name = "report"
command = "corpus report"
inputs = ["{unique}", "{loop-1/chosen}", "{loop}"]
"""


def documents(out):
    """What a recipe makes, but for what says when and how fast."""
    return {name: digest for name, digest in outputs(out).items()
            if "/manifest/" not in name
            and name.endswith((".zst", ".tnl", "thresholds.json", "model.safetensors", "tokenizer.model"))}


def copy_recipe(corpus, folder):
    folder.mkdir()
    for path in corpus.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def test_recipe_goes_on_after_kill(corpus, tmp_path):
    whole, killed = copy_recipe(corpus, tmp_path / "whole"), copy_recipe(corpus, tmp_path / "killed")
    planned = run("corpus", "run", whole / "recipe.toml", "--dry-run").stdout
    assert "[1/12] unique: transnormer corpus dedup" in planned and not (whole / "out").exists()
    run("corpus", "run", whole / "recipe.toml")
    page = (whole / "out/report/report.html").read_text()
    assert json.loads(page.split('id="data">')[1].split("</script>")[0])["stages"][0]["name"] == "unique"
    draw = random.Random(1)
    for _ in range(8):
        process = subprocess.Popen([BINARY, "corpus", "run", str(killed / "recipe.toml")], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.05, 0.9))
        process.send_signal(signal.SIGKILL)
        process.wait()
    run("corpus", "run", killed / "recipe.toml")
    mine, theirs = documents(killed / "out"), documents(whole / "out")
    assert len(theirs) > 12 and mine == theirs
    again = run("corpus", "run", killed / "recipe.toml").stdout
    assert again.count("done before") == 12
    # Another keep rate makes anew what depends on it, and nothing else.
    (whole / "recipe.toml").write_text(RECIPE.replace("keep = 0.9", "keep = 0.8"))
    again = run("corpus", "run", whole / "recipe.toml").stdout
    assert "loop-1/scores: done before" in again and "loop-1/chosen: done before" not in again


@pytest.mark.parametrize("change, message", [
    (('rounds = 2', 'rounds = 0'), "recipe.toml: stage 'loop': rounds is 0, wanted a whole number, 1 to 100"),
    (('keep = 0.9', 'kep = 0.9'), "stage 'chosen' (loop-1): unknown field 'kep'; the nearest is keep"),
    (('keep = 0.9', 'keep = 1.9'), "stage 'chosen' (loop-1): keep: Value 1.9 not in range"),
    (('{scores}', '{score}'), "stage 'chosen': scores names the stage 'score', which is not before it"),
    (('command = "corpus dedup"', 'command = "corpus dedupe"'), "stage 'unique': command: unknown 'dedupe'; the nearest is dedup"),
    (('inputs = ["*.jsonl"]', ''), "stage 'unique': has no from or inputs, wanted one"),
    (('threads = 1', 'treads = 1'), "recipe.toml: [common]: unknown field 'treads', which is no option of any stage's command; "
     "the nearest is threads"),
])
def test_recipe_says_what_is_wrong(corpus, tmp_path, change, message):
    folder = copy_recipe(corpus, tmp_path / "recipe")
    assert change[0] in RECIPE
    (folder / "recipe.toml").write_text(RECIPE.replace(*change))
    assert message in run("corpus", "run", folder / "recipe.toml", code=USAGE).stderr
    assert not (folder / "out").exists()


def test_report_shows_every_stage(corpus, scored, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in corpus.iterdir():
        lines = path.read_text().splitlines()
        (copies / path.name).write_text("\n".join(lines + lines[:20]) + "\n")
    run("corpus", "filter", *sorted(copies.iterdir()), "-o", tmp_path / "rules", "--set", 'steps=["gopher_quality"]',
        "--set", "gopher_quality.min_doc_words=1")
    run("corpus", "dedup", *sorted(copies.iterdir()), "-o", tmp_path / "unique")
    select(corpus, scored, tmp_path / "chosen", "--keep", 0.8)
    stages = [tmp_path / name for name in ("rules", "unique", "chosen")]
    data = json.loads(run("corpus", "report", *stages, "--json").stdout)
    rules, unique, chosen = data["stages"]
    assert rules["documents"] == 240 and sum(d["documents"] for d in rules["dropped"]) == 240 - rules["kept_documents"]
    assert unique["dropped"] == [{"rule": "minhash", "documents": 240 - unique["kept_documents"],
                                  "bytes": unique["bytes"] - unique["kept_bytes"]}]
    assert chosen["kept_documents"] == 144
    assert data["clusters"][0]["clusters"] > 0
    example = data["clusters"][0]["examples"][0]
    assert example["documents"][0]["text"] == example["documents"][1]["text"]
    histogram = data["histograms"][0]
    assert sum(histogram["before"].values()) == 180 and sum(histogram["after"].values()) == 144
    languages = next(t for t in data["tables"] if t["group"] == "language")
    assert sum(r["documents"] for r in languages["rows"]) == 180
    run("corpus", "report", *stages, "-o", tmp_path / "report.html")
    assert Path(tmp_path / "report.html").stat().st_size > 15000
    assert "has no stats.json" in run("corpus", "report", tmp_path, code=FAILED).stderr
