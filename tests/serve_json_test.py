"""Answers that must be JSON: whatever a random model would rather say, what comes is valid by the
schema, as the jsonschema package has it."""

import concurrent.futures
import json

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from cli_test import tokenizer, work  # noqa: F401
from serve_test import Server, events, model  # noqa: F401


@pytest.fixture(scope="module")
def server(model):  # noqa: F811
    server = Server(model, "--slots", 16)
    yield server
    server.stop()


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "bc", 3, None]}, "maxItems": 3},
        "home": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
    },
    "required": ["name", "home"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {
        "city": {"const": "Köln"}, "at": {"type": "array", "items": {"type": "number"},
                                          "minItems": 2, "maxItems": 2}},
        "required": ["city", "at"], "additionalProperties": False}},
}
SCHEMAS = {
    "person": PERSON,
    "integer": {"type": "integer"},
    "one of": {"enum": ["yes", "no", {"maybe": [1.5, True]}]},
    "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False,
             "minItems": 2},
    "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "tree": {"type": "object", "properties": {
        "left": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "value": {"type": "number"}},
        "required": ["left", "value"]},
    "union": {"type": ["string", "boolean", "null"], "maxLength": 4},
}


def shape(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_is_valid(server, name):
    schema = SCHEMAS[name]

    def ask(seed):
        return server.complete(prompt="the king", max_tokens=400, temperature=1.2, seed=seed, n=2,
                               response_format=shape(schema))["choices"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        choices = [c for found in pool.map(ask, range(12)) for c in found]
    whole = [json.loads(c["text"]) for c in choices if c["finish_reason"] == "stop"]
    for value in whole:
        jsonschema.validate(value, schema)
    assert len(whole) >= 6, [c["text"] for c in choices]
    assert len({json.dumps(v) for v in whole}) > 1


def test_json_object_streamed_greedy_and_by_seed(server):
    arguments = dict(messages=[{"role": "user", "content": "go"}], max_tokens=300,
                     response_format={"type": "json_object"}, ignore_eos=True)
    for sampling in (dict(temperature=0, logit_bias={}), dict(temperature=1, seed=3)):
        whole = server.ask("POST", "/v1/chat/completions", {**arguments, **sampling})[2]["choices"][0]
        text = whole["message"]["content"]
        parts = events(server, "/v1/chat/completions", **arguments, **sampling)
        assert "".join(p["choices"][0]["delta"].get("content", "") for p in parts) == text
        assert text.lstrip().startswith("{")
        if whole["finish_reason"] == "stop":
            assert isinstance(json.loads(text), dict)


def test_neighbours_do_not_matter(server):
    asked = dict(prompt="a shepherd", max_tokens=60, temperature=1, seed=5, response_format=shape(PERSON))
    alone = server.complete(**asked)["choices"][0]["text"]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        beside = [pool.submit(server.complete, prompt=f"river {i}", max_tokens=50, seed=i,
                              temperature=i % 2) for i in range(8)]
        again = [pool.submit(server.complete, **asked) for _ in range(4)]
        assert {f.result()["choices"][0]["text"] for f in again} == {alone}
        assert all(len(f.result()["choices"]) == 1 for f in beside)


class Step(BaseModel):
    title: str
    minutes: int
    done: bool | None = None


class Plan(BaseModel):
    steps: list[Step]
    note: str = "none"


def test_models_of_pydantic(server):
    """openai's client makes a strict schema of the class and parses the answer with it."""
    client, parsed = server.client(), 0
    # A random model ends a string once in hundreds of characters.
    ends = {str(server.ask("POST", "/tokenize", {"prompt": c})[2]["tokens"][-1]): 5 for c in '"]}'}
    for seed in range(6):
        try:
            answer = client.chat.completions.parse(
                model="tiny", messages=[{"role": "user", "content": "plan"}], max_tokens=500,
                seed=seed, temperature=1, response_format=Plan, logit_bias=ends)
        except openai.LengthFinishReasonError:
            continue
        assert isinstance(answer.choices[0].message.parsed, Plan)
        parsed += 1
    assert parsed


def test_log_probabilities_are_the_models_own(server):
    choice = server.complete(prompt="x", max_tokens=20, temperature=0, logprobs=2,
                             response_format={"type": "json_object"})["choices"][0]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) .strip().startswith("{")
    # Before the grammar: what is likeliest is rarely what JSON begins with.
    assert logprobs["token_logprobs"][0] <= max(logprobs["top_logprobs"][0].values())


WRONG = [
    ({"type": "json"}, "wanted text, json_object or json_schema"),
    ({"type": "json_schema"}, "json_schema is missing"),
    ({"type": "json_schema", "json_schema": {"name": "x"}}, "schema is missing"),
    (shape({"type": "string", "pattern": "a"}), "#/pattern: is not supported"),
    (shape({"$ref": "#"}), "refers to itself"),
    (shape({"properties": {"a": {"type": "float"}}}), '#/properties/a/type: "float", wanted one'),
    (shape(3), "#: 3, wanted a schema"),
]


@pytest.mark.parametrize("given, words", WRONG)
def test_wrong_schemas(server, given, words):
    for path, rest in (("/v1/completions", {"prompt": "a"}),
                       ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})):
        status, _, answer = server.ask("POST", path, {**rest, "response_format": given})
        assert status == 400 and words in answer["error"]["message"], answer
