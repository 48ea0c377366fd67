"""`transnormer corpus filter` beside datatrove: every keep/drop, every reason, every rewritten text.

    build/venv/bin/python bench/corpus_conformance.py [--documents FILE]... [--random N] [--seed S]
    build/venv/bin/python bench/corpus_conformance.py --random 150 --fixture tests/corpus_filter_cases.jsonl

The second writes documents and datatrove's answers, for tests/corpus_filter_test.py. Needs datatrove, spacy, orjson and zstandard from PyPI, and build/transnormer. Documents are those of the
files, and N that are made of their parts and of what rules and tokenizers look at: bullets, ellipses,
citations, repeated lines, long words, emoticons, abbreviations, separators of all scripts. Each filter is
run on its own, and all of them in FineWeb's order; addresses, languages (by models that are trained here), personal
data, decontamination and Chinese words are cases of corpus_steps.py. Prints a line for each filter, with what it makes of
text in a second of CPU (ours with start, reading and writing; datatrove's filter alone), and the first differences; exits 1
if there are any.
"""

import argparse
import hashlib
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import corpus_steps
import orjson
import zstandard
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4BadWordsFilter,
    C4ParagraphFilter,
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

ROOT = Path(__file__).parent.parent
BAD_WORDS = ["darn", "what the heck", "naïve", "c++", "ǆungla", "ΟΔΟΣ".lower()]

PARTS = (
    "• - * # ... … .. . ! ? ! \" ' ’ “ ” ， 。 ！ ？ । ؟ ՞ { } [1] [12] [edit] [citation needed] [٣] [x] "
    "lorem ipsum|Lorem Ipsum|javascript|JavaScript|terms of use|privacy policy|cooKie policy|USE COOKIES"
    "|uses cookies|İ|ſ|darn|DARN|What The Heck|NAÏVE|ΟΔΟΣ|ΟΔΌΣ|C++|ǄUNGLA"
    "|the|be|to|of|and|that|have|with|The|a|I|1|23|3.14|1,000|don't|it's|U.S.|e.g.|Mr.|:-)|http://a.example/b"
)
OWN_WORDS = (
    "river stone keeps the light that falls on water and we have walked with it to be near old houses of wood where "
    "rain is a sound people know when they sleep under roofs made by their own hands in long winters after harvest "
    "nobody counted how many birds came back from south only children saw them first they said so at school which "
    "stood between two hills like an open book whose pages turn slowly every year another line is written there "
    "however small its letters may look from far away numbers do not lie but neither do they sing said teacher").split()
SEPARATORS = ["\n", "\n\n", "\n\n\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", " ",
              "  ", "\t", "\u00a0", "\u3000", ". ", "! ", ""]


def read_documents(path):
    opened = open(path, "rb")
    stream = zstandard.ZstdDecompressor().stream_reader(opened) if str(path).endswith(".zst") else opened
    for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
        record = json.loads(line)
        yield str(record.get("id", "")), record["text"]


