"""Steps of `transnormer corpus filter` beyond quality: languages, addresses, personal data, decontamination and Chinese
words, beside what fastText (0.9.2), datatrove (0.10.1) and jieba (0.42) say (bench/corpus_steps_fixture.py)."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
FIXTURE = Path(__file__).parent / "corpus_steps"
OK, FAILED, USAGE = 0, 1, 2


def run(*arguments, code=OK, **options):
    done = subprocess.run([BINARY, "corpus", "filter", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def lines_of(path):
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line) for line in text.decode().split("\n") if line]


@pytest.fixture(scope="module")
def cases():
    return [json.loads(line) for line in (FIXTURE / "cases.jsonl").read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def records(tmp_path_factory, cases):
    path = tmp_path_factory.mktemp("steps") / "records.jsonl"
    path.write_text("".join(json.dumps({"id": c["id"], "text": c["text"], "url": c["url"]}) + "\n" for c in cases))
    return path


def filtered(records, out, step, *settings):
    run(records, "-o", out, "--set", f'steps=["{step}"]', *[x for s in settings for x in ("--set", s)])
    return ({r["id"]: r for r in lines_of(out / "kept/records.jsonl.zst")},
            {int(r["id"]): r for r in lines_of(out / "dropped/records.jsonl.zst")})


@pytest.mark.parametrize("model", ["softmax.bin", "tree.ftz"])
def test_languages_are_fasttexts(tmp_path, cases, records, model):
    kept, dropped = filtered(records, tmp_path, "language", f"language.model={FIXTURE / model}", "language.only_label=true")
    assert not dropped
    for case in cases:
        label, score = case["language"][model]
        assert (kept[case["id"]]["language"], kept[case["id"]]["language_score"]) == (label, score), case["text"]
    kept, dropped = filtered(records, tmp_path / "some", "language", f"language.model={FIXTURE / model}",
                             'language.languages=["de"]', "language.threshold=0.4", "language.field=lang",
                             "language.score_field=")
    assert all(r["detail"] for r in dropped.values())
    assert {c["id"] for c in cases if c["language"][model][0] == "de" and c["language"][model][1] > 0.4} <= set(kept)
    assert all("lang" in r and "language_score" not in r for r in kept.values()) and kept and dropped
    assert dropped[max(dropped)]["rule"] == "language" and dropped[max(dropped)]["threshold"] == 0.4


def test_a_field_of_the_record_is_replaced(tmp_path):
    lines = ['{"language": [1, {"a": "}"}], "text": "The river is wide.", "b": 1}',
             '{"text": "The river is wide.", "b": {"language": 1}, "language": null}', '{"text": "The river is wide."}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    run("a.jsonl", "-o", "out", "--set", 'steps=["language"]', "--set", f"language.model={FIXTURE / 'tree.ftz'}",
        "--set", "language.only_label=true", cwd=tmp_path)
    records = lines_of(tmp_path / "out/kept/a.jsonl.zst")
    assert [list(r) for r in records] == [["language", "text", "b", "language_score"],
                                          ["text", "b", "language", "language_score"],
                                          ["text", "language", "language_score"]]
    assert {r["language"] for r in records} == {"en"} and records[1]["b"] == {"language": 1}


def test_models_that_are_none(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    model = (FIXTURE / "softmax.bin").read_bytes()
    settings = ["--set", 'steps=["language"]', "--set", "language.model=m.bin"]

    def error(content, code=FAILED):
        (tmp_path / "m.bin").write_bytes(content)
        return run("a.jsonl", "-o", "out", *settings, code=code, cwd=tmp_path).stderr
    assert "m.bin: does not begin as one" in error(b"nothing of that kind")
    for cut in range(1, len(model), len(model) // 60):
        assert "wanted a whole fastText model" in error(model[:cut])
    words = bytearray(model)
    words[8 + 48 + 8:8 + 48 + 12] = struct.pack("<i", 1 << 30)  # entries of the vocabulary
    assert "entries" in error(bytes(words))
    run("a.jsonl", "-o", "out", "--set", 'steps=["language"]', code=USAGE, cwd=tmp_path)
    (tmp_path / "m.bin").write_bytes(model)
    wrong = run("a.jsonl", "-o", "out", *settings, "--set", 'language.languages=["xx"]', code=USAGE, cwd=tmp_path).stderr
    assert "'xx' is no label of m.bin" in wrong


def test_addresses_are_judged_as_datatrove_does(tmp_path, cases, records):
    lists = [f"url.{name}={FIXTURE / name}.txt" for name in
             ("domains", "addresses", "banned_words", "banned_subwords", "soft_banned_words")]
    kept, dropped = filtered(records, tmp_path, "url", f"url.suffixes={FIXTURE / 'suffixes.dat'}", *lists)
    found = {**{i: None for i in kept}, **{i: r["rule"] for i, r in dropped.items()}}
    assert found == {c["id"]: c["url_reason"] for c in cases}
    (tmp_path / "none.jsonl").write_text('{"text": "x"}\n')
    run("none.jsonl", "-o", "none", "--set", 'steps=["url"]', "--set", lists[2], cwd=tmp_path)
    assert lines_of(tmp_path / "none/dropped/none.jsonl.zst")[0]["rule"] == "no_url"
    wrong = run("none.jsonl", "-o", "x", "--set", 'steps=["url"]', "--set", lists[0], "--set", "url.suffixes=absent.dat",
                code=USAGE, cwd=tmp_path).stderr
    assert "publicsuffix" in wrong
    assert "wanted url.domains" in run("none.jsonl", "-o", "x", "--set", 'steps=["url"]', code=USAGE, cwd=tmp_path).stderr


def test_personal_data_is_masked_as_datatrove_does(tmp_path, cases, records):
    kept, dropped = filtered(records, tmp_path, "pii")
    assert not dropped
    assert {i: r["text"] for i, r in kept.items()} == {c["id"]: c["masked"] for c in cases}


def test_documents_with_benchmarks_are_dropped_as_datatrove_does(tmp_path, cases, records):
    settings = ["decontaminate.words=6", "decontaminate.query=question", 'decontaminate.labels=["answer"]',
                f'decontaminate.files=["{FIXTURE / "benchmark.jsonl"}"]']
    kept, dropped = filtered(records, tmp_path, "decontaminate", *settings)
    assert set(dropped) == {c["id"] for c in cases if c["contaminated"]}
    reason = dropped[min(dropped)]
    assert reason["rule"] == "contaminated" and reason["detail"].startswith("benchmark.jsonl: ")
    assert len(reason["detail"].split(": ", 1)[1].split(" ")) >= 6
    wrong = run(records, "-o", tmp_path / "x", "--set", 'steps=["decontaminate"]', code=USAGE).stderr
    assert "wanted decontaminate.files" in wrong


def test_benchmarks_as_csv(tmp_path):
    """CMMLU has a line of names, MMLU has none; answers are letters that name columns."""
    head = ",Question,A,B,C,D,Answer\n"
    rows = ('0,"Which of these rivers, of all in the world, carries",the least water,"the most water to the ""sea"" each year",'
            "no water,fish,B\r\n\r\n1,Short,a,b,c,d,A")
    (tmp_path / "cmmlu.csv").write_text(head + rows)
    (tmp_path / "mmlu.csv").write_text(rows)
    texts = ["They say the Amazon carries the most water to the sea each year, and no other.",
             "of all in the world carries the most water of any", "carries the least water to the sea"]
    records = tmp_path / "records.jsonl"
    records.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)))
    common = ["decontaminate.words=6", 'decontaminate.labels=["Answer"]', "decontaminate.query=Question"]
    named = [f'decontaminate.files=["{tmp_path}/cmmlu.csv"]']
    kept, dropped = filtered(records, tmp_path / "a", "decontaminate", *common, *named)
    assert set(kept) == {2} and dropped[0]["detail"] == "cmmlu.csv: carries the most water to the"
    nameless = [f'decontaminate.files=["{tmp_path}/mmlu.csv"]']
    columns = ['decontaminate.columns=["", "Question", "A", "B", "C", "D", "Answer"]']
    kept, dropped = filtered(records, tmp_path / "b", "decontaminate", *common, *nameless, *columns)
    assert set(kept) == {2}
    kept, dropped = filtered(records, tmp_path / "c", "decontaminate", *common, *named, "decontaminate.overlap_ngrams=false")
    assert set(kept) == {1, 2}
    settings = [x for s in ['steps=["decontaminate"]', *common, *nameless] for x in ("--set", s)]
    wrong = run(records, "-o", tmp_path / "x", *settings, code=USAGE).stderr
    assert "mmlu.csv: has no column 'Answer'" in wrong and "or decontaminate.columns where its first line" in wrong
    (tmp_path / "mmlu.csv").write_text(head + '0,"Which')
    assert "mmlu.csv:2: a quote that does not end" in run(records, "-o", tmp_path / "x", *settings, code=FAILED).stderr
    (tmp_path / "mmlu.csv").write_text(head + "0,Which,a,b\n")
    assert "mmlu.csv: row 2 has 4 fields, wanted 7" in run(records, "-o", tmp_path / "x", *settings, code=FAILED).stderr


@pytest.fixture
def jieba(tmp_path):
    """A small dictionary and model in jieba's formats."""
    folder = tmp_path / "jieba"
    (folder / "finalseg").mkdir(parents=True)
    (folder / "dict.txt").write_text("\n".join(["我们 20 r", "在 90 p", "在家 3 v", "家里 8 s", "读书 9 v", "读 5 v", "书 7 n",
                                                "我 50 r", "们 4 k", "C++ 3 n", "里 6 f", "家 9 n"]) + "\n", encoding="utf-8")
    (folder / "finalseg/prob_start.py").write_text("P={'B': -0.26, 'E': -3.14e+100, 'M': -3.14e+100, 'S': -1.46}\n")
    (folder / "finalseg/prob_trans.py").write_text(
        "P={'B': {'E': -0.51, 'M': -0.91},\n 'E': {'B': -0.58, 'S': -0.80},\n 'M': {'E': -0.33, 'M': -1.26},\n"
        " 'S': {'B': -0.72, 'S': -0.66}}\n")
    (folder / "finalseg/prob_emit.py").write_text(
        "from __future__ import unicode_literals\n\nP={'B': {'\\u8c22': -3.1, '\\u5c0f': -4.0},\n 'E': {'\\u8c22': -9.0, "
        "'\\u5fae': -2.5},\n 'M': {'\\u5c0f': -6.0},\n 'S': {'\\u7684': -1.5, '\\u8c22': -8.0}}\n")
    return folder


