"""`transnormer verify` on files that are wrong: the message names file and field, the code is 1 (2
where it is the command line that is wrong)."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import reference
from parity_test import verify


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    config = reference.base_config(decoder_layers=2, linear_use_lrpe_list=[1, 0])
    return reference.write_fixture(tmp_path_factory.mktemp("good"), config, length=12, decode=3)


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "fixture")


def fails(folder, *words, code=1, extra=()):
    done = verify(folder, *extra)
    print(done.stderr)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("transnormer verify: ")
    for word in words:
        assert str(word) in done.stderr, done.stderr


def change(path, **tensors):
    content = load_file(path)
    for name, value in tensors.items():
        name = name.replace("__", ".")
        content.pop(name)
        if value is not None:
            content[name] = np.ascontiguousarray(value)
    save_file(content, path)


FIELDS = ["input_ids", "prefill_logits", "prefill_state.0", "prefill_state.1", "greedy_ids",
          "decode_logits", "train_loss"]


@pytest.mark.parametrize("field", FIELDS)
def test_missing_field(folder, field):
    change(folder / "expected.safetensors", **{field: None})
    fails(folder, folder / "expected.safetensors", f'"{field}"')


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_shape(folder, field):
    old = load_file(folder / "expected.safetensors")[field]
    new = np.zeros(3, np.float32) if field == "train_loss" else old[..., :-1]
    change(folder / "expected.safetensors", **{field: new})
    fails(folder, folder / "expected.safetensors", '"', f"{list(new.shape)}" if field not in (
        "input_ids", "greedy_ids") else "logits")  # ids decide the shape of logits


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_dtype(folder, field):
    old = load_file(folder / "expected.safetensors")[field]
    new = old.astype(np.float32 if old.dtype == np.int64 else np.int64)
    change(folder / "expected.safetensors", **{field: new})
    fails(folder, folder / "expected.safetensors", f'"{field}"', "F32" if field in (
        "input_ids", "greedy_ids") else "I64")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["prefill_logits", "prefill_state.1", "decode_logits"])
def test_not_finite(folder, field, value):
    new = load_file(folder / "expected.safetensors")[field].copy()
    new.flat[-1] = value
    change(folder / "expected.safetensors", **{field: new})
    fails(folder, folder / "expected.safetensors", f'"{field}"', str([n - 1 for n in new.shape]),
          str(value))


@pytest.mark.parametrize("value", [-1, 97, 2**40])
@pytest.mark.parametrize("field", ["input_ids", "greedy_ids"])
def test_id_out_of_range(folder, field, value):
    new = load_file(folder / "expected.safetensors")[field].copy()
    new[1, 2] = value
    change(folder / "expected.safetensors", **{field: new})
    fails(folder, folder / "expected.safetensors", f'"{field}"', "[1, 2]", value)


def test_mask_of_other_values(folder):
    content = load_file(folder / "expected.safetensors")
    content["attention_mask"] = np.full((2, 12), 2)
    save_file(content, folder / "expected.safetensors")
    fails(folder, '"attention_mask"', "[0, 0]", "0 to 1")


def test_state_of_a_layer_that_is_not_there(folder):
    content = load_file(folder / "expected.safetensors")
    content["prefill_state.2"] = content["prefill_state.1"]
    save_file(content, folder / "expected.safetensors")
    fails(folder, '"prefill_state.2"', "layers 0 to 1")


def test_unknown_tensors_are_named_as_not_compared(folder):
    content = load_file(folder / "expected.safetensors")
    content["hidden"] = content["prefill_logits"]
    save_file(content, folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 0 and "not compared: hidden" in done.stdout


@pytest.mark.parametrize("file", ["expected", "gradients", "model"])
@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated(folder, file, keep):
    path = folder / f"{file}.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    fails(folder, path)


@pytest.mark.parametrize("file", ["expected", "model"])
def test_missing_file(folder, file):
    (folder / f"{file}.safetensors").unlink()
    fails(folder, file)


def test_missing_gradients(folder):
    (folder / "gradients.safetensors").unlink()
    nowhere = str(folder / "nowhere.safetensors")
    fails(folder, nowhere, extra=["--gradients", nowhere])


def test_gradient_of_a_parameter_missing(folder):
    change(folder / "gradients.safetensors", model__embed_tokens__weight=None)
    fails(folder, folder / "gradients.safetensors", '"model.embed_tokens.weight"')


def test_gradient_not_finite(folder):
    new = load_file(folder / "gradients.safetensors")["model.embed_tokens.weight"].copy()
    new[3, 5] = np.nan
    change(folder / "gradients.safetensors", model__embed_tokens__weight=new)
    fails(folder, folder / "gradients.safetensors", '"model.embed_tokens.weight"', "[3, 5]", "nan")


def test_nan_weight(folder):
    new = load_file(folder / "model.safetensors")["model.layers.1.channel_mixer.l1.weight"].copy()
    new[3, 5] = np.nan
    change(folder / "model.safetensors", model__layers__1__channel_mixer__l1__weight=new)
    fails(folder, folder / "model.safetensors", '"model.layers.1.channel_mixer.l1.weight"',
          "[3, 5]")


def test_sequences_longer_than_learned_positions(tmp_path):
    config = reference.base_config(position_embeddings=14)
    with pytest.raises(ValueError):  # 12 + 3 tokens: NumPy cannot do it either
        reference.write_fixture(tmp_path, config, length=12, decode=3)
    config["position_embeddings"] = 15
    folder = reference.write_fixture(tmp_path, config, length=12, decode=3)
    assert verify(folder).returncode == 0
    content = load_file(folder / "model.safetensors")
    content["model.embed_positions.weight"] = content["model.embed_positions.weight"][:14].copy()
    save_file(content, folder / "model.safetensors")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"position_embeddings": 15',
                                                     '"position_embeddings": 14'))
    fails(folder, folder / "expected.safetensors", "up to 14")


@pytest.mark.parametrize("arguments, message", [
    (["--dtype", "f16"], "--dtype: f16 not in {f32,bf16,f64}"),
    (["--chunk", "0"], "--chunk: 0, wanted a number above 0"),
    (["--threads", "-1"], "--threads: -1, wanted 0 or more"),
    (["--nothing"], "unknown option '--nothing'"),
    (["--device", "tpu"], "unknown device 'tpu', wanted cpu, cuda"),
])
def test_usage(folder, arguments, message):
    fails(folder, message, "See transnormer verify --help.", code=2, extra=arguments)


def test_a_model_that_is_no_directory(tmp_path):
    done = verify(Path(tmp_path) / "nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr
