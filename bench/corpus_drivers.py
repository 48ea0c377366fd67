"""docs/dedup.md's functions for Ray and Spark, run for real: a corpus is deduplicated by each of them and by one process, and all
bytes are compared.

    build/venv/bin/python bench/corpus_drivers.py FILE.jsonl.zst [--files 6] [--tasks 4]

Needs ray, pyspark (and Java), zstandard from PyPI, and build/transnormer. The documents become several files, a third of them
twice. Ray's driver is killed once and started again. Prints a line for each; exits 1 if anything differs.
"""

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zstandard

ROOT = Path(__file__).parent.parent
STAGES = ["signatures", "duplicates", "clusters", "filter"]


def snippet():
    """The functions of docs/dedup.md, without the call that stands behind them."""
    block = re.search(r"```python\n(import subprocess.*?)\nwith_ray\(", (ROOT / "docs/dedup.md").read_text(), re.DOTALL)
    return block[1]


def write_files(path, folder, count):
    folder.mkdir()
    text = zstandard.ZstdDecompressor().stream_reader(open(path, "rb")).read().decode()
    lines = [line + "\n" for line in text.split("\n") if line]
    lines += lines[::3]
    for i in range(count):
        data = "".join(lines[i::count]).encode()
        (folder / f"{i}.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(data))


def digest(folder):
    files = sorted(p for kind in ("kept", "dropped") for p in (folder / kind).rglob("*.zst"))
    return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


def drive(folder, driver, tasks, kill_after=None):
    program = f"{snippet()}\n{driver}({STAGES}, {tasks})\n"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    error = process.communicate()[1].decode()
    if process.returncode and not kill_after:
        sys.exit(f"{driver}: {error[-3000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents")
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--only", choices=["ray", "spark"])
    parser.add_argument("--program", default=str(ROOT / "build" / "transnormer"))
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    (root / "bin").mkdir()
    (root / "bin/transnormer").symlink_to(Path(arguments.program).resolve())
    os.environ["PATH"] = f"{root}/bin:{os.environ['PATH']}"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    write_files(arguments.documents, root / "crawl", arguments.files)
    subprocess.run(["transnormer", "corpus", "dedup", "crawl/*.zst", "-o", "one"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    wanted, failed = digest(root / "one"), False
    for driver in ("ray", "spark"):
        if arguments.only and arguments.only != driver:
            continue
        start = time.time()
        if driver == "ray":
            drive(root, "with_ray", arguments.tasks, kill_after=8)
        drive(root, f"with_{driver}", arguments.tasks)
        same = digest(root / "deduplicated") == wanted
        failed |= not same
        print(f"{driver}: {len(wanted)} files {'equal' if same else 'DIFFER'}, {time.time() - start:.1f} s", flush=True)
        (root / "deduplicated").rename(root / driver)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
