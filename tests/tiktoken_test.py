"""Vocabularies of tiktoken, as the 15B model has one: the ids are those of tiktoken itself, and a
repository with such a file is imported, tokenized with and served from like any other."""

import base64
import io
import json
import os
import random
import shutil
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import regex
import tiktoken

import reference
from serve_test import Server

BINARY = Path(os.environ.get("TRANSNORMER", "build/transnormer")).resolve()
SHARED = Path(os.environ.get("TNL_SHARED", Path(__file__).parents[1] / "../shared"))
DOCUMENTS = SHARED / "data/text/documents.jsonl.zst"
# As cl100k_base has it: the vocabulary of 100,256 tokens that the released file's size and ids are of.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
RANKS = 100256


def run(*arguments, code=0, text=True):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=text)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def corpus():
    """English with code in it, and a little of many scripts."""
    root = Path(__file__).parents[1]
    files = sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("src/text/*.cpp")])
    text = "\n".join(f.read_text(encoding="utf-8") for f in files)
    return text + "".join(chr(c) for c in range(0x20, 0x3000) if chr(c).isprintable())


@pytest.fixture(scope="module")
def vocabulary():
    """Of full size. Every byte; what merging the corpus's commonest pairs makes; then prefixes of
    its words and pairs of bytes, by which ranks contradict each other as often as they can."""
    words = Counter(regex.findall(PATTERN, corpus()))
    split = {w: [bytes([b]) for b in w.encode()] for w in words}
    ranks = {bytes([b]): b for b in range(256)}
    for _ in range(120):
        pairs = Counter()
        for w, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[w]
        a, b = pairs.most_common(1)[0][0]
        ranks.setdefault(a + b, len(ranks))
        for parts in split.values():
            for i in range(len(parts) - 2, -1, -1):
                if parts[i:i + 2] == [a, b]:
                    parts[i:i + 2] = [a + b]
    for word in words:
        for n in range(2, len(word.encode()) + 1):
            ranks.setdefault(word.encode()[:n], len(ranks))
    for n in range(1 << 17):
        if len(ranks) == RANKS:
            break
        ranks.setdefault(bytes([n * 7 & 255, n >> 8 & 255]) + bytes(n >> 16), len(ranks))
    assert len(ranks) == RANKS
    return ranks


@pytest.fixture(scope="module")
def file(vocabulary, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiktoken") / "transnormer_100k.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % r for t, r in vocabulary.items()))
    return path


@pytest.fixture(scope="module")
def peer(vocabulary):
    return tiktoken.Encoding("peer", pat_str=PATTERN, mergeable_ranks=vocabulary,
                             special_tokens={"<|endoftext|>": 100257})


def same(file, peer, text, folder):
    (folder / "text.txt").write_bytes(text.encode())
    ids = json.loads(run("tokenizer", "encode", "--tokenizer", file, folder / "text.txt",
                         "--json"))["ids"]
    assert ids == peer.encode_ordinary(text)
    (folder / "ids.txt").write_text(" ".join(map(str, ids)))
    assert run("tokenizer", "decode", "--tokenizer", file, folder / "ids.txt",
               text=False) == text.encode()


