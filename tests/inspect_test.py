"""`transnormer inspect`: sizes of the presets, memory, and every kind of file it reads."""

import json
import os
import re
import shutil
import subprocess

import pytest
from safetensors.numpy import load_file, save_file

import reference
from resume_test import arguments, data  # noqa: F401  (data is a fixture)

BINARY = os.environ.get("TRANSNORMER", "build/transnormer")


def transnormer(*words):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=120)


def inspect(*words):
    """The JSON, after a look at the text."""
    text = transnormer("inspect", *words)
    assert text.returncode == 0 and text.stdout.strip(), text.stderr
    done = transnormer("inspect", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Parameters of the released files; what table 10 of 2307.14995 says of those never released, with
# its vocabulary of 50272, in percent of which ours may differ.
RELEASED = {"385M": 398984192, "1B": 1020266496, "3B": 2911111680, "7B": 6836719616,
            "15B": 14833382400}
PAPER = {"385M": (384974848, 0.02), "1B": (992165888, 0.01), "3B": (2876006400, 0.01),
         "7B": (6780547072, 0.01), "13B": (12620195840, 0.01), "65B": (63528009728, 0.01),
         "175B": (173023297536, 1)}


def test_presets():
    presets = {p["name"]: p for p in inspect()["presets"]}
    for name, count in RELEASED.items():
        assert presets[name]["parameter_count"] == count
    for name, (count, percent) in PAPER.items():
        config = presets[name]["config"]
        ours = presets[name]["parameter_count"]
        ours -= (config["vocab_size"] - 50272) * config["decoder_embed_dim"]
        assert abs(ours - count) <= percent / 100 * count, name
    assert {"tiny", "tiny3", "2M", "25M"} <= presets.keys()
    help_text = transnormer("inspect", "--help").stdout
    for name, preset in presets.items():
        assert re.search(rf"^{name} +{preset['parameter_count']} ", help_text, re.M), name


@pytest.mark.parametrize("name", [*RELEASED, *PAPER, "tiny", "tiny3", "2M", "25M"])
def test_a_preset(name):
    out = inspect(name)
    config = out["config"]
    assert out["parameter_count"] == sum(p["count"] for p in out["parameters"])
    heads, width = config["decoder_attention_heads"], config["hidden_dim"]
    head = width // heads
    # One layer has LRPE, which doubles the keys.
    assert out["state_bytes_per_sequence"] == 4 * heads * head * head * (
        config["decoder_layers"] + 1)
    for p in out["parameters"]:
        assert p["decay"] == (len(p["shape"]) == 2)
    training, inference = out["memory"]["training"], out["memory"]["inference"]
    kept = [training[f"recompute_{name}"]["activations"] for name in ("block", "glu", "none")]
    assert kept == sorted(set(kept))
    assert inference["states, f32"] >= out["state_bytes_per_sequence"]
    for lines in (training["recompute_none"], training["recompute_glu"], training["recompute_block"]):
        assert lines["total"] == sum(v for k, v in lines.items() if k != "total")


def test_memory_follows_the_options():
    small = inspect("tiny", "--batch", 1, "--length", 64)["memory"]
    large = inspect("tiny", "--batch", 4, "--length", 128, "--slots", 8, "--dtype", "f32")["memory"]
    activations = [m["training"]["recompute_none"]["activations"] for m in (small, large)]
    assert 14 < activations[1] / activations[0] < 18  # 8 times the tokens, twice the bytes
    assert large["inference"]["states, f32"] == 8 * small["inference"]["states, f32"]


def test_training_needs_what_inspect_says(data, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    dry = transnormer(*arguments(run, data), "--dry-run")
    assert dry.returncode == 0, dry.stderr
    table = dict(re.findall(r"^  (\S.*?) +([\d.]+) MiB$", dry.stdout, re.M))
    config = {"vocab_size": 320}
    said = inspect("tiny", "--batch", 2, "--length", 48, "--dtype", "f32")
    assert said["config"]["vocab_size"] == config["vocab_size"]
    lines = said["memory"]["training"]["recompute_none"]
    assert len(table) == len(lines) == 6
    for name, mib in table.items():
        bytes_said = lines["total" if name == "together" else name]
        assert abs(bytes_said / 2**20 - float(mib)) < 0.06, name


def test_layers_are_folded_unless_all_are_wanted():
    folded, full = transnormer("inspect", "1B").stdout, transnormer("inspect", "1B", "--all").stdout
    assert "model.layers.{0-15}.channel_mixer.l3.weight" in folded
    assert "16 x" in folded and "16 x" not in full
    assert "model.layers.7.channel_mixer.l3.weight" in full


def test_model_directory(tmp_path):
    config = reference.base_config(gate_dim=4, linear_use_lrpe_list=[1, 0, 1])
    folder = reference.write_fixture(tmp_path, config, length=5, decode=1)
    out = inspect(folder)
    weights = load_file(folder / "model.safetensors")
    assert out["weights"]["tensors"] == len(weights)
    assert out["weights"]["dtypes"] == ["F32"]
    assert out["weights"]["bytes"] == sum(w.nbytes for w in weights.values())
    assert {p["name"]: p["shape"] for p in out["parameters"]} == {
        name: list(w.shape) for name, w in weights.items()}
    assert out["parameter_count"] == sum(w.size for w in weights.values())
    assert out["variant"] == "TNL3"
    assert out["memory"]["training"]["dtype"] == "f32"
    assert inspect(folder / "config.json")["parameters"] == out["parameters"]
    tensors = {t["name"]: t for t in inspect(folder / "model.safetensors")["tensors"]}
    assert tensors.keys() == weights.keys()


def test_weights_that_do_not_fit(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=5, decode=1)
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.channel_mixer.l1.weight")
    save_file(weights, folder / "model.safetensors")
    done = transnormer("inspect", folder)
    assert done.returncode == 1 and done.stdout == ""
    assert '"model.layers.1.channel_mixer.l1.weight" [40, 48] is missing' in done.stderr
    (folder / "model.safetensors").unlink()
    assert inspect(folder)["weights"] is None


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):  # noqa: F811
    run = tmp_path_factory.mktemp("inspected") / "run"
    done = transnormer(*arguments(run, data), "train.steps=9")
    assert done.returncode == 0, done.stderr
    return run


def test_run_and_checkpoint(run):
    out = inspect(run)
    assert out["run"]["latest"]["step"] == out["run"]["latest"]["steps"] == 9
    assert out["run"]["checkpoints"][-1] == 9
    assert out["run"]["latest"]["tokens"] == 9 * 2 * 2 * 48
    assert (out["memory"]["training"]["batch"], out["memory"]["training"]["length"]) == (2, 48)
    checkpoint = inspect(run / "checkpoints" / "latest")
    assert checkpoint["checkpoint"]["step"] == 9
    assert checkpoint["checkpoint"]["held_out_loss"] > 0
    assert checkpoint["tokenizer"]["vocab_size"] == checkpoint["config"]["vocab_size"]
    assert checkpoint["memory"] == out["memory"]
    assert inspect(run / "run.json")["run"]["checkpoints"] == out["run"]["checkpoints"]


def test_damaged_trainer_state(run, tmp_path):
    copy = shutil.copytree(run / "checkpoints" / "latest", tmp_path / "checkpoint")
    text = (copy / "trainer.json").read_text()
    (copy / "trainer.json").write_text(text.replace('"tokens"', '"tokns"', 1))
    done = transnormer("inspect", copy)
    assert done.returncode == 1
    assert "trainer.json" in done.stderr and "/tokens" in done.stderr


def test_shards_and_tokenizer(data, tmp_path):  # noqa: F811
    both = inspect(data)["shards"]
    assert len(both) == 2 and both[0]["tokens"] > both[1]["tokens"] > 0
    shard = next((data / "train").glob("*.tnl"))
    alone = inspect(shard)["shards"][0]
    assert {**alone, "path": ""} == {**both[0], "path": ""}
    tokenizer = inspect(data.parent / "tok.model")["tokenizer"]
    assert tokenizer["vocab_size"] == both[0]["vocab_size"] == 320
    assert tokenizer["hash"] == both[0]["tokenizer_hash"]
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    (tmp_path / "shard-0.tnl").write_bytes(content)
    done = transnormer("inspect", tmp_path)
    assert done.returncode == 1 and "checksum" in done.stderr


@pytest.mark.parametrize("what, message", [("2B", "nor a preset"), ("nowhere/x", "no such file"),
                                           (os.path.abspath(__file__), "wanted .json"),
                                           (os.path.dirname(__file__), "holds neither")])
def test_what_is_nothing(what, message):
    done = transnormer("inspect", what)
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr


@pytest.mark.parametrize("words", [["tiny", "--batch", "0"], ["tiny", "--dtype", "f64"],
                                   ["tiny", "--batch", "3000000", "--length", "3000000"]])
def test_usage(words):
    done = transnormer("inspect", *words)
    assert done.returncode == 2, done.stderr
