"""Cases of corpus_conformance.py beyond the rules of quality: addresses, languages, personal data,
decontamination and Chinese words. Needs fasttext-numpy2-wheel, fasteners, tldextract, pyahocorasick, jieba and
xxhash < 3.6 from PyPI, and fastText's program (Debian: fasttext), which trains models."""

import os
import random
import re
import subprocess
from pathlib import Path

os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""  # the list that tldextract comes with

WORDS = "river news shop casino adult free blog forum photo bad1 worse x9".split()
SUFFIXES = ["com", "org", "co.uk", "uk", "github.io", "blogspot.com", "ck", "www.ck", "foo.ck", "kawasaki.jp",
            "city.kawasaki.jp", "a.kawasaki.jp", "рф", "xn--p1ai", "museum", "nosuchtld", "local", "香港", "xn--j6w193g"]
EMAIL_PARTS = ("@ . .. a b1 a.b a..b .a a. -a a- é x@y x@y.z joe.o'neil+tag@mail.example.co.uk a@b.c.d. user@-bad.com u@a-.com "
               "u@a.b-.com n@[1.2.3.4] n@[1.2.3.400] n@[1.2.3.tag:] n@[1.2.3.-t:] é@x.yz xé.b@c.de _a@b.cc !#$%&'*+/=?^_`{|}~-@q.rs "
               "a@b@c.de a@b.c@d.ef 𝒳a@b.cd a@b.ça a@bé.com (mail@host.org) <m@h.org>, m@h.org; http://u:p@h.org/").split()
IP_PARTS = ("1.2.3.4 10.0.0.1 8.8.8.8 256.1.1.1 1.256.1.1 1.1.1.256 1.1.1.299 01.2.3.4 1.02.3.4 1.2.3.04 192.168.0.1 172.15.0.1 "
            "172.16.0.1 172.31.9.9 172.32.0.1 100.63.1.1 100.64.0.1 100.127.9.9 100.128.0.1 127.0.0.1 169.254.1.1 198.17.9.9 198.18.0.1 "
            "198.20.0.1 198.51.100.7 203.0.113.9 203.0.112.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 0.1.2.3 192.0.2.1 192.0.3.1 "
            "1.2.3.4.5 11.2.3.4.5.6.7.8 1.2.3 ..1.2.3.4 1234.1.1.1 1.2.3.4567 9.9.9.9a a9.9.9.9 ٣.1.2.3 1.2.3.٣ 7.7.7.7.").split()


