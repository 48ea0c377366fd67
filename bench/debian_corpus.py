#!/usr/bin/env python3
"""A real corpus from Debian's documentation packages: prose about software, and dictionaries.

    apt-get download linux-doc-6.1 python3.11-doc ... && for d in *.deb; do dpkg -x $d tree; done
    python bench/debian_corpus.py tree corpus.jsonl held_out.jsonl

Each HTML, text or POD file (plain or .gz) is a document, its markup taken away; paragraphs that
came before, anywhere, are dropped, and documents of less than 400 characters. Every 50th document
by the hash of its text is held out. The same files give the same bytes.
"""

import gzip
import hashlib
import html.parser
import json
import re
import sys
from pathlib import Path

BLOCKS = {"p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "br", "dt",
          "dd", "table", "ul", "ol", "section", "title"}
SKIPPED = {"script", "style", "head", "nav", "footer", "svg"}


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


def main():
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
