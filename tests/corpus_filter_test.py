"""`transnormer corpus filter` from end to end: datatrove's answers, the same bytes for any number of threads
and tasks and after kill -9, and what is said of wrong input."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
CASES = Path(__file__).parent / "corpus_filter_cases.jsonl"
OK, FAILED, USAGE = 0, 1, 2

# As bench/corpus_conformance.py names and sets them.
RULES = {
    "gopher_repetition": ["--set", 'steps=["gopher_repetition"]'],
    "gopher_quality": ["--set", 'steps=["gopher_quality"]'],
    "gopher_quality, few words": ["--set", 'steps=["gopher_quality"]', "--set", "gopher_quality.min_doc_words=1"],
    "c4": ["--rules", "c4"],
    "c4, FineWeb's": ["--set", 'steps=["c4"]'],
    "c4_paragraphs": ["--set", 'steps=["c4_paragraphs"]'],
    "c4_badwords": ["--set", 'steps=["c4_badwords"]', "--set", "c4_badwords.file={words}"],
    "fineweb": ["--set", 'steps=["fineweb"]'],
    "fineweb, 0.1": ["--set", 'steps=["fineweb"]', "--set", "fineweb.char_duplicates_ratio=0.1"],
    "all, FineWeb's order": [],
}
BAD_WORDS = ["darn", "what the heck", "naïve", "c++", "ǆungla", "οδος"]


def run(*arguments, code=OK, **options):
    done = subprocess.run([BINARY, "corpus", "filter", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def lines_of(path):
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line) for line in text.decode().split("\n") if line]


def outputs(out):
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(out.rglob("*"))
            if p.is_file() and p.relative_to(out).parts[0] not in ("manifest", "leases", "scratch")}


@pytest.fixture(scope="module")
def cases():
    return [json.loads(line) for line in CASES.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, cases):
    """Several files with several chunks' worth of text, each document another."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "deep").mkdir()
    for name, start in (("a.jsonl", 0), ("b.jsonl", 1), ("deep/a.jsonl", 2)):
        with open(folder / name, "w", encoding="utf-8") as out:
            for i in range(6000):
                case = cases[(start + 7 * i) % len(cases)]
                out.write(json.dumps({"n": i, "text": f"{case['text']} {i}", "more": {"x": [i]}}) + "\n")
    return folder


@pytest.mark.parametrize("name", RULES)
def test_answers_are_datatroves(tmp_path, cases, name):
    records = tmp_path / "records.jsonl"
    records.write_text("".join(json.dumps({"id": i, "text": c["text"]}) + "\n" for i, c in enumerate(cases)))
    words = tmp_path / "words.txt"
    words.write_text("\n".join(BAD_WORDS))
    run(records, "-o", tmp_path / "out", *[s.format(words=words) for s in RULES[name]])
    found = {r["id"]: hashlib.sha256(r["text"].encode()).hexdigest()[:16]
             for r in lines_of(tmp_path / "out/kept/records.jsonl.zst")}
    found |= {int(r["id"]): r["rule"] for r in lines_of(tmp_path / "out/dropped/records.jsonl.zst")}
    assert found == {i: c["answers"][name] for i, c in enumerate(cases) if c["text"]}
    assert len(set(found.values()) & {c["answers"][name] for c in cases}) > 2