class Addresses:
    """Of each document one, and lists of which some match."""

    def __init__(self, folder, seed, count):
        self.random = r = random.Random(seed)
        hosts = [".".join(r.choice(WORDS) for _ in range(r.randint(0, 3))) for _ in range(60)]
        self.hosts = [".".join(filter(None, [h, r.choice(SUFFIXES)])) for h in hosts]
        self.urls = [self.url() for _ in range(count)]
        self.lists = {
            "domains": r.sample(self.hosts, 12) + ["# comment", "news.com", "river.co.uk", "x9.www.ck", "shop.foo.ck"],
            "addresses": r.sample(self.urls, max(1, count // 50)),
            "banned_words": ["casino", "BAD1!", "#free"],
            "banned_subwords": ["wor se", "photoblog", "x9riv"],
            "soft_banned_words": ["adult", "shop", "forum", "free"]}
        self.files = {}
        for name, lines in self.lists.items():
            self.files[name] = folder / f"{name}.txt"
            self.files[name].write_text("\n".join(lines) + "\n", encoding="utf-8")

    def url(self):
        r = self.random
        host = r.choice(self.hosts)
        if r.random() < 0.1:
            host = r.choice(["1.2.3.4", "[::1]", "[v1.x]", "localhost", "", host + ".", host.upper(), host.replace(".", "。"),
                             "." + host, host.replace(".", "..", 1), "xn--zzzzz.com", "münchen.de", " " + host + " "])
        path = "/".join(r.choice(WORDS) + r.choice(["", "-", "_", "%20", "é", "."]) + r.choice(WORDS)
                        for _ in range(r.randint(0, 3)))
        return (r.choice(["http://", "https://", "HTTP://", "//", "", "ftp://", "ht!tp://", "a+b-c.d://", "http:/"]) +
                r.choice(["", "", "", "user@", "u:p@", "u@v@"]) + host + r.choice(["", "", ":8080", ":"]) +
                r.choice(["", "/", "/" + path, "?" + path, "#" + path, "/" + path + "?q=" + r.choice(WORDS)])) or "/"


def train_languages(documents, folder, seed):
    """Models of fastText's four losses and a quantized one, trained by its program (PyPI's wheel meets NaN) on the documents whose ids begin with udhr
    (one language each), and on lines of the others as English."""
    r = random.Random(seed)
    lines = []
    for identity, text in documents:
        label = Path(identity.split("/")[1]).stem if identity.startswith("udhr") else "eng"
        of = [line.strip() for line in text.splitlines() if line.strip()]
        lines += [f"__label__{label} {line}" for line in (of if label != "eng" else r.sample(of, min(2, len(of))))]
    if not lines:
        return {}
    r.shuffle(lines)
    training = folder / "languages.txt"
    training.write_text("\n".join(lines), encoding="utf-8")
    run = lambda *of: subprocess.run(["fasttext", *map(str, of)], check=True, stdout=subprocess.DEVNULL)
    paths = {}
    for loss, more in (("hs", []), ("softmax", ["-wordNgrams", 2]), ("ova", ["-minn", 0, "-maxn", 0]), ("ns", [])):
        run("supervised", "-input", training, "-output", folder / loss, "-loss", loss, "-dim", 16, "-minn", 2, "-maxn", 4,
            "-bucket", 20000, "-epoch", 2, "-thread", 1, "-verbose", 0, *more)
        paths[loss] = folder / f"{loss}.bin"
    run("quantize", "-input", training, "-output", folder / "hs", "-cutoff", 8000, "-qnorm", "-verbose", 0)
    paths["hs, quantized"] = folder / "hs.ftz"
    return paths


class Language:
    """datatrove's LanguageFilter with a model of ours; what it says of a document is compared, too."""
    fields = ["language", "language_score"]

    def __init__(self, model, **options):
        from datatrove.pipeline.filters import LanguageFilter
        from fasttext.FastText import _FastText
        self.of = LanguageFilter(**options)
        self.of.model._model = _FastText(str(model))

    def filter(self, document):
        return self.of.filter(document) or (False, "language")


class Pii:
    def __init__(self, **options):
        self.options = options

    def filter(self, document):
        from datatrove.pipeline.formatters import PIIFormatter
        document.text = PIIFormatter(**self.options).format(document.text)  # a new one: its turns begin anew
        return True


def decontamination(folder, texts, seed, count=60, language="eng", **options):
    """A benchmark of pieces of the texts, its hashes by datatrove, and the filter that knows them. In Chinese pieces are of
    characters."""
    import json

    import numpy
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
    from datatrove.utils.hashing import create_hash_func
    from datatrove.utils.word_tokenizers import load_word_tokenizer
    r = random.Random(seed)
    config = NGramsDecontConfig(**options)
    indexer = object.__new__(NGramsDecontIndexer)  # its own way asks for lighteval
    indexer.config, indexer.tokenizer = config, load_word_tokenizer(language)
    indexer.hash_func = create_hash_func(config.hash_config)
    items, hashes = [], set()
    space = "" if language == "cmn_Hani" else " "
    pieces = (lambda text: re.findall(r"[\u4e00-\u9fff]", text)) if not space else str.split
    for text in r.choices([t for t in texts if len(pieces(t)) > 30], k=count):
        words = pieces(text)
        begin, length = r.randrange(len(words) - 20), r.randint(2, 40)
        label = space.join(words[begin:begin + length])
        query = space.join(words[max(0, begin - r.randint(0, 30)):begin]) if r.random() < 0.8 else ""
        items.append({"answer": label, "question": query})
        hashes.update(indexer.compute_hashes(label, query))
    benchmark = folder / "benchmark.jsonl"
    benchmark.write_text("".join(json.dumps(i) + "\n" for i in items))
    index = folder / "index"
    index.mkdir(exist_ok=True)
    numpy.array(list(hashes), dtype="<u8").tofile(index / "task.index.hashes")
    return benchmark, index / "task.index.hashes", NGramsDecontFilter(index_folder=str(index), config=config, language=language)


def chinese_rules():
    """A quality filter that looks at little but words, with bounds that Chinese texts are near."""
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    settings = ['steps=["gopher_quality", "gopher_repetition"]', "words=chinese", "gopher_quality.min_avg_word_length=1",
                "gopher_quality.max_avg_word_length=1.6", "gopher_quality.min_doc_words=15",
                'gopher_quality.stop_words=["的", "是", "在", "和"]']
    filters = [GopherQualityFilter(min_avg_word_length=1, max_avg_word_length=1.6, min_doc_words=15,
                                   stop_words=["的", "是", "在", "和"], language="cmn_Hani"),
               GopherRepetitionFilter(language="cmn_Hani")]
    return settings, filters


def step_cases(folder, documents, texts, addresses, seed, only):
    """name: (rules, settings, filters), as corpus_conformance.py has them; `only`: of which names those that contain it are
    wanted, or None."""
    wanted = lambda *names: any(only is None or only in name or name in only for name in names)
    import json

    import jieba
    import tldextract
    from datatrove.pipeline.filters import URLFilter
    folder = folder / "steps"
    folder.mkdir()
    cases = {}
    suffixes = Path(tldextract.__file__).parent / ".tld_set_snapshot"
    lists = {{"domains": "extra_domains", "addresses": "extra_urls"}.get(k, k): v for k, v in addresses.lists.items()}
    cases["url"] = ("fineweb", ['steps=["url"]', f"url.suffixes={suffixes}",
                                *[f"url.{name}={path}" for name, path in addresses.files.items()]],
                    [URLFilter(**lists, use_integrated_lists=False)])
    cases["pii"] = ("fineweb", ['steps=["pii"]'], [Pii()])
    cases["pii, all addresses"] = ("fineweb", ['steps=["pii"]', "pii.public_ips_only=false", 'pii.email_replacements=["x"]'],
                                   [Pii(only_remove_public_ips=False, email_replacement="x")])
    models = train_languages(documents, folder, seed) if wanted("language") else {}
    for loss, path in models.items():
        cases[f"language, {loss}"] = ("fineweb", ['steps=["language"]', f"language.model={path}"], [Language(path)])
        some = ["eng", "deu_1901", "fra", "spa"]
        known = [l for l in some if any(f"/{l}." in i for i, _ in documents) or l == "eng"]
        cases[f"language, {loss}, some"] = (
            "fineweb", ['steps=["language"]', f"language.model={path}", "language.threshold=0.3",
                        f"language.languages={json.dumps(known)}"], [Language(path, languages=known, language_threshold=0.3)])
    benchmarks = {"decontaminate": {},
                  "decontaminate, 5 words of questions": dict(n_grams=5, find_query_ngrams=True, find_overlap_ngrams=False)}
    for name, options in benchmarks.items() if wanted(*benchmarks) else ():
        here = folder / name.replace(" ", "_")
        here.mkdir()
        benchmark, index, found = decontamination(here, texts, seed, **options)
        settings = ['steps=["decontaminate"]', f"decontaminate.words={options.get('n_grams', 12)}",
                    f"decontaminate.query_ngrams={str(options.get('find_query_ngrams', False)).lower()}",
                    f"decontaminate.overlap_ngrams={str(options.get('find_overlap_ngrams', True)).lower()}"]
        cases[name] = ("fineweb", settings + [f"decontaminate.files={json.dumps([str(benchmark)])}", "decontaminate.query=question",
                                              'decontaminate.labels=["answer"]'], [found])
        cases[name + ", datatrove's index"] = ("fineweb", settings + [f"decontaminate.files={json.dumps([str(index)])}"], [found])
    if wanted("decontaminate, chinese"):
        here = folder / "decontaminate_chinese"
        here.mkdir()
        benchmark, _, found = decontamination(here, texts, seed, count=20, language="cmn_Hani", n_grams=5)
        settings = ['steps=["decontaminate"]', "words=chinese", f"jieba={Path(jieba.__file__).parent}", "decontaminate.words=5"]
        cases["decontaminate, chinese"] = (
            "fineweb", settings + [f"decontaminate.files={json.dumps([str(benchmark)])}", "decontaminate.query=question",
                                   'decontaminate.labels=["answer"]'], [found])
    settings, filters = chinese_rules()
    cases["chinese"] = ("fineweb", settings + [f"jieba={Path(jieba.__file__).parent}"], filters)
    return cases