def test_chinese_words_are_jiebas(tmp_path, jieba):
    # The number of words and their mean length, as jieba 0.42 with these files cuts the texts.
    texts = {"我们在家里读书": ["我们", "在", "家里", "读书"], "我们 在家": ["我们", "在", "家"], "谢小微的书": ["谢小微", "的", "书"],
             "用C++写3.5%的A.B，好！": ["用", "C++", "写", "3.5%", "的", "A", ".", "B", "，", "好", "！"]}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))
    run("a.jsonl", "-o", "out", "--set", 'steps=["gopher_quality"]', "--set", "words=chinese", "--set", f"jieba={jieba}",
        "--set", "gopher_quality.min_doc_words=1000", cwd=tmp_path)
    found = {int(r["id"]): r["value"] for r in lines_of(tmp_path / "out/dropped/a.jsonl.zst")}
    symbols = {"，", "！", "."}
    assert found == {i: len([w for w in words if w not in symbols]) for i, words in enumerate(texts.values())}
    wrong = run("a.jsonl", "-o", "x", "--set", "words=chinese", code=USAGE, cwd=tmp_path).stderr
    assert "wanted jieba=FOLDER" in wrong and "python3-jieba" in wrong
    (jieba / "dict.txt").write_text("我们 20\n在家\n", encoding="utf-8")
    wrong = run("a.jsonl", "-o", "x", "--set", "words=chinese", "--set", f"jieba={jieba}", code=FAILED, cwd=tmp_path).stderr
    assert "dict.txt:2: '在家', wanted a word, a space and how often it is" in wrong


