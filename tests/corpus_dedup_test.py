"""`transnormer corpus dedup` from end to end: what stays and what goes, the same bytes for any number of
threads and tasks and after kill -9 anywhere, memory below the budget."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys

import pytest

BINARY = os.path.abspath(os.environ.get("TRANSNORMER", "build/transnormer"))
OK, FAILED, USAGE = 0, 1, 2


def dedup(*arguments, code=OK, **options):
    done = subprocess.run([BINARY, "corpus", "dedup", *map(str, arguments)], capture_output=True,
                          text=True, timeout=300, **options)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def lines_of(path):
    """The records of a .jsonl.zst."""
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line) for line in text.decode().splitlines()]


def outputs(out):
    """Every file that a run is for, by its name: all but what says how it was made."""
    files = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if path.is_file() and name.parts[0] not in ("manifest", "leases", "scratch"):
            files[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return files


def left_over(out):
    return [p for folder in ("leases", "scratch") for p in (out / folder).rglob("*") if p.is_file()]


def make_text(draw, words=120):
    return " ".join("".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9)))
                    for _ in range(words)) + "."


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Five files; a third of the documents are near-duplicates of others, some exact."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(3)
    texts = [make_text(draw, draw.randint(20, 400)) for _ in range(1500)]
    for _ in range(700):
        words = draw.choice(texts).split(" ")
        for _ in range(draw.randint(0, 3)):
            words[draw.randrange(len(words))] = "changed"
        texts.append(" ".join(words))
    draw.shuffle(texts)
    for number in range(5):
        write(root / f"{number}.jsonl",
              [{"id": f"{number}-{i}", "text": text, "url": f"http://e.org/{i % 250}"}
               for i, text in enumerate(texts[number::5])])
    return sorted(root.iterdir())


MODES = {"minhash": [], "fast": ["--fast"], "exact": ["--mode", "exact"], "line": ["--mode", "line"], "sentence": ["--mode", "sentence"],
         "substring": ["--mode", "substring"], "ngram": ["--mode", "ngram", "--filter-size", "8M"]}


@pytest.fixture(scope="module")
def single(corpus, tmp_path_factory):
    """What one thread of one task makes, by mode."""
    out = tmp_path_factory.mktemp("single")
    for mode, options in MODES.items():
        dedup(*corpus, "-o", out / mode, "--threads", 1, *options)
        assert left_over(out / mode) == []
    return {mode: outputs(out / mode) for mode in MODES}


@pytest.mark.parametrize("mode", MODES)
def test_threads(corpus, single, tmp_path, mode):
    for threads in (2, 7):
        dedup(*corpus, "-o", tmp_path / str(threads), "--threads", threads, *MODES[mode])
        assert outputs(tmp_path / str(threads)) == single[mode]


@pytest.mark.parametrize("mode", MODES)
def test_memory_does_not_change_the_bytes(corpus, single, tmp_path, mode):
    dedup(*corpus, "-o", tmp_path, "--memory", "256M", *MODES[mode])
    assert outputs(tmp_path) == single[mode]


def test_tasks_share_one_directory(corpus, single, tmp_path):
    tasks = [subprocess.Popen([BINARY, "corpus", "dedup", *corpus, "-o", tmp_path, "--threads", "1",
                               "--task", str(i), "--world", "3"], stdout=subprocess.PIPE, text=True)
             for i in range(3)]
    for task in tasks:
        assert task.wait(120) == OK
        task.stdout.close()
    assert outputs(tmp_path) == single["minhash"]


def test_stages_of_array_tasks(corpus, single, tmp_path):
    """A scheduler's way: one stage after the other, tasks named by the environment."""
    for stage in ("signatures", "duplicates", "clusters", "filter"):
        for task in range(2):
            dedup(*corpus, "-o", tmp_path, "--stage", stage,
                  env={**os.environ, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2",
                       "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "1"})
    assert outputs(tmp_path) == single["minhash"]


SBATCH = """#!/bin/sh
# Stands for Slurm's: runs every task of an array at once, prints a job's number.
for word; do case $word in
    --array=0-*) last=${word#--array=0-};;
    --wrap=*) wrap=${word#--wrap=};;
    --dependency=afterok:*) test -f "$JOBS/${word#--dependency=afterok:}" || exit 1;;
esac; done
id=$(ls "$JOBS" | wc -l)
for task in $(seq 0 $last); do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((last + 1)) SLURM_ARRAY_TASK_MIN=0 \\
        SLURM_ARRAY_TASK_MAX=$last sh -c "$wrap" >> "$JOBS/log" 2>&1 || exit 1 &
done
wait
touch "$JOBS/$id"
echo $id
"""


def test_slurm_script(corpus, single, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "bin/sbatch").write_text(SBATCH)
    (tmp_path / "bin/sbatch").chmod(0o755)
    out = tmp_path / "it's out"
    script = dedup(*corpus, "-o", out, "--memory", "1G", "--emit-slurm", "--slurm-tasks", 4).stdout
    assert not out.exists()
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={
        **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "JOBS": str(tmp_path / "jobs")})
    assert done.returncode == OK, done.stderr + (tmp_path / "jobs/log").read_text()
    assert done.stdout.count("job ") == 4
    assert outputs(out) == single["minhash"]


def test_slurm_script_of_filter(corpus, tmp_path):
    """A command of one stage: one array, no more tasks than inputs, the same files as without it."""
    for name in ("bin", "jobs"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/sbatch").write_text(SBATCH)
    (tmp_path / "bin/sbatch").chmod(0o755)
    begin = [BINARY, "corpus", "filter", *corpus, "--rules", "gopher", "--set", "gopher_quality.min_doc_words=20"]
    subprocess.run([*begin, "-o", tmp_path / "plain"], check=True, capture_output=True)
    script = subprocess.run([*begin, "-o", tmp_path / "out", "--emit-slurm"], check=True, capture_output=True,
                            text=True).stdout
    assert not (tmp_path / "out").exists()
    assert f"--array=0-{len(corpus) - 1} " in script and "--stage" not in script
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={
        **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "JOBS": str(tmp_path / "jobs")})
    assert done.returncode == OK, done.stderr + (tmp_path / "jobs/log").read_text()
    assert done.stdout.startswith("filter: job ")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "plain")


