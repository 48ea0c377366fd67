"""`transnormer corpus filter` beside datatrove: FineWeb's filters on the same bytes, on one core.

    build/venv/bin/python bench/corpus_filter.py FILE.jsonl.zst... [--runs 3] [--datatrove-runs all]

Needs datatrove, spacy, orjson and zstandard from PyPI, and build/transnormer. Both read the files, filter, and
write what is kept and what is dropped. Times are CPU seconds of the whole process, start included, the least of
the runs (one of datatrove); MB are of the texts as they are read. Prints a line for each, and the ratio.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ALL = ["gopher_repetition", "gopher_quality", "c4", "fineweb"]


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(program, files, steps, level):
    with tempfile.TemporaryDirectory() as out:
        seconds = cpu_seconds([program, "corpus", "filter", *files, "-o", out, "--threads", "1", "--level", str(level),
                               "--set", "steps=" + json.dumps(steps)])
        return seconds, json.loads((Path(out) / "stats.json").read_text())["counts"]


def nothing(program, files, level):
    """Reading, parsing and writing alone: a rule that keeps every document."""
    with tempfile.TemporaryDirectory() as out:
        return cpu_seconds([program, "corpus", "filter", *files, "-o", out, "--threads", "1", "--level", str(level),
                            "--set", 'steps=["c4_paragraphs"]', "--set", "c4_paragraphs.min_paragraphs=0"])


def datatrove(files, out, steps):
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.filters import (C4QualityFilter, FineWebQualityFilter, GopherQualityFilter,
                                            GopherRepetitionFilter)
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    dropped = lambda name: JsonlWriter(f"{out}/dropped/{name}")
    filters = {"gopher_repetition": lambda w: GopherRepetitionFilter(exclusion_writer=w),
               "gopher_quality": lambda w: GopherQualityFilter(exclusion_writer=w),
               "c4": lambda w: C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=w),
               "fineweb": lambda w: FineWebQualityFilter(exclusion_writer=w)}
    folder = {str(Path(f).resolve().parent) for f in files}
    names = Path(out) / "paths.txt"
    names.write_text("\n".join(Path(f).name for f in files))
    LocalPipelineExecutor(
        pipeline=[JsonlReader(folder.pop(), paths_file=str(names)), *[filters[s](dropped(s)) for s in steps],
                  JsonlWriter(f"{out}/kept")], tasks=1, workers=1, logging_dir=f"{out}/logs").run()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--datatrove-runs", choices=["none", "all", "each"], default="each",
                        help="whether datatrove runs, too: not, all filters together, or each alone as well")
    parser.add_argument("--program", default=str(ROOT / "build" / "transnormer"))
    parser.add_argument("--datatrove", nargs=2, metavar=("OUT", "STEPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.datatrove:
        return datatrove(arguments.files, arguments.datatrove[0], arguments.datatrove[1].split(","))
    size = None
    for steps in [*([s] for s in ALL), ALL]:
        seconds, counts = min((ours(arguments.program, arguments.files, steps, 3) for _ in range(arguments.runs)),
                              key=lambda run: run[0])
        size = counts["bytes"] * 1e-6
        line = f"{'+'.join(steps)}: {size / seconds:.1f} MB/s, {counts['documents'] / seconds:.0f} documents/s, " \
               f"{seconds:.2f} s, {counts['kept_documents']} of {counts['documents']} kept"
        if arguments.datatrove_runs == "each" or (arguments.datatrove_runs == "all" and steps == ALL):
            with tempfile.TemporaryDirectory() as out:
                theirs = cpu_seconds([sys.executable, __file__, *arguments.files, "--datatrove", out, ",".join(steps)])
            line += f"; datatrove {size / theirs:.2f} MB/s, {theirs:.1f} s: {theirs / seconds:.0f} times"
        print(line, flush=True)
    for level in (3, 1):
        seconds = min(nothing(arguments.program, arguments.files, level) for _ in range(arguments.runs))
        print(f"no filter, zstd -{level}: {size / seconds:.0f} MB/s, {seconds:.2f} s", flush=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