def test_chinese_of_fineweb2(tmp_path, jieba):
    (tmp_path / "cmn_Hani.yml").write_text(
        "dup_line_frac: 0.287\ntop_n_grams: [[2, 0.256]]\ndup_n_grams: [[5, 0.198]]\nline_punct_thr: 0.106\nnew_line_ratio: 0.178\n"
        "max_avg_word_length: 5\nmin_avg_word_length: 1\nmax_non_alpha_words_ratio: 0.735\nstopwords: [在]\nlanguage_score: 0.692\n")
    shown = json.loads(run("--rules", "cmn_Hani.yml", "--set", f"jieba={jieba}", "--show-rules", cwd=tmp_path).stdout)
    assert shown["words"] == "chinese" and shown["language"]["threshold"] == 0.692
    wrong = run("--rules", "cmn_Hani.yml", "--show-rules", code=USAGE, cwd=tmp_path).stderr
    assert "cmn_Hani.yml: words=chinese" in wrong


def test_parquet_is_read_or_refused(tmp_path):
    """Python's pyarrow writes what the program, if it was built with Apache Arrow, reads."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet
    rows = [{"id": str(i), "text": f"Straße {i} \n\"x\"", "n": i, "x": i / 2, "deep": {"a": [i, None], "b": i % 2 == 0}}
            for i in range(3000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=700)
    done = subprocess.run([BINARY, "corpus", "filter", "a.parquet", "-o", "out", "--set", 'steps=["pii"]'], cwd=tmp_path,
                          capture_output=True, text=True)
    if done.returncode == FAILED:
        assert "built without Apache Arrow" in done.stderr and "TNL_PYARROW" in done.stderr
        pytest.skip("this build has no Apache Arrow")
    assert lines_of(tmp_path / "out/kept/a.jsonl.zst") == rows
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:5000])
    assert "b.parquet: " in run("b.parquet", "-o", "out", code=FAILED, cwd=tmp_path).stderr


def test_parquet_without_arrow_says_what_to_do(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    error = run("a.parquet", "-o", "out", code=FAILED, cwd=tmp_path).stderr
    assert "a.parquet: " in error


if not shutil.which("zstd"):
    pytest.skip("needs the program zstd", allow_module_level=True)


def test_chinese_benchmarks_are_found_by_words(tmp_path, jieba):
    (tmp_path / "items.csv").write_text("Question,Answer\n我们在家里,读书\n", encoding="utf-8")
    records = tmp_path / "records.jsonl"
    texts = ["我们在家里读书。", "在家里，读书", "我们在家读书"]
    records.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)))
    kept, dropped = filtered(records, tmp_path / "out", "decontaminate", "words=chinese", f"jieba={jieba}",
                             "decontaminate.words=3", f'decontaminate.files=["{tmp_path}/items.csv"]',
                             "decontaminate.query=Question", 'decontaminate.labels=["Answer"]')
    assert set(dropped) == {0, 1} and set(kept) == {2}
    assert dropped[0]["detail"] == "items.csv: 在 家里 读书"
