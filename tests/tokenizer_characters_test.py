"""`transnormer tokenizer train --characters` and `tokenizer report`."""

import json
import os
import subprocess

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
OK, FAILED, USAGE = 0, 1, 2


def run(*arguments, code=OK, **options):
    done = subprocess.run([BINARY, "tokenizer", *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    words = "river stone light water house wood rain sound sleep roof hand winter harvest bird south school book".split()
    lines = [" ".join(words[(i * k + i) % len(words)] for k in range(9)) for i in range(400)]
    (folder / "text.txt").write_text("\n".join(lines + ["的的的 的"]))
    (folder / "han.txt").write_text("# by how often\n的 100\n龘\t3\n一 90\n\n鑫 80 more\n")
    run("train", "text.txt", "-o", "plain.model", "--vocab-size", 400, cwd=folder)
    run("train", "text.txt", "-o", "han.model", "--vocab-size", 400, "--characters", "han.txt", "--most-characters", 3,
        "--max-lines", 300, cwd=folder)
    return folder


def test_the_most_frequent_characters_of_a_table_have_pieces(models):
    def pieces(model):  # without the space that encoding puts in front
        found = run("encode", "--tokenizer", model, "--text", "的一鑫龘", "--pieces", cwd=models).stdout.split()
        return [piece.strip("▁") for piece in found if piece != "▁"]
    assert pieces("han.model") == ["的", "一", "鑫", "<0xE9>", "<0xBE>", "<0x98>"]
    assert "<0xE4>" in pieces("plain.model")  # 一
    (models / "bad.txt").write_text("的 1\n的一 2\n")
    error = run("train", "text.txt", "-o", "x.model", "--characters", "bad.txt", code=FAILED, cwd=models).stderr
    assert "bad.txt:2: '的一 2', wanted a character" in error and not (models / "x.model").exists()


def test_report_counts_by_language(models, tmp_path):
    rows = [{"text": "的一，鑫", "language": "zh"}, {"text": "river stone, don't", "language": "en"}, {"text": "river"},
            {"text": "龘", "language": "zh"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    arguments = ["report", "--tokenizer", models / "han.model", "--tokenizer", models / "plain.model", tmp_path / "a.jsonl"]
    han, plain = json.loads(run(*arguments, "--json").stdout)
    encoded = lambda text: run("encode", "--tokenizer", models / "han.model", "--text", text).stdout.split()
    zh = han["languages"]["zh"]
    assert (zh["documents"], zh["bytes"], zh["characters"], zh["words"]) == (2, 15, 5, 4)
    assert zh["tokens"] == len(encoded("的一，鑫")) + len(encoded("龘"))
    assert zh["byte_tokens"] == 6 and zh["split_characters"] == 2  # ， and 龘
    assert han["languages"]["en"]["words"] == 3 and han["languages"]["?"]["tokens"] == len(encoded("river"))
    assert plain["languages"]["zh"]["tokens"] > zh["tokens"]
    assert han["all"]["tokens"] == sum(each["tokens"] for each in han["languages"].values())
    assert zh["tokens_per_word"] == pytest.approx(zh["tokens"] / 4)
    table = run(*arguments).stdout
    assert "han.model: SentencePiece, 400 pieces" in table and "\n  zh " in table and "\n  all " in table
    one = json.loads(run(*arguments, "--json", "--documents", 1, "--language-field", "").stdout)
    assert one[0]["languages"]["?"]["documents"] == 1
