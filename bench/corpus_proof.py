#!/usr/bin/env python3
"""Does cleaning pay? One model, trained on a dirty corpus, on what rules and deduplication leave of it, and on what a
small model that was trained on that finds worth keeping; its loss on clean texts that none of the three has.

    python bench/corpus_proof.py --prepare --work DIR --raw 'raw/*.jsonl' --held wikitext=wikitext-2.valid.txt
    python bench/corpus_proof.py --train --work DIR --device cuda
    python bench/corpus_proof.py --report --work DIR

Raw documents are records of any source (of bench/debian_corpus.py --dirty, say). Rules are FineWeb's but for one bound: of
words 65 % must have a letter, not 80 %, which Gopher's authors asked of what is between spaces, and here punctuation
counts as words. All that is done to them is done by
`transnormer corpus run` with recipes that this script writes, and that stay in DIR.

--prepare (CPU): clean.toml: rules and deduplication. Of the documents that stay, a share is set aside: those that have no
12 words in a row in common with the rest are held out. versions.toml: from the raw corpus and from the cleaned one goes
every document that has 12 words in a row of any held-out text, and a tokenizer is trained on what is left of the cleaned
one. DIR/prepared has all that training needs; --pack FILE.tar writes it as one file.

--train (CPU or GPU, wants DIR/prepared alone): train.toml: tokens of the raw and the cleaned corpus, a small model of
the cleaned one, its scores, the documents between two quantiles of perplexity, their tokens, and then for every seed the
three models, which differ in their tokens alone. What is done is not done again. Then each model's loss on each held-out
text.

--report: the table, and the curves as a picture. --smoke makes all of it small: minutes on two cores.
"""

import argparse
import glob
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = {"raw": "raw", "rules": "rules and deduplication", "self": "and chosen by a model"}
SIZES = {
    "full": {"vocab": 16384, "preset": "25M", "rows": 16, "length": 1024, "steps": 2400, "lr": 4e-3, "dtype": "bf16",
             "scorer_preset": "25M", "scorer_steps": 600, "held_share": 0.1, "raw_share": 1.0, "eval_every": 200,
             "most_documents": 0},
    "smoke": {"vocab": 2048, "preset": "2M", "rows": 8, "length": 256, "steps": 200, "lr": 4e-3, "dtype": "f32",
              "scorer_preset": "2M", "scorer_steps": 100, "held_share": 0.2, "raw_share": 0.04, "eval_every": 50,
              "most_documents": 8},
}

CLEAN = """output = "clean"

[[stage]]
name = "rules"
command = "corpus filter"
inputs = {inputs}
rules = "fineweb"
set = ["gopher_quality.max_non_alpha_words_ratio=0.65"]
bad_record = "skip"

[[stage]]
name = "unique"
command = "corpus dedup"
from = "rules"
"""

VERSIONS_RECIPE = """output = "versions"

[[stage]]
name = "held"
command = "corpus filter"
inputs = ["candidates.jsonl"]
set = ['steps=["decontaminate"]', 'decontaminate.files=["rest.jsonl"]']

[[stage]]
name = "raw"
command = "corpus filter"
inputs = {inputs}
set = ['steps=["decontaminate"]', 'decontaminate.files={held}']

[[stage]]
name = "rules"
command = "corpus filter"
inputs = ["unique.jsonl"]
set = ['steps=["decontaminate"]', 'decontaminate.files={held}']

[[stage]]
name = "tokenizer"
command = "tokenizer train"
from = "rules"
output = "tokenizer.model"
vocab_size = {vocab}
"""

TOKENS = """
[[stage]]
name = "tokens-{name}"
command = "tokenize"
{documents}
tokenizer = "prepared/tokenizer.model"
val = ["prepared/held/cleaned.jsonl.zst"]
"""

MODEL = """
[[stage]]
name = "{name}"
command = "train"
preset = "{preset}"
data.train = "{{tokens-{tokens}}}"
optimizer.lr = {lr}
train.steps = {steps}
train.rows = {rows}
train.length = {length}
train.dtype = "{dtype}"
train.device = "{device}"
train.seed = {seed}
eval.every = {eval_every}
checkpoint.every = {eval_every}
checkpoint.keep = 1
checkpoint.keep_best = false
log.tensorboard = false
"""

CHOICE = """
[[stage]]
name = "scores"
command = "corpus score"
inputs = ["prepared/rules.jsonl.zst"]
model = "{{scorer}}/checkpoints/latest"
device = "{device}"
dtype = "{dtype}"

[[stage]]
name = "chosen"
command = "corpus select"
inputs = ["prepared/rules.jsonl.zst"]
scores = "{{scores}}"
low = {low}
keep = {keep}
"""


def run(program, *arguments):
    print("+", program, *arguments, flush=True)
    subprocess.run([program, *map(str, arguments)], check=True)


def lines_of(paths):
    for path in paths:
        if str(path).endswith(".zst"):
            text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout.decode()
        else:
            text = Path(path).read_text(encoding="utf-8")
        yield from (line for line in text.split("\n") if line)


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        count = size = 0
        for line in lines:
            out.write(line + "\n")
            count, size = count + 1, size + len(json.loads(line)["text"].encode())
    return {"documents": count, "bytes": size}


