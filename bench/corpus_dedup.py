"""Near-duplicates by datatrove and by `transnormer corpus dedup` on the same files: every file of every
stage compared byte for byte, CPU seconds of both.

    python -m venv VENV && VENV/bin/pip install datatrove[processing] spacy zstandard
    VENV/bin/python bench/corpus_dedup.py --work DIR FILE.jsonl.zst...   [--files N] [--hash sha1] [--copies N]

FILE's documents are dealt to N files, with near-duplicates of some of them made by dropping, doubling and
exchanging words (--near, a share of the documents), so that there is something to find.
"""
import argparse
import filecmp
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

BINARY = os.environ.get("TRANSNORMER", "build/transnormer")


def documents(paths):
    import zstandard
    for path in paths:
        with open(path, "rb") as raw:
            stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) \
                if path.endswith(".zst") else raw
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                if line.strip():
                    yield json.loads(line)["text"]


def nearly(draw, text):
    """The text with a few words dropped, doubled or exchanged."""
    words = text.split(" ")
    for _ in range(draw.randint(0, max(1, len(words) // 50))):
        at = draw.randrange(len(words))
        words[at:at + 1] = draw.choice([[], [words[at]] * 2, [draw.choice(words)]]) or [""]
    return " ".join(words)


def deal(args, folder):
    """Writes the input files; their bytes of text and number of documents."""
    draw = random.Random(1)
    texts = [text for text in documents(args.inputs) if len(text) < 1_000_000] * args.copies
    texts += [nearly(draw, text) for text in texts if draw.random() < args.near]
    draw.shuffle(texts)
    folder.mkdir(parents=True)
    for number in range(args.files):
        with open(folder / f"{number:05}.jsonl", "w", encoding="utf-8") as file:
            for index, text in enumerate(texts[number::args.files]):
                file.write(json.dumps({"text": text, "id": f"{number}/{index}"}) + "\n")
    return sum(len(text.encode()) for text in texts), len(texts)


def run_datatrove(args, inputs, out):
    from datatrove.pipeline.dedup.minhash import (MinhashConfig, MinhashDedupBuckets,
                                                  MinhashDedupCluster, MinhashDedupSignature)
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.hashing import HashConfig
    hash_fc = {"xxh64": "xxhash", "sha1": "sha1"}[args.hash]
    config = MinhashConfig(hash_config=HashConfig(precision=64, hash_fc=hash_fc))
    seconds = {}

    def timed(stage, call):
        begin = time.process_time()
        call()
        seconds[stage] = seconds.get(stage, 0) + time.process_time() - begin

    reader = JsonlReader(str(inputs))
    next(iter(reader.run(rank=0, world_size=args.files)))  # imports
    from datatrove.utils.word_tokenizers import load_word_tokenizer
    load_word_tokenizer("en").word_tokenize("warm up")
    for rank in range(args.files):
        signature = MinhashDedupSignature(str(out / "signatures"), config=config)
        timed("signatures", lambda: signature.run(reader.run(rank=rank, world_size=args.files),
                                                  rank, args.files))
    for bucket in range(14):
        buckets = MinhashDedupBuckets(str(out / "signatures"), str(out / "duplicates"), config=config)
        timed("duplicates", lambda: buckets.run(None, bucket, 14))
    cluster = MinhashDedupCluster(str(out / "duplicates"), str(out / "remove"), config=config,
                                  save_cluster_id=True, save_cluster_size=True)
    timed("clusters", lambda: cluster.run(None, 0, 1))
    return seconds


def run_ours(args, inputs, out):
    seconds = {}
    for stage in ["signatures", "duplicates", "clusters", "filter"]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([BINARY, "corpus", "dedup", *sorted(map(str, inputs.iterdir())), "-o", str(out),
                        "--stage", stage, "--hash", args.hash, "--survivor", "largest",
                        "--cluster-ids", "--cluster-sizes", "--threads", str(args.threads),
                        "--memory", args.memory], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds[stage] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds


def check_index(args, inputs, work):
    """The first file as the earlier corpus of the others: index, pairs and removals of both programs."""
    from datatrove.pipeline.dedup.minhash import (MinhashBuildIndex, MinhashConfig,
                                                  MinhashDedupBuckets, MinhashDedupCluster)
    from datatrove.utils.hashing import HashConfig
    config = MinhashConfig(hash_config=HashConfig(hash_fc={"xxh64": "xxhash"}.get(args.hash, args.hash)))
    files = sorted(map(str, inputs.iterdir()))
    common = ["--hash", args.hash, "--survivor", "largest", "--write-index"]
    faults = 0
    subprocess.run([BINARY, "corpus", "dedup", files[0], "-o", str(work / "old"), *common, "old"],
                   check=True, stdout=subprocess.DEVNULL)
    for only in (False, True):
        ours, theirs = work / f"index{only:d}/ours", work / f"index{only:d}/theirs"
        subprocess.run([BINARY, "corpus", "dedup", *files[1:], "-o", str(ours), *common, "new", "--index",
                        str(work / "old/index"), *["--only-index"] * only],
                       check=True, stdout=subprocess.DEVNULL)
        for bucket in range(14):
            MinhashBuildIndex(str(work / "old/signatures"), str(theirs / "index"), "old",
                              config=config).run(None, bucket, 14)
            MinhashDedupBuckets(str(ours / "signatures"), str(theirs / "duplicates"), config=config,
                                index_folder=str(theirs / "index"), only_dedup_in_index=only,
                                create_index_name="new").run(None, bucket, 14)
        MinhashDedupCluster(str(theirs / "duplicates"), str(theirs / "remove"),
                            config=config).run(None, 0, 1)
        # theirs/index has the earlier corpus, too, without a number of its part
        pairs = [(theirs / f"index/bucket_{b:03}/old.minhash.index",
                  work / f"old/index/bucket_{b:03}/old_00.minhash.index") for b in range(14)]
        pairs += [(theirs / p.relative_to(ours), p) for folder in ("index", "duplicates", "remove")
                  for p in (ours / folder).rglob("*") if p.is_file()]
        equal = sum(a.is_file() and filecmp.cmp(a, b, shallow=False) for a, b in pairs)
        faults += len(pairs) - equal
        print(f"with an index{', only' * only}: {equal} of {len(pairs)} files equal")
    return faults


def compare(theirs, ours):
    faults = 0
    for folder in ["signatures", "duplicates", "remove"]:
        names = {p.relative_to(theirs) for p in (theirs / folder).rglob("*") if p.is_file()}
        own = {p.relative_to(ours) for p in (ours / folder).rglob("*") if p.is_file()}
        for name in sorted(names ^ own):
            faults += 1
            print(f"{name}: only by {'datatrove' if name in names else 'us'}")
        different = [n for n in sorted(names & own)
                     if not filecmp.cmp(theirs / n, ours / n, shallow=False)]
        faults += len(different)
        for name in different[:10]:
            print(f"{name}: differs")
        size = sum((ours / n).stat().st_size for n in own)
        print(f"{folder}: {len(names & own) - len(different)} of {len(names | own)} files equal, "
              f"{size} bytes")
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--near", type=float, default=0.3)
    parser.add_argument("--hash", default="xxh64", choices=["xxh64", "sha1"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--ours-only", action="store_true")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    size, count = deal(args, args.work / "in")
    ours = run_ours(args, args.work / "in", args.work / "ours")
    theirs = {} if args.ours_only else run_datatrove(args, args.work / "in", args.work / "theirs")
    print(f"{size * 1e-6:.1f} MB of text, {count} documents, {args.files} files, {args.hash}")
    for stage, seconds in ours.items():
        line = f"{stage:11} {seconds:8.3f} s {size * 1e-6 / seconds:8.1f} MB/s {count / seconds:9.0f} docs/s"
        if stage in theirs:
            other = theirs[stage]
            line += f"   datatrove {other:8.2f} s {size * 1e-6 / other:7.2f} MB/s {count / other:8.0f} docs/s" \
                    f"   {other / seconds:.1f}x"
        print(line)
    if args.ours_only:
        return 0
    faults = compare(args.work / "theirs", args.work / "ours")
    return faults + check_index(args, args.work / "in", args.work) != 0


if __name__ == "__main__":
    sys.exit(main())
