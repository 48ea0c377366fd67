"""`transnormer corpus dedup --mode sentence`, `substring` and `ngram` beside datatrove's sentence_dedup, a suffix array
(libdivsufsort) and datatrove's Bloom filter: the same answers, and the time of both.

    build/venv/bin/python bench/corpus_pieces.py documents.jsonl.zst [--number 1500]

Needs datatrove, spacy and zstandard from PyPI, libdivsufsort (Debian: libdivsufsort3), and build/transnormer. The corpus
is the documents, and a third of them again with parts of others put in. Times are CPU seconds: ours of the whole process,
theirs of the stages alone."""

import argparse
import ctypes
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpus_conformance import read_documents

ROOT = Path(__file__).parent.parent


def write(path, texts):
    path.write_text("".join(json.dumps({"id": str(i), "text": t}, ensure_ascii=False) + "\n" for i, t in enumerate(texts)),
                    encoding="utf-8")


def kept(folder):
    out = {}
    for path in sorted((folder / "kept").glob("*.zst")):
        text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
        out[path.name.split(".")[0]] = {r["id"]: r["text"] for r in map(json.loads, text.decode().split("\n")[:-1])}
    return out


def ours(program, inputs, out, *options):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, "corpus", "dedup", *map(str, inputs), "-o", str(out), "--threads", "1", *options], check=True,
                   stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return kept(out), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sentence_dedup(files, folder):
    """datatrove's three stages; files: name to texts, in the order of ranks."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.sentence_dedup import (SentDedupConfig, SentenceDedupFilter, SentenceDedupSignature,
                                                         SentenceFindDedups)
    config = SentDedupConfig()
    documents = lambda texts: (Document(text=t, id=str(i)) for i, t in enumerate(texts) if t)
    start = time.process_time()
    for rank, texts in enumerate(files.values()):
        SentenceDedupSignature(str(folder / "sigs"), config=config).run(documents(texts), rank=rank, world_size=len(files))
    SentenceFindDedups(str(folder / "sigs"), str(folder / "dups"), config=config).run()
    out = {}
    for rank, (name, texts) in enumerate(files.items()):
        filtered = SentenceDedupFilter(str(folder / "dups"), config=config).run(documents(texts), rank=rank, world_size=len(files))
        out[name] = {d.id: d.text for d in filtered}
    return out, time.process_time() - start


def suffix_array(files, length):
    """Of all texts, in order, what is left when every byte goes that lies in `length` bytes which were there before."""
    texts = [t.encode() for texts in files.values() for t in texts]
    places, joined = [], bytearray()
    for number, text in enumerate(texts):
        places.append(len(joined))
        joined += text
    n = len(joined)
    library = ctypes.CDLL("libdivsufsort.so.3")
    start = time.process_time()
    array = (ctypes.c_int32 * n)()
    library.divsufsort(bytes(joined), array, n)
    seconds = time.process_time() - start
    import numpy
    order = numpy.frombuffer(array, dtype=numpy.int32)
    ends = numpy.empty(n, dtype=numpy.int64)  # of the document that a byte is of
    for begin, text in zip(places, texts):
        ends[begin:begin + len(text)] = begin + len(text)
    whole = order[ends[order] - order >= length]  # windows that do not leave their document
    raw = numpy.frombuffer(bytes(joined), dtype=numpy.uint8)
    first = numpy.zeros(n, dtype=bool)
    at = 0
    while at < len(whole):  # windows that are equal stand side by side
        window, stop = joined[whole[at]:whole[at] + length], at + 1
        while stop < len(whole) and joined[whole[stop]:whole[stop] + length] == window:
            stop += 1
        if stop - at > 1:
            group = numpy.sort(whole[at:stop])
            first[group[1:]] = True
        at = stop
    cover = numpy.zeros(n + 1, dtype=numpy.int64)
    begins = numpy.flatnonzero(first)
    numpy.add.at(cover, begins, 1)
    numpy.add.at(cover, begins + length, -1)
    going = numpy.cumsum(cover[:-1]) > 0
    out, number = {}, 0
    for name, of in files.items():
        out[name] = {}
        for i in range(len(of)):
            text, begin = texts[number], places[number]
            number += 1
            keep = ~going[begin:begin + len(text)]
            lead = 0  # a character of which a byte stays, stays
            for b in range(len(text)):
                if text[b] & 0xC0 != 0x80:
                    lead = b
                if keep[b]:
                    keep[lead:b + 1] = True
                    if text[b] & 0xC0 != 0x80 and text[b] >= 0xC0:
                        e = b + 1
                        while e < len(text) and text[e] & 0xC0 == 0x80:
                            keep[e] = True
                            e += 1
            left = bytes(numpy.frombuffer(text, dtype=numpy.uint8)[keep]).decode()
            if text and left.strip(" \t\r\n"):
                out[name][str(i)] = left
    return out, seconds


def bloom_filter(files):
    from datatrove.data import Document
    from datatrove.pipeline.dedup.bloom_filter import BloomFilterConfig, SingleBloomFilter
    # A size of 2^27 - 1, since 0.10.1 takes places by "and" with it, and uses as many bits.
    each = SingleBloomFilter(tempfile.mkdtemp(), BloomFilterConfig(m_bytes=(1 << 27) - 1, k=8))
    start = time.process_time()
    out = {name: {str(i): t for i, t in enumerate(texts) if t and each.step(Document(text=t, id=str(i)))}
           for name, texts in files.items()}
    return out, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("documents")
    parser.add_argument("--number", type=int, default=1500, help="of documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=str(ROOT / "build" / "transnormer"))
    arguments = parser.parse_args()
    r = random.Random(arguments.seed)
    texts = [text for _, text in read_documents(arguments.documents)]
    texts = r.sample(texts, min(arguments.number, len(texts)))
    for _ in range(len(texts) // 3):
        a, b = r.choice(texts), r.choice(texts)
        begin = r.randrange(max(1, len(b) - 300))
        cut = r.randrange(len(a) + 1)
        texts.append(r.choice([a, a[:cut] + b[begin:begin + r.choice([99, 101, 300, 3000])] + a[cut:], a[:cut], "=" * 500 + a]))
    r.shuffle(texts)
    third = len(texts) // 3
    files = {name: texts[i * third:(i + 1) * third] for i, name in enumerate("abc")}
    folder = Path(tempfile.mkdtemp())
    inputs = []
    for name, of in files.items():
        inputs.append(folder / f"{name}.jsonl")
        write(inputs[-1], of)
    size = sum(len(t.encode()) for of in files.values() for t in of) * 1e-6
    print(f"{size:.1f} MB, {third * 3} documents")
    faults = 0
    for name, options, theirs in (
            ("sentence", ["--mode", "sentence", "--first-by", "document"], lambda: sentence_dedup(files, folder / "datatrove")),
            ("substring", ["--mode", "substring"], lambda: suffix_array(files, 100)),
            ("ngram", ["--mode", "ngram"], lambda: bloom_filter(files))):
        a, our_seconds = ours(arguments.program, inputs, folder / name, *options)
        b, their_seconds = theirs()
        if name == "ngram":  # what stays is not rewritten: names are enough
            a, b = ({n: {i: "" for i in of} for n, of in each.items()} for each in (a, b))
        different = [(n, i) for n in files for i in map(str, range(third)) if a[n].get(i) != b[n].get(i)]
        faults += len(different)
        changed = sum((str(i) not in b[n]) if name == "ngram" else b[n].get(str(i)) != t for n, of in files.items()
                      for i, t in enumerate(of))
        print(f"{name}: {changed} documents changed or dropped, {len(different)} differ; ours {our_seconds:.2f} s, "
              f"{size / our_seconds:.1f} MB/s; theirs {their_seconds:.2f} s, {size / their_seconds:.2f} MB/s", flush=True)
        for n, i in different[:4]:
            print(f"  {n}/{i}: ours {str(a[n].get(i))[:200]!r}\n    theirs {str(b[n].get(i))[:200]!r}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