class Maker:
    """Documents that lie near the bounds of the rules."""

    def __init__(self, texts, seed):
        self.random = random.Random(seed)
        self.lines = [line for text in texts for line in text.splitlines() if line.strip()]
        while len(self.lines) < 200:
            words = [self.random.choice(OWN_WORDS) for _ in range(self.random.randint(3, 18))]
            self.lines.append(" ".join(words).capitalize() + self.random.choice([".", ".", ".", "!", "?", ""]))
        self.words = [word for line in self.random.sample(self.lines, min(2000, len(self.lines)))
                      for word in line.split()]
        self.private = corpus_steps.EMAIL_PARTS + corpus_steps.IP_PARTS
        self.chinese = [line for line in self.lines if sum("\u4e00" <= c <= "\u9fff" for c in line) > len(line) / 2]
        self.parts = [part for group in PARTS.split("|") for part in ([group] if "lorem" in group else group.split(" ")
                      if len(group) > 60 else [group])]

    def line(self):
        r = self.random
        kind = r.random()
        if kind < 0.4:
            return r.choice(self.lines)[: r.choice([20, 60, 200, 1000])]
        words = [r.choice(self.parts) if r.random() < 0.15 else r.choice(self.words)
                 for _ in range(r.randint(0, 25))]
        if r.random() < 0.01:
            words.append(r.choice("xé字") * r.choice([999, 1000, 1001]))
        if r.random() < 0.05:
            words += [r.choice(self.private) for _ in range(r.randint(1, 6))]
        if r.random() < 0.02 and self.chinese:
            words += [r.choice(self.chinese)[r.randint(0, 5):r.randint(6, 60)] + r.choice(["", "3.5%", "C++", "A.B", "-_-"])]
        line = r.choice([" "] * 30 + [""]).join(words)
        if r.random() < 0.5:
            line += r.choice([".", "!", "?", "...", "…", "\"", "'", "。", ";", ":", "."])
        if r.random() < 0.1:
            line = r.choice(["• ", "- ", "  -", "\u00a0•"]) + line
        return line

    def document(self):
        r = self.random
        if r.random() < 0.01:
            return r.choice(["", " ", "\n", "\n\n", "a", ".", "\u2028", "...", "[1]", "\u3000\n\u3000"])
        pool = [self.line() for _ in range(r.choice([1, 2, 3, 5, 20]))]
        repeat = r.random() ** 2
        lines = [r.choice(pool) if r.random() < repeat else self.line() for _ in range(r.choice([1, 3, 8, 20, 60]))]
        separators = r.choices(SEPARATORS, k=3) + ["\n"] * r.choice([0, 2, 20])
        text = "".join(line + r.choice(separators) for line in lines)
        if r.random() < 0.2:  # the same few words again and again
            phrase = " ".join(r.choice(self.words) for _ in range(r.randint(1, 12)))
            text += (phrase + r.choice([" ", "\n", ". "])) * r.choice([2, 5, 30])
        if r.random() < 0.05 and self.chinese:
            text = "".join(r.choice(self.chinese) + r.choice(["\n", "", " ", "。"]) for _ in range(r.randint(1, 30)))
        if r.random() < 0.1:
            text = text.replace("e", r.choice(["#", "é", "...", "\u0301", "字"]))
        return text


def outcome(document, filters):
    """(None, text and what filters add) of a document that is kept, else (reason, None)."""
    for each in filters:
        result = each.filter(document)
        keep, reason = result if isinstance(result, tuple) else (result, None)
        if not keep:
            return reason, None
    fields = [name for each in filters for name in getattr(each, "fields", [])]
    return None, (document.text, *[document.metadata.get(name) for name in fields]) if fields else document.text


def theirs(texts, filters, urls=None):
    out = []
    for number, text in enumerate(texts):
        metadata = {"url": urls[number]} if urls else {}
        out.append(outcome(Document(text=text, id=str(number), metadata=metadata), filters) if text else ("empty text", None))
    return out


def ours(program, folder, records, rules, settings, fields=()):
    command = [program, "corpus", "filter", records, "-o", folder, "--rules", rules, "--threads", "1"]
    for setting in settings:
        command += ["--set", setting]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {}
    for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(
            open(folder / "kept" / "records.jsonl.zst", "rb")), encoding="utf-8", newline="\n"):
        record = json.loads(line)
        found[record["id"]] = (None, (record["text"], *[record.get(f) for f in fields]) if fields else record["text"])
    for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(
            open(folder / "dropped" / "records.jsonl.zst", "rb")), encoding="utf-8", newline="\n"):
        record = json.loads(line)
        found[int(record["id"])] = (record["rule"], None)
    return [found[i] for i in range(len(found))], seconds


