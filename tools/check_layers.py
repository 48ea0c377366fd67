#!/usr/bin/env python3
"""Checks the shape of the code: which folder includes which, where CUDA launches and inline assembly
may stand, how long a file may be, how many preprocessor conditionals there are.

    tools/check_layers.py [FOLDER]     prints one line for each fault, exits 1 if there is any
"""
import re
import sys
from pathlib import Path

# A layer and what it may include, beside itself and base.
LAYERS = {
    "base": [],
    "cuda": [],
    "tensor": ["cuda"],
    "ops": ["tensor", "cuda"],
    "capi": ["ops", "tensor", "cuda"],
    "model": ["ops", "tensor"],
    "text": [],
    "data": ["text"],
    "corpus": ["text"],
    "infer": ["model", "ops", "tensor", "text"],
    "score": ["infer", "model", "ops", "tensor", "corpus", "text"],
    "train": ["model", "ops", "tensor", "data", "text"],
    "serve": ["infer", "model", "ops", "tensor", "text"],
    "cli": ["serve", "train", "score", "infer", "model", "ops", "tensor", "data", "corpus", "text"],
}
# Helpers of tests: any test may include them; they may include anything below model.
TESTING = "testing"
TESTING_MAY = ["model", "ops", "tensor", "text", "data"]

MAX_LINES = 400
MAX_LINES_LONG = 600  # kernels and tests
CONDITIONALS_PER_1000_LINES = 0.5

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef)\b")
# An empty template only keeps the compiler from reordering: allowed anywhere.
ASM = re.compile(r'\b(__)?asm(__)?\s*(volatile\s*)?\((?!"")')
COMMENT = re.compile(r"//.*")


def is_test(path):
    return re.search(r"_(test|bench|fuzz)\.cpp$", path.name) or path.name == "testbed.h"


def is_cuda(path):
    return path.suffix in (".cu", ".cuh") or re.search(r"cuda(_test|_bench)?\.(h|cpp)$", path.name)


def faults_of(source, root):
    path = source.relative_to(root)
    layer = path.parts[0]
    lines = source.read_text(encoding="utf-8").splitlines()
    long = is_test(path) or path.suffix in (".cu", ".cuh")
    limit = MAX_LINES_LONG if long else MAX_LINES
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines, at most {limit}"
    if layer == TESTING:
        allowed = {TESTING, "base", *TESTING_MAY}
    elif layer in LAYERS:
        allowed = {layer, "base", *LAYERS[layer]}
        if is_test(path):
            allowed.add(TESTING)
    else:
        yield f"{path}: {layer} is not a layer"
        return
    for number, raw in enumerate(lines, 1):
        line = COMMENT.sub("", raw)
        include = INCLUDE.match(raw)
        if include and "/" in include[1]:
            target = include[1].split("/")[0]
            if not (root / include[1]).is_file():
                yield f"{path}:{number}: no such file: {include[1]}"
            elif target not in allowed:
                yield f"{path}:{number}: {layer} may not include {include[1]}"
            elif target == "cuda" and layer != "cuda" and not is_cuda(path):
                yield f"{path}:{number}: only CUDA files may include {include[1]}"
        if "<<<" in line and '"' not in line and not is_cuda(path) and layer != "cuda":
            yield f"{path}:{number}: a kernel launch outside a CUDA file"
        if ASM.search(line) and layer != "cuda":
            yield f"{path}:{number}: inline assembly outside src/cuda"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "src")
    sources = sorted(p for p in root.rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh"))
    faults = [fault for source in sources for fault in faults_of(source, root)]
    texts = [source.read_text(encoding="utf-8").splitlines() for source in sources]
    lines = sum(map(len, texts))
    conditionals = sum(1 for text in texts for line in text if CONDITIONAL.match(line))
    budget = int(lines * CONDITIONALS_PER_1000_LINES / 1000)
    if conditionals > budget:
        faults.append(f"{conditionals} preprocessor conditionals in {lines} lines, at most {budget}")
    for fault in faults:
        print(fault)
    print(f"check_layers: {len(sources)} files, {lines} lines, {conditionals} conditionals, "
          f"{len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
