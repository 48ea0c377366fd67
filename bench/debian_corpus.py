#!/usr/bin/env python3
"""A real corpus from Debian's documentation packages: prose about software, and dictionaries.

    apt-get download linux-doc-6.1 python3.11-doc ... && for d in *.deb; do dpkg -x $d tree; done
    python bench/debian_corpus.py tree corpus.jsonl held_out.jsonl
    python bench/debian_corpus.py --dirty tree... folder

The first makes a clean one. Each HTML, text or POD file (plain or .gz) is a document, its markup
taken away; paragraphs that came before, anywhere, are dropped, and documents of less than 400
characters. Every 50th document by the hash of its text is held out. The same files give the same
bytes.

The second takes what is there as it is, as a crawl would: every file of at most 1 MB that is UTF-8
(sources of manual pages, changelogs, copyright files, examples of code, data, all languages), of
HTML all text that a reader sees, with navigation and footers, and copies as often as they come.
folder/KIND.jsonl has lines {"id": path, "source": KIND, "text"}; prints documents and bytes of each.
"""

import gzip
import hashlib
import html
import html.parser
import json
import re
import sys
from pathlib import Path

BLOCKS = {"p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "br", "dt",
          "dd", "table", "ul", "ol", "section", "title"}
SKIPPED = {"script", "style", "head", "nav", "footer", "svg"}
UNSEEN = re.compile(r"<!--.*?-->|<(script|style|head|svg)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
PREFORMATTED = re.compile(r"(<pre\b.*?</pre\s*>)", re.DOTALL | re.IGNORECASE)
BLOCK_TAG = re.compile(rf"</?(?:{'|'.join(sorted(BLOCKS))})\b[^>]*>", re.IGNORECASE)
MOST_BYTES = 1_000_000


class Text(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.parts, self.skipped = [], 0

    def handle_starttag(self, tag, attributes):
        self.skipped += tag in SKIPPED
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.skipped -= tag in SKIPPED and self.skipped > 0
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.skipped:
            self.parts.append(data)


def text_of(path):
    data = path.read_bytes()
    name = path.name
    if name.endswith(".gz"):
        data, name = gzip.decompress(data), name[:-3]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if name.endswith((".html", ".htm")):
        reader = Text()
        reader.feed(text)
        text = "".join(reader.parts)
    elif not name.endswith((".txt", ".rst", ".pod", ".text")):
        return None
    return text.replace("\r", "")


def kind_of(path, name):
    if name.endswith((".html", ".htm", ".xhtml")):
        return "html"
    if re.match(r"man\d", path.parent.name):
        return "manuals"
    lower = name.lower()
    for kind in ("copyright", "changelog"):
        if kind in lower:
            return kind
    if lower.endswith((".txt", ".rst", ".pod", ".text", ".md")) or re.match(r"[A-Z.]+(\.Debian)?$", name):
        return "text"
    return "other"


def seen_text(page):
    """What a browser shows, about: white space is one space but in <pre>, blocks are lines."""
    parts = PREFORMATTED.split(UNSEEN.sub(" ", page))
    parts[::2] = [re.sub(r"\s+", " ", part) for part in parts[::2]]
    text = html.unescape(re.sub(r"<[^>]*>", "", BLOCK_TAG.sub("\n", "".join(parts))))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" *\n *", "\n", text))


def dirty_text(path):
    """Kind and text of a file, or None where it is none."""
    if path.stat().st_size > MOST_BYTES:
        return None
    data, name = path.read_bytes(), path.name
    if name.endswith(".gz"):
        try:
            data, name = gzip.decompress(data), name[:-3]
        except (OSError, EOFError):
            return None
    if not data or len(data) > MOST_BYTES or b"\0" in data:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    kind = kind_of(path, name)
    return kind, seen_text(text) if kind == "html" else text


def write_dirty(trees, folder):
    folder.mkdir(parents=True, exist_ok=True)
    files, counts = {}, {}
    for tree in trees:
        for path in sorted(tree.rglob("*")):
            found = dirty_text(path) if path.is_file() and not path.is_symlink() else None
            if not found or not found[1].strip():
                continue
            kind, text = found
            if kind not in files:
                files[kind], counts[kind] = open(folder / f"{kind}.jsonl", "w", encoding="utf-8"), [0, 0]
            record = {"id": str(path.relative_to(tree)), "source": kind, "text": text}
            files[kind].write(json.dumps(record, ensure_ascii=False) + "\n")
            counts[kind][0] += 1
            counts[kind][1] += len(text.encode())
    for kind, (documents, size) in sorted(counts.items()):
        files[kind].close()
        print(f"{kind}: {documents:,} documents, {size:,} bytes")


def main():
    if sys.argv[1:2] == ["--dirty"]:
        *trees, folder = map(Path, sys.argv[2:])
        return write_dirty(trees, folder)
    tree, train, held_out = sys.argv[1:]
    seen = set()
    counts = [0, 0]
    with open(train, "w") as train, open(held_out, "w") as held_out:
        for path in sorted(Path(tree).rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            text = text_of(path)
            if text is None:
                continue
            kept = []
            for paragraph in re.split(r"\n\s*\n", text):
                paragraph = "\n".join(re.sub(r"[ \t\u00a0]+", " ", line).strip()
                                      for line in paragraph.strip().split("\n"))
                key = hashlib.blake2b(paragraph.encode(), digest_size=8).digest()
                if len(paragraph) < 3 or key in seen:
                    continue
                seen.add(key)
                kept.append(paragraph)
            text = "\n\n".join(kept)
            if len(text) < 400:
                continue
            out = hashlib.blake2b(text.encode(), digest_size=8).digest()[0] % 50 == 0
            (held_out if out else train).write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            counts[out] += len(text.encode())
    print(f"{counts[0]:,} bytes to train on, {counts[1]:,} held out")


if __name__ == "__main__":
    main()