def test_fields_and_reasons(tmp_path):
    good = "We have the words that a text of this kind has, and more of them to go on with. " * 12
    lines = ['{"a": 1.50,  "text": %s, "z":null}' % json.dumps(good + str(n)) for n in range(3)]
    lines.insert(1, '{"id":"short", "text":"Too short.", "k": "v"}')
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    run("a.jsonl", "-o", "out", "--set", 'steps=["gopher_quality"]', cwd=tmp_path)
    kept = subprocess.run(["zstd", "-dc", "out/kept/a.jsonl.zst"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert kept == "".join(lines[i] + "\n" for i in (0, 2, 3))
    reason = {"step": "gopher_quality", "rule": "gopher_short_doc", "value": 2, "threshold": 50}
    assert lines_of(tmp_path / "out/dropped/a.jsonl.zst") == [{"id": "short", "index": 1, "bytes": 10, **reason}]
    run("a.jsonl", "-o", "out", "--set", 'steps=["gopher_quality"]', "--dropped", "records", cwd=tmp_path)
    assert lines_of(tmp_path / "out/dropped/a.jsonl.zst") == [
        {"id": "short", "text": "Too short.", "k": "v", "dropped": reason}]
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    assert stats["counts"]["documents"] == 4 and stats["counts"]["kept_documents"] == 3
    assert stats["counts"]["dropped"] == {"gopher_quality": {"gopher_short_doc": {"documents": 1, "bytes": 10}}}
    run("a.jsonl", "-o", "out", "--set", 'steps=["gopher_quality"]', "--dropped", "none", cwd=tmp_path)
    assert not (tmp_path / "out/dropped/a.jsonl.zst").exists()


def test_threads_tasks_and_kills_do_not_show(tmp_path, corpus):
    inputs = [corpus / "a.jsonl", corpus / "b.jsonl", corpus / "deep/a.jsonl"]
    run(*inputs, "-o", tmp_path / "one", "--threads", 1)
    wanted = outputs(tmp_path / "one")
    assert set(wanted) == {"stats.json", *(f"{kind}/{name}.jsonl.zst" for kind in ("kept", "dropped")
                                           for name in ("a", "b", "deep/a"))}
    run(*reversed(inputs), "-o", tmp_path / "three", "--threads", 3)
    assert outputs(tmp_path / "three") == wanted
    run(inputs[0], "-o", tmp_path / "alone", "--threads", 4)  # threads share one file
    assert outputs(tmp_path / "alone")["kept/a.jsonl.zst"] == wanted["kept/a.jsonl.zst"]
    tasks = [subprocess.Popen([BINARY, "corpus", "filter", *inputs, "-o", tmp_path / "tasks", "--threads", "1"],
                              env={**os.environ, "SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_MIN": "0",
                                   "SLURM_ARRAY_TASK_MAX": "1", "SLURM_ARRAY_TASK_COUNT": "2"},
                              stdout=subprocess.DEVNULL) for i in range(2)]
    assert [task.wait(120) for task in tasks] == [OK, OK]
    run(*inputs, "-o", tmp_path / "tasks")
    assert outputs(tmp_path / "tasks") == wanted
    for delay in (0.02, 0.1, 0.3, 0.6):
        process = subprocess.Popen([BINARY, "corpus", "filter", *inputs, "-o", tmp_path / "killed", "--threads", "2"],
                                   stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in (tmp_path / "killed/kept").glob("**/*.zst"):  # what is there is whole
            assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted[str(path.relative_to(tmp_path / "killed"))]
    run(*inputs, "-o", tmp_path / "killed")
    assert outputs(tmp_path / "killed") == wanted
    again = run(*inputs, "-o", tmp_path / "killed", "--json")
    assert json.loads(again.stdout)["done_before"] == 3


def test_a_task_waits_for_what_another_has(tmp_path, corpus):
    """Exit code 0 says that all is done, whoever did it."""
    command = [BINARY, "corpus", "filter", corpus / "a.jsonl", corpus / "b.jsonl", "-o", tmp_path, "--task", "0", "--world", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wanted = outputs(tmp_path)
    unit = sorted((tmp_path / "manifest").iterdir())[1]
    unit.unlink()
    (tmp_path / "stats.json").unlink()
    lease = tmp_path / "leases" / (unit.stem + ".lease")
    lease.write_text("another.1.1.1\n")  # of a machine that we know nothing of
    task = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    assert task.poll() is None and not unit.exists()
    lease.unlink()
    assert task.wait(60) == OK
    assert outputs(tmp_path) == wanted


def test_only_what_changed_is_made_again(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "Some words."}\n')
    arguments = [tmp_path / "a.jsonl", tmp_path / "b.jsonl", "-o", tmp_path / "out", "--json"]
    done = lambda *more: json.loads(run(*arguments, *more).stdout)["done_here"]
    assert done() == 2
    assert done() == 0
    (tmp_path / "b.jsonl").write_text('{"text": "Other words."}\n')
    assert done() == 1
    assert done("--set", "gopher_quality.min_doc_words=1") == 2
    (tmp_path / "out/kept/a.jsonl.zst").write_bytes(b"")
    assert done("--set", "gopher_quality.min_doc_words=1") == 1


def test_errors_name_file_line_and_remedy(tmp_path):
    def error(*arguments, code=FAILED):
        return run(*arguments, "-o", "out", code=code, cwd=tmp_path).stderr
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": "no end}\n')
    assert "a.jsonl:2: invalid JSON at line 1, column" in error("a.jsonl")
    assert not (tmp_path / "out/kept/a.jsonl.zst").exists()
    assert "1 bad records skipped" in run("a.jsonl", "-o", "skip", "--bad-record", "skip", cwd=tmp_path).stdout
    assert "no such file" in error("none.jsonl", code=USAGE)
    assert "rules 'x', wanted one of fineweb" in error("a.jsonl", "--rules", "x", code=USAGE)
    assert "gopher_quality.min_doc_word" in error("a.jsonl", "--set", "gopher_quality.min_doc_word=1", code=USAGE)
    assert "wanted --world" in run("a.jsonl", "-o", "out", "--task", 1, code=USAGE, cwd=tmp_path).stderr
    assert "--output is required" in run("a.jsonl", code=USAGE, cwd=tmp_path).stderr
    assert "inputs is required" in run("-o", "x", code=USAGE, cwd=tmp_path).stderr
    shown = json.loads(run("--show-rules", "--rules", "c4").stdout)
    assert shown["steps"] == ["c4"] and shown["c4"]["min_num_sentences"] == 5