def share_of(line, salt):
    """A number from 0 to 1 that depends on a document's text alone."""
    text = salt + json.loads(line)["text"]
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def articles(path):
    """The articles of a file of WikiText, or any other file as one document."""
    if str(path).endswith((".jsonl", ".zst")):
        yield from lines_of([path])
        return
    title, parts = path.name, [[]]
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith(" = ") and not line.startswith(" = = "):
            parts.append([])
        parts[-1].append(line)
    for number, part in enumerate("\n".join(part).strip() for part in parts):
        if part:
            yield json.dumps({"id": f"{title}-{number}", "text": part}, ensure_ascii=False)


def prepare(o, size_name):
    size = SIZES[size_name]
    work, prepared = o.work, o.work / "prepared"
    counts = {}
    raw = sorted(path for pattern in o.raw for path in glob.glob(pattern))
    if not raw:
        sys.exit(f"--raw {' '.join(o.raw)}: no such files, wanted .jsonl of documents")
    share = o.share or size["raw_share"]
    inputs = [str(Path(path).resolve()) for path in raw] if share >= 1 else []
    for path in raw if share < 1 else []:
        inputs.append(str(Path("raw") / (Path(path).name.split(".")[0] + ".jsonl")))
        if not (work / inputs[-1]).exists():
            write_lines(work / inputs[-1], (l for l in lines_of([path]) if share_of(l, "raw") < share))
    (work / "clean.toml").write_text(CLEAN.format(inputs=json.dumps(inputs)))
    run(o.program, "corpus", "run", work / "clean.toml")
    unique = list(lines_of(sorted((work / "clean/unique/kept").glob("*.zst"))))
    counts["rules and deduplication"] = write_lines(work / "unique.jsonl", unique)
    write_lines(work / "candidates.jsonl", (l for l in unique if share_of(l, "held") < size["held_share"]))
    write_lines(work / "rest.jsonl", (l for l in unique if share_of(l, "held") >= size["held_share"]))
    held = []
    for name, path in o.held:
        held.append(f"held/{name}.jsonl")
        counts[f"held: {name}"] = write_lines(work / held[-1], articles(path))
    held.append("versions/held/kept/candidates.jsonl.zst")
    (work / "versions.toml").write_text(VERSIONS_RECIPE.format(
        inputs=json.dumps(inputs), held=json.dumps(held), vocab=size["vocab"]))
    run(o.program, "corpus", "run", work / "versions.toml")
    read = json.loads((work / "clean/rules/stats.json").read_text())["counts"]
    counts["raw"] = {"documents": read["documents"], "bytes": read["bytes"]}
    left = json.loads((work / "versions/raw/stats.json").read_text())["counts"]
    counts["raw, without held-out texts"] = {"documents": left["kept_documents"], "bytes": left["kept_bytes"]}
    taken = min(1, o.raw_megabytes * 1e6 / left["kept_bytes"]) if o.raw_megabytes else 1
    for version, part in (("raw", taken), ("rules", 1)):
        kept = sorted((work / "versions" / version / "kept").glob("*.zst"))
        counts[f"trained on: {version}"] = write_lines(
            prepared / f"{version}.jsonl", (l for l in lines_of(kept) if part == 1 or share_of(l, "taken") < part))
    for path in held[:-1]:
        write_lines(prepared / path, lines_of([work / path]))
    counts["held: cleaned"] = write_lines(prepared / "held/cleaned.jsonl", lines_of([work / held[-1]]))
    (prepared / "tokenizer.model").write_bytes((work / "versions/tokenizer/tokenizer.model").read_bytes())
    (prepared / "settings.json").write_text(json.dumps({"size": size_name, "counts": counts}, indent=1) + "\n")
    print(json.dumps(counts, indent=1))
    for path in sorted(prepared.rglob("*.jsonl")):
        compress(path)
    if o.pack:
        pack(prepared, o.pack)


def compress(path):
    """With a window of 128 MB, the largest that readers take unasked: copies far behind take little room."""
    subprocess.run(["zstd", "-q", "-f", "--rm", "-12", "--long=27", path], check=True)


def pack(prepared, path):
    with tarfile.open(path, mode="w") as archive:
        for file in sorted(prepared.rglob("*")):
            if file.is_file():
                archive.add(file, Path("prepared") / file.relative_to(prepared))
    print(f"{path}: {path.stat().st_size:,} bytes")


def train_recipe(o, size):
    plain = {key: size[key] for key in ("rows", "length", "dtype", "eval_every", "lr")} | {"device": o.device}
    of = lambda name: TOKENS.format(name=name, documents=f'inputs = ["prepared/{name}.jsonl.zst"]')
    parts = ['output = "trained"\n', of("raw"), of("rules")]
    parts.append(MODEL.format(name="scorer", tokens="rules", preset=size["scorer_preset"], seed=0,
                              steps=size["scorer_steps"], **plain))
    parts.append(CHOICE.format(device=o.device, dtype=size["dtype"], low=o.low, keep=o.keep))
    parts.append(TOKENS.format(name="self", documents='from = "chosen"'))
    for seed in o.seeds:
        for version in VERSIONS:
            parts.append(MODEL.format(name=f"{version}-{seed}", tokens=version, preset=size["preset"], seed=seed,
                                      steps=size["steps"], **plain))
    return "".join(parts)


