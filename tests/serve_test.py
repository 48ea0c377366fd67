"""`transnormer serve` as its clients see it: OpenAI's own Python client, plain HTTP, and sockets that
misbehave. The model is tiny and random, so that what it says is arbitrary but fixed."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import openai
import pytest

import reference
from cli_test import BINARY, as_json, tokenizer, transnormer, work  # noqa: F401

VOCAB = 320


@pytest.fixture(scope="module")
def model(work, tokenizer, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("serve") / "tiny"
    config = reference.base_config(vocab_size=VOCAB + 4, init_std=0.3)
    reference.write_fixture(folder, config, length=4, decode=1, gradients=False)
    shutil.copy(tokenizer, folder / "tokenizer.model")
    return folder


class Server:
    def __init__(self, model, *arguments, env=None):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--model", str(model), "--port", "0", "--device", "cpu",
             "--threads", "1", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **(env or {})})
        lines = [self.process.stdout.readline() for _ in range(2)]
        found = re.search(r"http://127\.0\.0\.1:(\d+)", lines[-1])
        assert found, lines
        self.port = int(found[1])

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers={}):
        """Status, headers and body: as JSON where it is."""
        with contextlib.closing(self.connect()) as connection:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, answer.headers, json.loads(text) if is_json else text.decode()

    def complete(self, **body):
        status, _, answer = self.ask("POST", "/v1/completions", body)
        assert status == 200, answer
        return answer

    def client(self, **options):
        options.setdefault("api_key", "none")
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", max_retries=0, **options)

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2]
        return float(re.search(rf"^transnormer_{name} (\S+)$", text, re.M)[1])

    def wait_for(self, name, value, seconds=20):
        end = time.monotonic() + seconds
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, out
        return out


@pytest.fixture(scope="module")
def server(model):
    server = Server(model, "--slots", 16, "--max-body", 1)
    yield server
    assert "stopped after" in server.stop()


def events(server, path, **body):
    """The events of a stream, and whether it ended as it should."""
    with contextlib.closing(server.connect()) as connection:
        connection.request("POST", path, json.dumps({"stream": True, **body}))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        parts = answer.read().decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


# ---- completions ----

def test_completion_is_what_generate_says(server, model):
    arguments = dict(prompt="And the king", max_tokens=20, temperature=0, ignore_eos=True)
    answer = server.complete(**arguments)
    generated = as_json("generate", "--model", model, "--prompt", "And the king", "--device", "cpu",
                        "--max-new-tokens", 20, "--temperature", 0, "--ignore-eos", "--json")
    choice = answer["choices"][0]
    assert choice["text"] == generated["results"][0]["text"]
    assert choice["finish_reason"] == "length" and choice["logprobs"] is None
    assert answer["object"] == "text_completion" and answer["model"] == "tiny"
    prompt = len(server.ask("POST", "/tokenize", {"prompt": "And the king"})[2]["tokens"])
    assert answer["usage"] == {"prompt_tokens": prompt, "completion_tokens": 20,
                               "total_tokens": prompt + 20}


def test_stream_is_the_same_text(server):
    arguments = dict(prompt="the people", max_tokens=24, temperature=0.7, seed=3, n=2)
    whole = server.complete(**arguments)
    parts = events(server, "/v1/completions", stream_options={"include_usage": True}, **arguments)
    assert parts[-1]["choices"] == [] and parts[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [c for p in parts for c in p["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        assert [c["finish_reason"] for c in mine if c["finish_reason"]] == [choice["finish_reason"]]
        assert len(mine) > 3


def test_prompts_in_every_shape(server):
    ids = server.ask("POST", "/tokenize", {"prompt": "the river"})[2]["tokens"]
    arguments = dict(max_tokens=8, temperature=0)
    texts = [c["text"] for prompt in ("the river", ids, ["the river"] * 2, [ids, ids])
             for c in server.complete(prompt=prompt, **arguments)["choices"]]
    assert len(texts) == 6 and len(set(texts)) == 1
    many = server.complete(prompt=["the river", "a prophet"], n=3, seed=1, **arguments)
    assert [c["index"] for c in many["choices"]] == list(range(6))


def test_seed_repeats_and_neighbours_do_not_matter(server):
    arguments = dict(prompt="my servant", max_tokens=16, seed=7)
    alone = server.complete(**arguments)["choices"][0]["text"]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        texts = list(pool.map(lambda i: server.complete(**arguments)["choices"][0]["text"],
                              range(24)))
    assert set(texts) == {alone}
    assert server.complete(**{**arguments, "seed": 8})["choices"][0]["text"] != alone


def test_logprobs_of_the_prompt_are_those_of_eval(server, model, tmp_path):
    text = "And the lord said unto Ägypten: dwelt beside the house of David."
    ids = server.ask("POST", "/tokenize", {"prompt": text, "add_special_tokens": False})[2]["tokens"]
    # As lm-eval asks.
    answer = server.complete(model="tiny", prompt=[ids], temperature=0, max_tokens=1, logprobs=1,
                             seed=1234, echo=True)
    logprobs = answer["choices"][0]["logprobs"]
    assert [len(logprobs[k]) for k in ("tokens", "token_logprobs", "top_logprobs",
                                       "text_offset")] == [len(ids) + 1] * 4
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert answer["choices"][0]["text"].startswith(text)
    for value, top in zip(logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:]):
        assert 1 <= len(top) <= 2 and value in top.values() and value <= max(top.values())
    # The token generated is the likeliest.
    assert logprobs["token_logprobs"][-1] == max(logprobs["top_logprobs"][-1].values())
    (tmp_path / "text.txt").write_text(text)
    loss = as_json("eval", "--model", model, tmp_path / "text.txt", "--separator", "", "--device",
                   "cpu", "--bos", "no", "--json")
    assert loss["tokens"] == len(ids) - 1
    mean = -sum(logprobs["token_logprobs"][1:-1]) / (len(ids) - 1)
    assert mean == pytest.approx(loss["loss_nats_per_token"], abs=1e-4)


def test_offsets_and_token_texts(server):
    choice = server.complete(prompt="the king said", max_tokens=0, echo=True,
                             logprobs=3)["choices"][0]
    logprobs = choice["logprobs"]
    assert choice["text"] == "the king said" and choice["finish_reason"] == "length"
    assert "".join(logprobs["tokens"]) == choice["text"]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"]):
        assert choice["text"][offset:].startswith(token)


def test_stop_string_is_not_shown(server):
    arguments = dict(prompt="a shepherd", max_tokens=40, temperature=0, ignore_eos=True)
    text = server.complete(**arguments)["choices"][0]["text"]
    stop = text[8:11]
    choice = server.complete(stop=[stop, "never seen"], **arguments)["choices"][0]
    assert choice["text"] == text[:text.index(stop)] and choice["finish_reason"] == "stop"
    streamed = events(server, "/v1/completions", stop=stop, **arguments)
    assert "".join(p["choices"][0]["text"] for p in streamed) == choice["text"]


def test_best_of_is_the_best(server):
    arguments = dict(prompt="the city", max_tokens=6, seed=5, temperature=1.5, logprobs=0)
    every = server.complete(n=8, **arguments)["choices"]
    best = server.complete(best_of=8, n=1, **arguments)["choices"][0]

    def mean(choice):
        values = choice["logprobs"]["token_logprobs"]
        return sum(values) / len(values)
    assert best["text"] == max(every, key=mean)["text"]


def test_logit_bias_and_penalties_act(server):
    ids = server.ask("POST", "/tokenize", {"prompt": "the"})[2]["tokens"]
    answer = server.complete(prompt="And", max_tokens=5, temperature=0, logit_bias={ids[0]: 100})
    text = server.ask("POST", "/detokenize", {"tokens": ids[:1] * 5})[2]["prompt"]
    assert answer["choices"][0]["text"].strip() == text.strip()
    unlike = server.complete(prompt="And", max_tokens=5, temperature=0, frequency_penalty=2,
                             presence_penalty=2, repetition_penalty=3,
                             logit_bias={ids[0]: 3})
    assert unlike["choices"][0]["text"] != answer["choices"][0]["text"]


# ---- OpenAI's client ----

def test_openai_client(server):
    client = server.client()
    assert [m.id for m in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    whole = client.completions.create(model="tiny", prompt="the king", max_tokens=9, temperature=0,
                                      logprobs=2)
    assert len(whole.choices[0].logprobs.tokens) == whole.usage.completion_tokens
    stream = client.completions.create(model="tiny", prompt="the king", max_tokens=9,
                                       temperature=0, stream=True)
    assert "".join(part.choices[0].text for part in stream) == whole.choices[0].text
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    chat = client.chat.completions.create(model="tiny", messages=messages, max_tokens=12, seed=1,
                                          logprobs=True, top_logprobs=2)
    assert chat.choices[0].message.role == "assistant"
    assert all(len(t.top_logprobs) == 2 for t in chat.choices[0].logprobs.content)
    parts = list(client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=12, seed=1, stream=True,
        stream_options={"include_usage": True}))
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    assert text == chat.choices[0].message.content
    assert parts[-2].choices[0].finish_reason == chat.choices[0].finish_reason
    assert parts[-1].usage.total_tokens == chat.usage.total_tokens
    with pytest.raises(openai.NotFoundError, match="only one is tiny"):
        client.completions.create(model="other", prompt="x")
    with pytest.raises(openai.BadRequestError, match="temperature is -1"):
        client.completions.create(model="tiny", prompt="x", temperature=-1)


def test_chat_template_file(model, tmp_path):
    (tmp_path / "chat.json").write_text(json.dumps({
        "begin": "And ", "stops": ["never"],
        "roles": {"user": {"prefix": "the lord said ", "suffix": "."},
                  "assistant": {"prefix": " Then the king", "suffix": "."}}}))
    server = Server(model, "--chat-template", tmp_path / "chat.json", "--slots", 2)
    try:
        arguments = dict(max_tokens=10, temperature=0, ignore_eos=True)
        status, _, chat = server.ask("POST", "/v1/chat/completions",
                                     {"messages": [{"role": "user", "content": "go"}], **arguments})
        assert status == 200
        plain = server.complete(prompt="And the lord said go. Then the king", **arguments)
        assert chat["choices"][0]["message"]["content"].strip() == \
            plain["choices"][0]["text"].strip()
        assert chat["usage"] == plain["usage"]
    finally:
        server.stop()


# ---- other paths ----

def test_tokenizer_paths(server):
    text = "And the king, Ägypten — 東京"
    tokens = server.ask("POST", "/tokenize", {"prompt": text, "add_special_tokens": False})[2]
    assert tokens["count"] == len(tokens["tokens"])
    assert server.ask("POST", "/detokenize", {"tokens": tokens["tokens"]})[2] == {"prompt": text}
    info = server.ask("GET", "/tokenizer_info")[2]
    assert (info["bos_token"], info["eos_token"]) == ("<s>", "</s>")


def test_health_metrics_and_page(server):
    assert server.ask("GET", "/health")[2] == {"status": "ok"}
    text = server.ask("GET", "/metrics")[2]
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(
            r'transnormer_\w+(\{\w+="[^"]*"\})? [0-9.e+-]+', line), line
    status, headers, page = server.ask("GET", "/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert "<!DOCTYPE html>" in page and "http://" not in page and "https://" not in page


# ---- what is wrong ----

WRONG = [
    ({}, "prompt", "prompt is missing"),
    ({"prompt": []}, "prompt", "prompt is []"),
    ({"prompt": [1, VOCAB]}, "prompt", f"item 1 is {VOCAB}, wanted a token id from 0 to {VOCAB - 1}"),
    ({"prompt": [-1]}, "prompt", "item 0 is -1"),
    ({"prompt": ["a", [1]]}, "prompt", "prompt is [1]"),
    ({"prompt": "a", "max_tokens": "many"}, "max_tokens", 'max_tokens is "many", wanted a whole'),
    ({"prompt": "a", "max_tokens": 1e400}, "", "JSON"),
    ({"prompt": "a", "max_tokens": 0}, "max_tokens", "echo"),
    ({"prompt": "a", "n": 17}, "n", "from 1 to 16"),
    ({"prompt": "a", "n": 2, "best_of": 1}, "best_of", "wanted n = 2 or more"),
    ({"prompt": "a", "top_p": 1.5}, "top_p", "from 0 to 1"),
    ({"prompt": "a", "stop": [1]}, "stop", "wanted text"),
    ({"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias", '"x", wanted a token id'),
    ({"prompt": "a", "stream": "yes"}, "stream", "wanted true or false"),
    ({"prompt": "a", "suffix": "b"}, "suffix", "not supported"),
    ([1], "", "wanted a JSON object"),
    ('{"prompt": "a"', "", "invalid JSON at line 1"),
    ('{"prompt": "a", "prompt": "b"}', "", "twice"),
    (b'{"prompt": "\xff\xfe"}', "", "invalid JSON"),
    ("[" * 5000, "", "nested deeper"),
    ("", "", "invalid JSON"),
]


@pytest.mark.parametrize("body, param, words", WRONG)
def test_wrong_request_is_400_and_says_what_is_right(server, body, param, words):
    status, _, answer = server.ask("POST", "/v1/completions", body)
    assert status == 400, answer
    error = answer["error"]
    assert words in error["message"] and (error["param"] or "") == param
    assert error["type"] == "invalid_request_error"


def test_paths_methods_and_sizes(server):
    assert server.ask("GET", "/nowhere")[0] == 404
    assert server.ask("GET", "/v1/completions")[0] == 405
    assert server.ask("GET", "/v1/models/other")[0] == 404
    status, _, answer = server.ask("POST", "/v1/completions",
                                   json.dumps({"prompt": "a" * (1 << 20)}))
    assert status == 413 and "1048576 bytes" in answer["error"]["message"]


def raw(server, *pieces, read=True):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        for piece in pieces:
            s.sendall(piece)
        answer = b""
        while read and (data := s.recv(65536)):
            answer += data
        return answer


def test_what_is_not_http(server):
    assert raw(server, b"\x16\x03\x01\x02nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(server, b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70000).startswith(b"HTTP/1.1 431 ")
    huge = b"POST /tokenize HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(server, huge).startswith(b"HTTP/1.1 413 ")
    raw(server, b"POST /tokenize HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", read=False)
    assert server.ask("GET", "/health")[0] == 200


def test_http_1_0_and_two_requests_at_once(server):
    body = json.dumps({"prompt": "a", "max_tokens": 2, "stream": True}).encode()
    head = b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = raw(server, head + body)
    assert answer.endswith(b"data: [DONE]\n\n") and b"chunked" not in answer
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert raw(server, get + last).count(b'{"status":"ok"}') == 2


def test_api_key(model):
    server = Server(model, "--slots", 2, env={"TRANSNORMER_API_KEY": "secret"})
    try:
        assert server.ask("GET", "/health")[0] == 200 and server.ask("GET", "/")[0] == 200
        assert server.ask("GET", "/metrics")[0] == 401
        status, headers, answer = server.ask("POST", "/v1/completions", {"prompt": "a"})
        assert status == 401 and answer["error"]["code"] == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            server.client(api_key="secre").models.list()
        assert server.client(api_key="secret").models.list().data[0].id == "tiny"
    finally:
        server.stop()


# ---- many, slow and vanishing clients ----

LONG = dict(prompt="And", max_tokens=10**9, temperature=1, ignore_eos=True, stream=True)


def begin(server, **body):
    """A stream whose first bytes have come."""
    connection = server.connect()
    connection.request("POST", "/v1/completions", json.dumps({**LONG, **body}))
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read1(10)
    return connection, answer


def test_a_client_that_goes_frees_its_slot(server):
    cancelled = server.metric("requests_cancelled_total")
    connection, answer = begin(server)
    assert server.metric("sequences_running") == 1
    answer.close()
    connection.close()
    server.wait_for("sequences_running", 0)
    assert server.metric("requests_cancelled_total") == cancelled + 1
    # One that waits for a whole answer, too.
    waiting = server.connect()
    waiting.request("POST", "/v1/completions", json.dumps({**LONG, "stream": False}))
    server.wait_for("sequences_running", 1)
    waiting.close()
    server.wait_for("sequences_running", 0)


def test_a_slow_reader_is_dropped_and_others_are_not(server):
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        body = json.dumps({**LONG, "logprobs": 20}).encode()
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) +
                     body)
        server.wait_for("sequences_running", 1)
        assert server.complete(prompt="a", max_tokens=3)["choices"]
        server.wait_for("slow_readers_total", 1, seconds=60)
    server.wait_for("sequences_running", 0)


def test_a_hundred_streams(server):
    arguments = dict(max_tokens=12, temperature=0.9)
    prompts = [f"the {word} of {i}" for i, word in enumerate(["king", "river"] * 50)]
    alone = [server.complete(prompt=p, seed=i, **arguments)["choices"][0]["text"]
             for i, p in enumerate(prompts[:10])]

    def stream(i):
        parts = events(server, "/v1/completions", prompt=prompts[i], seed=i, **arguments)
        return "".join(p["choices"][0]["text"] for p in parts)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        texts = list(pool.map(stream, range(100)))
    assert texts[:10] == alone
    server.wait_for("sequences_running", 0)


def test_a_quiet_stream_gets_comments(model):
    server = Server(model, "--slots", 1, "--keep-alive", 0.2)
    try:
        busy = begin(server)
        connection = server.connect()
        connection.request("POST", "/v1/completions", json.dumps({**LONG, "max_tokens": 3}))
        answer = connection.getresponse()
        # It waits for the slot; the comments keep the connection open.
        assert [answer.readline() for _ in range(4)] == [b": ping\n", b"\n"] * 2
        for thing in (busy[1], busy[0]):
            thing.close()
        rest = answer.read().decode()
        assert rest.endswith("data: [DONE]\n\n") and '"finish_reason":"length"' in rest
        connection.close()
    finally:
        server.stop()


def test_the_second_prompt_begins_where_the_first_one_did(model):
    """With the options that are there by default prompts of some hundred tokens are cached."""
    server = Server(model, "--slots", 2)
    try:
        ids = [5 + i % 300 for i in range(700)]
        for last in (7, 8):
            server.complete(prompt=[*ids, last], max_tokens=1)
        assert server.metric("prompt_tokens_cached_total") == 512
    finally:
        server.stop()


def test_full_queue_is_429(model):
    server = Server(model, "--slots", 1, "--queue", 1)
    streams = []
    try:
        streams.append(begin(server))
        waiting = server.connect()
        waiting.request("POST", "/v1/completions", json.dumps(LONG))
        server.wait_for("requests_waiting", 1)
        status, headers, answer = server.ask("POST", "/v1/completions", {"prompt": "a"})
        assert status == 429 and headers["Retry-After"] and \
            answer["error"]["type"] == "rate_limit_error"
        with pytest.raises(openai.RateLimitError):
            server.client().completions.create(model="tiny", prompt="a")
        waiting.close()
        server.wait_for("requests_waiting", 0)
    finally:
        for connection, answer in streams:
            answer.close()
            connection.close()
        server.stop()


def test_sigterm_finishes_what_is_under_way(model):
    server = Server(model, "--slots", 2)
    idle = server.connect()
    idle.request("GET", "/health")
    idle.getresponse().read()
    connection, answer = begin(server, max_tokens=3000)
    server.process.send_signal(signal.SIGTERM)
    rest = answer.read().decode()
    assert rest.endswith("data: [DONE]\n\n") and '"finish_reason":"length"' in rest
    out, _ = server.process.communicate(timeout=60)
    assert server.process.returncode == 0 and "3000 new tokens" in out
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", server.port))


def test_second_sigterm_ends_at_once(model):
    server = Server(model, "--slots", 2)
    connection, answer = begin(server)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert server.process.poll() is None
    server.stop()
