#!/usr/bin/env python3
"""lm-eval against `transnormer serve`, item by item against `transnormer eval`.

    bench/lm_eval_check.py --model DIR --data ../shared/data/eval [--limit N] [--fewshot N]

needs a Python with lm-eval 0.4.13 and its `api` extra. PIQA and CMMLU run as lm-eval defines them
(its own YAML files), but on the files in --data, through local-completions with the server's own
tokenizer. Then every (context, continuation) that lm-eval asked for is scored by the evaluator, from a
JSONL of prompts and completions. Prints accuracies and the largest difference of a log-likelihood, and
fails where one is over --tolerance, relative to max(1, |log-likelihood|)."""

import argparse
import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import lm_eval
    import yaml
except ImportError:
    print("skipped: lm-eval is not installed (pip install 'lm-eval[api]==0.4.13')")
    sys.exit(0)

CMMLU = ("agronomy", "anatomy", "high_school_mathematics", "world_history")


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records),
                    encoding="utf-8")
    return str(path)


def read_csv(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lm_eval_config(*files):
    root = Path(importlib.util.find_spec("lm_eval").origin).parent / "tasks"
    config = {}
    for file in files:
        config.update(yaml.safe_load((root / file).read_text(encoding="utf-8")))
    config.pop("include", None)
    config.pop("dataset_name", None)
    return config


def tasks(data, folder):
    config = lm_eval_config("piqa/piqa.yaml")
    labels = (data / "piqa/valid-labels.lst").read_text().split()
    items = [json.loads(line) for line in (data / "piqa/valid.jsonl").open(encoding="utf-8")]
    file = write_jsonl(folder / "piqa.jsonl",
                       [{**item, "label": int(label)} for item, label in zip(items, labels)])
    config.update(dataset_path="json", dataset_kwargs={"data_files": {"validation": file}})
    config.pop("training_split")
    out = [config]
    for subject in CMMLU:
        config = lm_eval_config("cmmlu/_default_template_yaml", f"cmmlu/cmmlu_{subject}.yaml")
        files = {split: write_jsonl(folder / f"{subject}-{split}.jsonl",
                                    read_csv(data / f"cmmlu/{split}/{subject}.csv"))
                 for split in ("dev", "test")}
        config.update(dataset_path="json", dataset_kwargs={"data_files": files})
        out.append(config)
    return out


def start_server(program, model, options):
    process = subprocess.Popen([program, "serve", "--model", model, "--port", "0", *options],
                               stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r"listening on (http://\S+)", line):
            return process, found[1]
    sys.exit("the server did not start")


def by_evaluator(program, model, pairs, folder):
    file = write_jsonl(folder / "pairs.jsonl",
                       [{"prompt": p, "completion": c} for p, c in pairs])
    done = subprocess.run([program, "eval", "--model", model, "--bos", "no", "--per-document",
                           "--json", file], stdout=subprocess.PIPE, text=True, check=True)
    documents = json.loads(done.stdout)["per_document"]
    assert len(documents) == len(pairs)
    return [-d["loss_nats_per_token"] * d["tokens"] for d in documents]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--program", default="build/transnormer")
    parser.add_argument("--limit", type=int, help="items of each task; default: all")
    parser.add_argument("--fewshot", type=int, default=0, help="examples before a CMMLU question")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--serve-options", default="", help="more of them, in one word")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"skipped: {arguments.data} is not here")
        return 0
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("HF_HOME", str(folder / "home"))
        process, url = start_server(arguments.program, arguments.model,
                                    arguments.serve_options.split())
        try:
            configs = tasks(arguments.data, folder)
            begin = time.time()
            results = lm_eval.simple_evaluate(
                model="local-completions",
                model_args={"base_url": f"{url}/v1/completions", "model": Path(arguments.model).name,
                            "tokenizer_backend": "remote", "num_concurrent": 8,
                            "max_length": 1 << 20},
                tasks=configs, num_fewshot=arguments.fewshot, limit=arguments.limit,
                log_samples=True, bootstrap_iters=0)
            seconds = time.time() - begin
        finally:
            process.terminate()
            process.wait()
        asked = [(*argument, float(response[0][0])) for samples in results["samples"].values()
                 for sample in samples
                 for argument, response in zip(sample["arguments"], sample["resps"])]
        # lm-eval counts spaces at a context's end to the continuation.
        pairs = [(c.rstrip(), c[len(c.rstrip()):] + rest) for c, rest, _ in asked]
        own = by_evaluator(arguments.program, arguments.model, pairs, folder)
    worst = max(range(len(asked)), key=lambda i: abs(own[i] - asked[i][2]))
    far = [i for i, (_, _, theirs) in enumerate(asked)
           if abs(own[i] - theirs) > arguments.tolerance * max(1, abs(own[i]))]
    for task, found in results["results"].items():
        print(f"{task:32} acc {found['acc,none']:.4f}  acc_norm {found['acc_norm,none']:.4f}")
    print(f"{len(asked)} log-likelihoods in {seconds:.1f} s; largest difference "
          f"{abs(own[worst] - asked[worst][2]):.2e} of {own[worst]:.4f}; over the tolerance: {len(far)}")
    for i in far[:3]:
        print(f"  server {asked[i][2]:.6f}, evaluator {own[i]:.6f}: {asked[i][0][-60:]!r} + "
              f"{asked[i][1]!r}")
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