def test_a_stage_needs_those_before(corpus, tmp_path):
    error = dedup(*corpus, "-o", tmp_path, "--stage", "clusters", code=FAILED).stderr
    assert "5 of 5 pieces of stage 'signatures' are not done" in error


@pytest.mark.parametrize("mode", MODES)
def test_killed_anywhere(corpus, single, tmp_path, mode):
    """kill -9 after random times, until a run comes through."""
    draw = random.Random(mode)
    command = [BINARY, "corpus", "dedup", *map(str, corpus), "-o", str(tmp_path), "--threads", "2",
               *MODES[mode]]
    kills = 0
    for attempt in range(200):
        task = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            task.wait(draw.uniform(0.01, 0.15) * (1 + attempt))
            error = task.stderr.read().decode()
            assert task.returncode == OK, error
            break
        except subprocess.TimeoutExpired:
            task.send_signal(signal.SIGKILL)
            task.wait()
            kills += 1
        finally:
            task.stderr.close()
    assert kills >= 3
    assert outputs(tmp_path) == single[mode]
    assert left_over(tmp_path) == []
    again = json.loads(dedup(*corpus, "-o", tmp_path, "--json", *MODES[mode]).stdout)
    assert all(stage["done_before"] == stage["units"] for stage in again)


def test_parameters_and_inputs_that_changed(corpus, single, tmp_path):
    inputs = [tmp_path / path.name for path in corpus]
    for source, copy in zip(corpus, inputs):
        copy.write_bytes(source.read_bytes())
    out = tmp_path / "out"
    run = lambda *more: json.loads(dedup(*inputs, "-o", out, "--json", *more).stdout)
    run()
    first = outputs(out)
    os.utime(inputs[0])  # another time, the same bytes: nothing to do
    assert all(stage["done_here"] == 0 for stage in run())
    assert run("--rows", 5)[0]["done_here"] == 5
    assert outputs(out) != first
    run()
    assert outputs(out) == first
    write(inputs[2], [{"id": "x", "text": "something else entirely, of more than five words"}])
    stages = run()
    assert stages[0]["done_here"] == 1 and stages[3]["done_here"] == 5