def bad_words_filter(path):
    """datatrove's, with our list in the place of the one that it downloads."""
    import datatrove.pipeline.filters.c4_filters as module
    module.cached_asset_path_or_download = lambda *_, **__: path
    return C4BadWordsFilter()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--documents", action="append", default=[])
    parser.add_argument("--random", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the cases whose names contain this")
    parser.add_argument("--fixture", help="write documents and datatrove's answers here")
    parser.add_argument("--program", default=str(ROOT / "build" / "transnormer"))
    arguments = parser.parse_args()
    documents = [document for path in arguments.documents for document in read_documents(path)]
    texts = [text for _, text in documents]
    maker = Maker(texts, arguments.seed)
    texts += [maker.document() for _ in range(arguments.random)]
    # datatrove (0.10.1) keeps, drops or stumbles over this word of spaCy's by what it saw before.
    texts = [text.replace("IS_ALPHA", "") for text in texts]
    size = sum(len(text.encode()) for text in texts) * 1e-6
    folder = Path(tempfile.mkdtemp())
    records = folder / "records.jsonl"
    addresses = corpus_steps.Addresses(folder, arguments.seed, len(texts))
    records.write_bytes(b"".join(orjson.dumps({"id": i, "text": text, "url": addresses.urls[i]}) + b"\n"
                                 for i, text in enumerate(texts)))
    words = folder / "words.txt"
    words.write_text("\n".join(BAD_WORDS))
    fineweb = [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(filter_no_terminal_punct=False),
               FineWebQualityFilter()]
    cases = {
        "gopher_repetition": ("fineweb", ['steps=["gopher_repetition"]'], [GopherRepetitionFilter()]),
        "gopher_quality": ("fineweb", ['steps=["gopher_quality"]'], [GopherQualityFilter()]),
        "gopher_quality, few words": ("fineweb", ['steps=["gopher_quality"]', "gopher_quality.min_doc_words=1"],
                                      [GopherQualityFilter(min_doc_words=1)]),
        "c4": ("c4", [], [C4QualityFilter()]),
        "c4, FineWeb's": ("fineweb", ['steps=["c4"]'], [C4QualityFilter(filter_no_terminal_punct=False)]),
        "c4_paragraphs": ("fineweb", ['steps=["c4_paragraphs"]'], [C4ParagraphFilter()]),
        "c4_badwords": ("fineweb", ['steps=["c4_badwords"]', f"c4_badwords.file={words}"], [bad_words_filter(words)]),
        "fineweb": ("fineweb", ['steps=["fineweb"]'], [FineWebQualityFilter()]),
        "fineweb, 0.1": ("fineweb", ['steps=["fineweb"]', "fineweb.char_duplicates_ratio=0.1"],
                         [FineWebQualityFilter(char_duplicates_ratio=0.1)]),
        "all, FineWeb's order": ("fineweb", [], fineweb),
    }
    if not arguments.fixture:
        cases |= corpus_steps.step_cases(folder, documents, texts, addresses, arguments.seed, arguments.only)
    cases = {name: case for name, case in cases.items() if arguments.only is None or arguments.only in name}
    if arguments.fixture:
        answers = {name: theirs(texts, filters) for name, (_, _, filters) in cases.items()}
        with open(arguments.fixture, "w", encoding="utf-8") as out:
            for i, text in enumerate(texts):
                of_text = {name: answer[i][0] or hashlib.sha256(answer[i][1].encode()).hexdigest()[:16]
                           for name, answer in answers.items()}
                out.write(json.dumps({"text": text, "answers": of_text}, ensure_ascii=False) + "\n")
        return
    different = 0
    answers = {}  # of filters that are the same in several cases
    for name, (rules, settings, filters) in cases.items():
        fields = [field for each in filters for field in getattr(each, "fields", [])]
        a, our_seconds = ours(arguments.program, folder / name.replace(" ", "_"), records, rules, settings, fields)
        same = tuple(map(id, filters))
        if same not in answers:
            start = time.process_time()
            b = theirs(texts, filters, addresses.urls)
            answers[same] = b, time.process_time() - start
        b, seconds = answers[same]
        faults = [i for i, (x, y) in enumerate(zip(a, b)) if x != y and not (y[0] == "empty text" and not texts[i])]
        different += len(faults) + (len(a) != len(b))
        reasons = sorted({str(reason) for reason, _ in b if reason})
        print(f"{name}: {len(b)} documents, {sum(r is None for r, _ in b)} kept, {len(faults)} differ; "
              f"{size / our_seconds:.1f} MB/s, datatrove {size / seconds:.2f}; reasons: {', '.join(reasons)}", flush=True)
        for i in faults[:5]:
            print(f"  document {i}: ours {str(a[i])[:300]!r}, theirs {str(b[i])[:300]!r}\n    {texts[i][:300]!r}")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