def train(o):
    settings = json.loads((o.work / "prepared/settings.json").read_text())
    size = SIZES[settings["size"]] | json.loads(o.set)
    (o.work / "train.toml").write_text(train_recipe(o, size))
    run(o.program, "corpus", "run", o.work / "train.toml")
    results = {}
    for seed in o.seeds:
        for version in VERSIONS:
            model = o.work / "trained" / f"{version}-{seed}" / "checkpoints/latest"
            for held in sorted((o.work / "prepared/held").glob("*.jsonl.zst")):
                name = held.name.split(".")[0]
                command = [o.program, "eval", "--model", model, held, "--json", "--device", o.device, "--max-documents",
                           size["most_documents"]]
                done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
                results.setdefault(name, {})[f"{version}-{seed}"] = json.loads(done.stdout)
                print(name, version, seed, results[name][f"{version}-{seed}"], flush=True)
    tokens = {version: json.loads((o.work / "trained" / f"tokens-{version}" / "dataset.json").read_text())["train"]
              for version in VERSIONS}
    (o.work / "results.json").write_text(json.dumps(
        {"settings": settings | {"size": size}, "low": o.low, "keep": o.keep, "seeds": o.seeds, "tokens": tokens,
         "results": results}, indent=1) + "\n")


def report(o):
    found = json.loads((o.work / "results.json").read_text())
    size, seeds = found["settings"]["size"], found["seeds"]
    trained = size["steps"] * size["rows"] * size["length"]
    print("| corpus | documents | MB | tokens | passes |\n|---|---|---|---|---|")
    for version, title in VERSIONS.items():
        of = found["tokens"][version]
        print(f"| {title} | {of['documents']:,} | {of['text_bytes'] / 1e6:.1f} | {of['tokens'] / 1e6:.2f}M | "
              f"{trained / of['tokens']:.2f} |")
    print(f"\n{size['preset']}, {trained / 1e6:.1f}M tokens each; loss in nats a token (bits a byte), the mean of seeds "
          f"{', '.join(map(str, seeds))} and the range:\n")
    print("| held out | tokens |", " | ".join(VERSIONS.values()), "|\n|---|---|" + "---|" * len(VERSIONS))
    for held, models in found["results"].items():
        cells = []
        for version in VERSIONS:
            losses = [models[f"{version}-{seed}"]["loss_nats_per_token"] for seed in seeds]
            bits = [models[f"{version}-{seed}"]["bits_per_byte"] for seed in seeds]
            spread = f" ± {(max(losses) - min(losses)) / 2:.4f}" if len(seeds) > 1 else ""
            cells.append(f"{sum(losses) / len(losses):.4f}{spread} ({sum(bits) / len(bits):.4f})")
        print(f"| {held} | {models[f'raw-{seeds[0]}']['tokens']:,} |", " | ".join(cells), "|")
    names = [word for title in VERSIONS.values() for word in ("--name", title)]
    run(o.program, "plot", *[o.work / "trained" / f"{version}-{seeds[0]}" for version in VERSIONS], *names, "--x", "tokens",
        "-o", o.work / "loss.svg")


def held_text(text):
    name, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{text}, wanted NAME=FILE")
    return name, Path(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for stage in ("prepare", "train", "report"):
        parser.add_argument(f"--{stage}", action="store_true")
    parser.add_argument("--work", type=Path, required=True, help="directory of everything")
    parser.add_argument("--raw", nargs="+", default=[], help="records with texts, .jsonl or .jsonl.zst; wildcards")
    parser.add_argument("--held", type=held_text, action="append", default=[], metavar="NAME=FILE",
                        help="clean text, .txt or .jsonl; repeatable; names in the table")
    parser.add_argument("--share", type=float, help="of the raw documents, by hash; default: all, with --smoke 0.04")
    parser.add_argument("--raw-megabytes", type=float, help="of the raw documents only so many, chosen by hash, are trained "
                        "on; default: all")
    parser.add_argument("--smoke", action="store_true", help="a small corpus and small models, in --prepare")
    parser.add_argument("--pack", type=Path, help="with --prepare: also write DIR/prepared as this .tar")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[1])
    parser.add_argument("--low", type=float, default=0.02, help="share of documents that are too probable")
    parser.add_argument("--keep", type=float, default=0.8, help="share of documents that are kept, behind these")
    parser.add_argument("--set", default="{}", help="JSON of settings that --train changes, as {\"steps\": 1000}")
    parser.add_argument("--program", default=str(ROOT / "build" / "transnormer"))
    o = parser.parse_args()
    o.program = str(Path(o.program).resolve())
    o.work.mkdir(parents=True, exist_ok=True)
    if o.prepare:
        prepare(o, "smoke" if o.smoke else "full")
    if o.train:
        train(o)
    if o.report:
        report(o)


if __name__ == "__main__":
    main()
