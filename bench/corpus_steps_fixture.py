"""What tests/corpus_steps_test.py compares with: tests/corpus_steps/ with two small models of fastText, trained here
on a few sentences of six languages, and documents with what fastText and datatrove say of them.

    build/venv/bin/python bench/corpus_steps_fixture.py tests/corpus_steps

Needs datatrove, fasttext-numpy2-wheel, tldextract and pyahocorasick from PyPI, and fastText's program (Debian: fasttext)."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SENTENCES = {
    "en": "The river is wide and the boat is slow. We saw three birds above the old bridge. She reads a book every evening. "
          "It was raining when the train came in. My brother has a garden with many flowers. You can see the sea from here.",
    "de": "Der Fluss ist breit und das Boot ist langsam. Wir sahen drei Vögel über der alten Brücke. Sie liest jeden Abend ein "
          "Buch. Es regnete, als der Zug ankam. Mein Bruder hat einen Garten mit vielen Blumen. Man sieht das Meer von hier.",
    "fr": "La rivière est large et le bateau est lent. Nous avons vu trois oiseaux au-dessus du vieux pont. Elle lit un livre "
          "chaque soir. Il pleuvait quand le train est arrivé. Mon frère a un jardin avec beaucoup de fleurs.",
    "es": "El río es ancho y el barco es lento. Vimos tres pájaros sobre el viejo puente. Ella lee un libro cada noche. "
          "Llovía cuando llegó el tren. Mi hermano tiene un jardín con muchas flores. Desde aquí se ve el mar.",
    "ru": "Река широкая, а лодка медленная. Мы видели трёх птиц над старым мостом. Она читает книгу каждый вечер. "
          "Шёл дождь, когда пришёл поезд. У моего брата есть сад с множеством цветов. Отсюда видно море.",
    "zh": "河 很 宽 船 很 慢 我们 看见 三 只 鸟 在 老 桥 上 她 每天 晚上 读书 火车 来 的 时候 正在 下雨 我 哥哥 有 一个 花园"}
SUFFIXES = ["com", "org", "net", "uk", "co.uk", "*.ck", "!www.ck", "jp", "*.kawasaki.jp", "!city.kawasaki.jp", "рф"]


def parts(text):
    return [s.strip() for s in text.replace("?", ".").split(".") if s.strip()] if "." in text else [
        " ".join(text.split()[i:i + 6]) for i in range(0, len(text.split()), 6)]


def train(folder):
    """By the library's program: PyPI's wheel is compiled so that it meets NaN with models as small as these."""
    lines = [f"__label__{language} {sentence}" for language, text in SENTENCES.items() for sentence in parts(text)]
    random.Random(1).shuffle(lines)
    training = folder / "training.txt"
    training.write_text("\n".join(lines * 4), encoding="utf-8")
    run = lambda *arguments: subprocess.run(["fasttext", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    options = ["-input", training, "-dim", 6, "-minn", 2, "-maxn", 3, "-bucket", 300, "-epoch", 50, "-lr", 0.3, "-thread", 1,
               "-verbose", 0]
    run("supervised", *options, "-loss", "softmax", "-wordNgrams", 2, "-output", folder / "softmax")
    run("supervised", *options, "-loss", "hs", "-output", folder / "tree")
    run("quantize", "-input", training, "-output", folder / "tree", "-cutoff", 300, "-qnorm", "-dsub", 2, "-verbose", 0)
    for name in ("training.txt", "softmax.vec", "tree.vec", "tree.bin"):
        (folder / name).unlink()


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    psl = folder / "suffixes.dat"
    psl.write_text("// ICANN\n" + "\n".join(SUFFIXES) + "\n// ===BEGIN PRIVATE DOMAINS===\nblogspot.com\n", encoding="utf-8")
    os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = str(psl.resolve())
    os.environ["TLDEXTRACT_CACHE"] = tempfile.mkdtemp()
    import corpus_steps
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    train(folder)
    r = random.Random(7)
    addresses = corpus_steps.Addresses(folder, 7, 250)
    lists = {{"domains": "extra_domains", "addresses": "extra_urls"}.get(k, k): v for k, v in addresses.lists.items()}
    url_filter = URLFilter(**lists, use_integrated_lists=False)
    languages = {name: corpus_steps.Language(folder / name) for name in ("softmax.bin", "tree.ftz")}
    words = [word for text in SENTENCES.values() for word in text.split()]
    sentences = [s for text in SENTENCES.values() for s in parts(text)]
    texts = []
    for i in range(250):
        pieces = [r.choice(sentences) if r.random() < 0.5 else r.choice(words) for _ in range(r.randint(1, 9))]
        pieces += [r.choice(corpus_steps.EMAIL_PARTS + corpus_steps.IP_PARTS) for _ in range(r.randint(0, 8))]
        r.shuffle(pieces)
        texts.append(r.choice([" ", " ", " ", "\n", "", "\t"]).join(pieces))
    texts[:6] = ["\n", "</s> after", "__label__en x", "\x00a\x00b", "𝒳 \u3000y", "．"]
    work = Path(tempfile.mkdtemp())
    benchmark, _, contaminated = corpus_steps.decontamination(work, [t * 2 for t in texts], 3, count=12, n_grams=6)
    (folder / "benchmark.jsonl").write_text(benchmark.read_text())
    with open(folder / "cases.jsonl", "w", encoding="utf-8") as out:
        for i, text in enumerate(texts):
            case = {"id": i, "text": text, "url": addresses.urls[i], "language": {}}
            for name, each in languages.items():
                document = Document(text=text, id="")
                each.filter(document)
                case["language"][name] = [document.metadata["language"], document.metadata["language_score"]]
            answer = url_filter.filter(Document(text=text, id="", metadata={"url": addresses.urls[i]}))
            case["url_reason"] = answer[1] if isinstance(answer, tuple) else None
            document = Document(text=text, id="")
            corpus_steps.Pii().filter(document)
            case["masked"] = document.text
            case["contaminated"] = contaminated.filter(Document(text=text, id="")) is not True
            out.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