def test_every_character_that_is_assigned(file, peer, tmp_path):
    every = [chr(c) for c in range(0x110000)
             if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn"]
    joined = ("".join(every), "a".join(every), " 1\n".join(every))
    for text in joined:
        same(file, peer, text, tmp_path)


def test_random_bytes_and_spaces(file, peer, tmp_path):
    draw = random.Random(1)
    parts = []
    for i in range(3000):
        alphabet = [range(256), b" \n\t\r ", b"'sStTrReEvVlLmMdD 1", b"ab 12.,\n"][i % 4]
        parts.append(bytes(draw.choice(alphabet) for _ in range(draw.randrange(100))))
    same(file, peer, b"".join(parts).decode(errors="replace"), tmp_path)


def test_bytes_that_are_no_text_come_back(file, tmp_path):
    content = random.Random(2).randbytes(20000)
    (tmp_path / "bytes").write_bytes(content)
    ids = run("tokenizer", "encode", "--tokenizer", file, tmp_path / "bytes")
    (tmp_path / "ids").write_text(ids)
    assert run("tokenizer", "decode", "--tokenizer", file, tmp_path / "ids", text=False) == content


@pytest.mark.skipif(not DOCUMENTS.exists(), reason=f"{DOCUMENTS} is not here")
def test_documents_of_many_languages(file, peer, tmp_path):
    """As shards: 5,689 documents, 390 languages."""
    run("tokenize", DOCUMENTS, "--tokenizer", file, "-o", tmp_path / "tokens")
    shard = (tmp_path / "tokens/train/shard-00000.tnl").read_bytes()
    plain = subprocess.run(["zstd", "-dcq", DOCUMENTS], capture_output=True)
    if plain.returncode != 0:
        pytest.skip("no zstd to read the documents with")
    texts = [json.loads(line)["text"] for line in io.BytesIO(plain.stdout)]
    want = [i for ids in peer.encode_ordinary_batch(texts, num_threads=2) for i in [*ids, 100257]]
    tokens = np.array(want, np.uint32).tobytes()
    assert len(want) > 5_000_000
    assert tokens in shard


@pytest.fixture(scope="module")
def model(file, tmp_path_factory):
    """The 15B model's config.json but for its widths, imported from a folder as released."""
    folder = tmp_path_factory.mktemp("model")
    config = reference.base_config(vocab_size=100280, gate_dim=4, bos_token_id=100261,
                                   eos_token_id=100257, pad_token_id=100262, init_std=0.3)
    reference.write_fixture(folder / "source", config, length=4, decode=1, gradients=False)
    shutil.copy(file, folder / "source")
    out = run("import", folder / "source", "-o", folder / "tiny15")
    assert "tokenizer of 100263 pieces" in out
    assert (folder / "tiny15" / file.name).read_bytes() == file.read_bytes()
    return folder / "tiny15"


def test_inspect_and_generate(model):
    tokenizer = json.loads(run("inspect", model, "--json"))["tokenizer"]
    assert (tokenizer["kind"], tokenizer["eos"], tokenizer["bos"]) == ("tiktoken", 100257, 100261)
    out = json.loads(run("generate", "--model", model, "--prompt", "The king’s", "--device", "cpu",
                         "--max-new-tokens", 8, "--temperature", 0, "--ignore-eos", "--json"))
    assert out["results"][0]["text"]


def test_served(model, peer):
    server = Server(model, "--slots", 2)
    try:
        text = "It's 12345 — 東京 😀\n\n  end"
        ids = server.ask("POST", "/tokenize", {"prompt": text})[2]["tokens"]
        assert ids == peer.encode_ordinary(text)
        assert server.ask("POST", "/detokenize", {"tokens": ids})[2] == {"prompt": text}
        info = server.ask("GET", "/tokenizer_info")[2]
        assert info["tokenizer_class"] == "tiktoken" and info["eos_token"] == "<|endoftext|>"
        choice = server.complete(prompt=text, max_tokens=6, temperature=0, echo=True, logprobs=2,
                                 ignore_eos=True)["choices"][0]
        assert choice["text"].startswith(text)
        assert len(choice["logprobs"]["tokens"]) == len(ids) + 6
        # A special token of the text is text.
        spelled = server.ask("POST", "/tokenize", {"prompt": "<|endoftext|>"})[2]["tokens"]
        assert len(spelled) > 1 and max(spelled) < RANKS
    finally:
        server.stop()


def test_wrong_files(model, tmp_path):
    shutil.copytree(model, tmp_path / "two")
    shutil.copy(next(model.glob("*.tiktoken")), tmp_path / "two/other.tiktoken")
    assert "two tokenizers" in run("import", tmp_path / "two", "-o", tmp_path / "out", code=1)
    (tmp_path / "two/other.tiktoken").unlink()
    file = next((tmp_path / "two").glob("*.tiktoken"))
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1] + ["!! 100255"]))
    error = run("import", tmp_path / "two", "-o", tmp_path / "out", code=1)
    assert f"{file.name}:100256: no base64" in error and not (tmp_path / "out").exists()