def test_what_stays(tmp_path):
    draw = random.Random(1)
    a, b = make_text(draw), make_text(draw)
    near = a.replace(" ", "  ").upper() + " more"
    write(tmp_path / "0.jsonl", [{"id": "a", "text": a, "n": 1.50}, {"id": "e", "text": ""},
                                 {"id": "b", "text": b}])
    write(tmp_path / "1.jsonl", [{"id": "a2", "text": near}, {"id": "s", "text": "short text"},
                                 {"id": "b2", "text": b}, {"id": "s2", "text": "short text"}])
    out = tmp_path / "out"
    text = dedup(tmp_path / "0.jsonl", tmp_path / "1.jsonl", "-o", out).stdout
    assert "4 of 6 documents kept" in text
    assert [r["id"] for r in lines_of(out / "kept/0.jsonl.zst")] == ["a", "b"]
    assert [r["id"] for r in lines_of(out / "kept/1.jsonl.zst")] == ["s", "s2"]
    assert lines_of(out / "dropped/1.jsonl.zst") == [
        {"id": "a2", "file": 1, "document": 0, "rule": "minhash"},
        {"id": "b2", "file": 1, "document": 2, "rule": "minhash"}]
    exact = tmp_path / "exact"
    dedup(tmp_path / "0.jsonl", tmp_path / "1.jsonl", "-o", exact, "--mode", "exact")
    assert [r["id"] for r in lines_of(exact / "kept/1.jsonl.zst")] == ["a2", "s"]


def test_index_of_an_earlier_corpus(corpus, tmp_path):
    dedup(*corpus[:3], "-o", tmp_path / "old", "--write-index", "old")
    dedup(*corpus, "-o", tmp_path / "all")
    new = json.loads(dedup(*corpus[3:], "-o", tmp_path / "new", "--index", tmp_path / "old/index",
                           "--json").stdout)
    kept = {r["id"] for p in (tmp_path / "new/kept").iterdir() for r in lines_of(p)}
    wanted = {r["id"] for n in (3, 4) for r in lines_of(tmp_path / f"all/kept/{n}.jsonl.zst")}
    assert new[1]["counts"]["indexed"] > 0
    # Whole clusters go where the earlier corpus has a part: never more than in one run over all.
    assert kept == wanted


def test_fast_finds_as_much(corpus, tmp_path):
    """Other numbers than datatrove's, nearly the same documents: those that go, or the one that stays for them."""
    gone = {}
    for name, options in {"plain": [], "fast": ["--fast"]}.items():
        dedup(*corpus, "-o", tmp_path / name, *options)
        gone[name] = {r["id"] for f in (tmp_path / name / "dropped").iterdir() for r in lines_of(f)}
    both = gone["plain"] & gone["fast"]
    assert len(gone["plain"]) > 500
    assert len(both) > 0.95 * max(len(gone["plain"]), len(gone["fast"]))
    assert "--fast" in dedup(*corpus, "-o", tmp_path / "x", "--fast", "--hash", "sha1", code=USAGE).stderr


