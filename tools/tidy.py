#!/usr/bin/env python3
"""Runs clang-tidy over the C++ files of a build by Clang, the most recently changed first.

    tools/tidy.py BUILD [--seconds N] [FILE...]    checks no further file after N seconds (0: all)

What was found to be in order is kept in BUILD/tidy and not looked at again until the file, one of
the project's headers that it includes, or .clang-tidy changes. Exits 1 where there is a fault.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True,
                          check=False).stdout


def recently_changed_first(files):
    """By the last commit of each; in no fixed order where that is the same, so that a time limit
    does not leave out the same files for ever."""
    changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
    changed += git("log", "--format=", "--name-only", "-n", "300").split()
    rank = {}
    for name in changed:
        rank.setdefault(name, len(rank))
    head = git("rev-parse", "HEAD")

    def key(file):
        name = str(file.relative_to(ROOT))
        return rank.get(name, len(rank)), hashlib.sha256((head + name).encode()).digest()
    return sorted(files, key=key)


def digest(file, command):
    """Of all that the result depends on, the system's own headers apart."""
    seen, waiting = set(), [file]
    content = hashlib.sha256((command + "\0").encode())
    content.update((ROOT / ".clang-tidy").read_bytes())
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        text = path.read_bytes()
        content.update(text)
        waiting += [ROOT / "src" / name.decode() for name in sorted(INCLUDE.findall(text))]
    return content.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    commands = {Path(c["file"]).resolve(): c["command"] for c in json.loads(
        (arguments.build / "compile_commands.json").read_text())}
    known = arguments.build / "tidy"
    known.mkdir(exist_ok=True)
    wanted = [f.resolve() for f in arguments.files] or [
        f for f in commands if f.is_relative_to(ROOT / "src")]
    left = []
    for file in recently_changed_first(wanted):
        mark = known / digest(file, commands[file])
        if not mark.exists():
            left.append((file, mark))

    def check(job):
        file, mark = job
        if arguments.seconds and time.monotonic() - begin > arguments.seconds:
            return None
        result = subprocess.run(
            ["clang-tidy", "-p", arguments.build, "--quiet", file], check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode == 0:
            mark.touch()
            return True
        print(result.stdout or result.stderr, flush=True)
        return False

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, left))
    bad = results.count(False)
    print(f"tidy: {len(wanted)} files: {len(wanted) - len(left)} known to be in order, "
          f"{results.count(True)} found to be, {bad} with faults, "
          f"{results.count(None)} left out for time")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
