"""`transnormer quantize` and `--weights`: a trained model in 8 and 4 bits, through the commands that
read a model, and the server."""

import json

import pytest

from cli_test import (FAILED, USAGE, as_json, model, tokenizer, tokens, trained,  # noqa: F401
                      transnormer, work)
from serve_test import Server


@pytest.fixture(scope="module")
def quantized(model, tmp_path_factory):  # noqa: F811
    """The model's directory in each format, and what making it printed."""
    root = tmp_path_factory.mktemp("quantized")
    return {name: (root / name, as_json("quantize", model, "-o", root / name, "--weights", name,
                                        "--json"))
            for name in ("int8", "int4")}


def loss(directory, work, *more):  # noqa: F811
    return as_json("eval", "--model", directory, work / "held_out.jsonl", "--json",
                   *more)["loss_nats_per_token"]


@pytest.mark.parametrize("name,most", [("int8", 0.002), ("int4", 0.1)])
def test_costs_little_and_is_the_same_when_made_at_load(quantized, model, work,  # noqa: F811
                                                        name, most):
    directory, made = quantized[name]
    floats, fewer = loss(model, work), loss(directory, work)
    assert fewer == pytest.approx(floats, abs=most)
    assert fewer != floats
    assert loss(model, work, "--weights", name) == fewer
    assert loss(directory, work, "--weights", name) == fewer
    assert made["layers"] == name and made["head"] == "int8"
    stored = (directory / "model.safetensors").stat().st_size
    assert made["bytes"] < stored < made["bytes"] + 8192
    assert stored < (model / "model.safetensors").stat().st_size * {"int8": 0.45, "int4": 0.35}[name]


def test_every_reader_takes_it(quantized, model, tmp_path):  # noqa: F811
    for name, (directory, _) in quantized.items():
        common = ["--prompt", "And the king", "--max-new-tokens", 12, "--temperature", 0, "--quiet"]
        text = transnormer("generate", "--model", directory, *common).stdout
        assert text == transnormer("generate", "--model", model, "--weights", name, *common).stdout
        assert text.strip()
        server = Server(directory, "--slots", 4)
        try:
            answer = server.complete(prompt="And the king", max_tokens=12, temperature=0)
            assert answer["choices"][0]["text"] + "\n" == text
        finally:
            server.stop()
        found = as_json("inspect", directory, "--json")
        assert "training" not in found["memory"]
        assert "U8" in found["weights"]["dtypes"]
        assert f"layers in {name}, head in int8" in transnormer("inspect", directory).stdout
        state = tmp_path / f"{name}.state"
        transnormer("generate", "--model", directory, *common, "--save-state", state)
        transnormer("generate", "--model", directory, *common, "--load-state", state)


def test_config_says_so(quantized):
    config = json.loads((quantized["int4"][0] / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "transnormer", "layers": "int4",
                                             "head": "int8"}
    assert (quantized["int4"][0] / "tokenizer.model").exists()
    assert (quantized["int4"][0] / "generation_config.json").exists()


def test_head_may_stay(model, work, tmp_path):  # noqa: F811
    made = as_json("quantize", model, "-o", tmp_path / "out", "--weights", "int8", "--head", "float",
                   "--json")
    assert made["head"] == "none"
    assert loss(tmp_path / "out", work) > 0
    text = transnormer("quantize", model, "-o", tmp_path / "text", "--weights", "int4").stdout
    assert "layers in int4, head in int8" in text and "bits each" in text


def test_bench_measures_it():
    reads = {weights: as_json("bench", "decode", "--preset", "tiny", "--weights", weights,
                              "--tokens", 2, "--format", "json")["weight_bytes_per_token"]
             for weights in ("keep", "int8", "int4")}
    assert reads["int4"] < 0.65 * reads["int8"] and reads["int8"] < 0.65 * reads["keep"]


def test_what_wants_floats_says_so(quantized, tokens, tmp_path):  # noqa: F811
    directory, _ = quantized["int8"]
    out = tmp_path / "out"
    for arguments in (["quantize", directory, "-o", out, "--weights", "int4"],
                      ["export", directory, "-o", out], ["import", directory, "-o", out],
                      ["train", "--run", tmp_path / "run", f"init={directory}",
                       f"data.train={tokens}", "train.steps=2"],
                      ["generate", "--model", directory, "--weights", "int4", "--prompt", "a"]):
        error = transnormer(*arguments, code=USAGE).stderr
        assert "take the directory that" in error, error
        assert not out.exists()


def test_wrong_files_are_named(quantized, model, tmp_path):  # noqa: F811
    directory, _ = quantized["int8"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())

    def error(**quantization):
        changed = {**config, "quantization_config": quantization} if quantization else {
            k: v for k, v in config.items() if k != "quantization_config"}
        (copy / "config.json").write_text(json.dumps(changed))
        return transnormer("eval", "--model", copy, copy / "config.json", code=FAILED).stderr

    assert f"{copy}/config.json: quantization_config" in error(quant_method="gptq", bits=4)
    assert "has shape" in error(quant_method="transnormer", layers="int4", head="int8")
    assert "has dtype U8, wanted F32" in error()
    assert "wanted none, int8 or int4" in error(quant_method="transnormer", layers="int3",
                                                head="int8")