def test_lines_paragraphs_urls(tmp_path):
    write(tmp_path / "a.jsonl", [
        {"text": "Header\none\n\nFooter 1", "url": "http://www.X.org/p/?b=2&a=1#top"},
        {"text": "header\ntwo\nFooter 2", "url": "https://x.org/p?a=1&b=2"},
        {"text": "Header\n\n\nthree\nHeader", "url": "https://x.org/q"},
        {"text": "Header", "url": ""}])
    path = tmp_path / "a.jsonl"
    kept = lambda out: [r["text"] for r in lines_of(tmp_path / out / "kept/a.jsonl.zst")]
    dedup(path, "-o", tmp_path / "line", "--mode", "line")
    assert kept("line") == ["Header\none\n\nFooter 1", "header\ntwo\nFooter 2", "\n\nthree"]
    dedup(path, "-o", tmp_path / "ccnet", "--mode", "line", "--form", "ccnet")
    assert kept("ccnet") == ["Header\none\n\nFooter 1", "two", "\n\nthree"]
    dedup(path, "-o", tmp_path / "none", "--mode", "line", "--form", "ccnet", "--keep", "none")
    assert kept("none") == ["one", "two", "\n\nthree"]
    dropped = lines_of(tmp_path / "none/dropped/a.jsonl.zst")
    assert dropped[-1] == {"id": "a.jsonl/3", "file": 0, "document": 3, "rule": "line", "pieces": 1,
                           "of": 1, "bytes": 6, "dropped": True}
    dedup(path, "-o", tmp_path / "paragraph", "--mode", "paragraph")
    assert kept("paragraph") == ["Header\none\n\nFooter 1", "header\ntwo\nFooter 2",
                                 "Header\n\n\nthree\nHeader"]
    dedup(path, "-o", tmp_path / "url", "--mode", "url")
    assert [r["url"] for r in lines_of(tmp_path / "url/kept/a.jsonl.zst")] == [
        "http://www.X.org/p/?b=2&a=1#top", "https://x.org/q", ""]


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


@pytest.mark.parametrize("mode", MODES)
def test_peak_memory(tmp_path, mode):
    """Documents whose signatures, keys and edges are several times the budget."""
    draw = random.Random(2)
    vocabulary = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(5000)]
    count = {"minhash": 350_000, "substring": 15_000}.get(mode, 60_000)
    for number in range(2):
        with open(tmp_path / f"{number}.jsonl", "w") as file:
            for _ in range(count):
                words = draw.choices(vocabulary, k=8)
                text = " ".join(words) if mode == "minhash" else "\\n".join(words * 6)
                file.write('{"text": "%s"}\n' % text)
    def peak(*arguments):
        done = subprocess.run([sys.executable, "-c", PEAK, BINARY, *arguments], capture_output=True,
                              text=True, timeout=300)
        code, peak = map(int, done.stdout.split())
        assert code == OK
        return peak

    # Beside the program itself, of which CUDA's libraries are 200 MB.
    used = peak("corpus", "dedup", tmp_path / "0.jsonl", tmp_path / "1.jsonl", "-o", tmp_path / "out",
                "--memory", "256M", "--threads", "2", *MODES[mode]) - peak("--version")
    assert used <= 256 << 20, f"{used / 2**20:.0f} MiB"
    if mode == "minhash":
        size = sum(p.stat().st_size for p in (tmp_path / "out/signatures").rglob("*") if p.is_file())
        assert size > 2 * (256 << 20)


def test_wrong_usage(corpus, tmp_path):
    out = tmp_path / "out"
    for arguments, message in [
            (["--stage", "third"], "--stage 'third', wanted all, signatures, duplicates, clusters, filter"),
            (["--memory", "1M"], "wanted at least 256M"),
            (["--bands", "0"], "0 bands of 8 rows"),
            (["--only-index"], "--only-index without --index"),
            (["--mode", "exact", "--bands", "3"], "--bands is of --mode minhash"),
            (["--task", "3", "--world", "2"], "3"),
            (["--index", tmp_path], "no *.minhash.index")]:
        assert message in dedup(*corpus, "-o", out, *arguments, code=USAGE).stderr
    write(tmp_path / "bad.jsonl", [{"id": 1, "body": "no text"}])
    assert "bad.jsonl:1" in dedup(tmp_path / "bad.jsonl", "-o", out, code=FAILED).stderr
