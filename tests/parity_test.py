"""`transnormer verify` on checkpoints nobody tuned for: random configurations, each computed by the
independent model of reference.py, and the authors' recorded fixtures where they are at hand."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import reference

BINARY = os.environ.get("TRANSNORMER", "build/transnormer")
SHARED = Path(os.environ.get("TNL_SHARED", Path(__file__).parents[1] / "../shared")) / "parity"

CASES = {
    "three_heads": dict(),
    "five_heads_odd_width": dict(decoder_attention_heads=5, decoder_embed_dim=35, hidden_dim=35),
    "one_head": dict(decoder_attention_heads=1),
    "twelve_heads": dict(decoder_attention_heads=12),
    "one_layer": dict(decoder_layers=2, linear_use_lrpe_list=[0, 1]),
    "tnl3": dict(gate_dim=16),
    "tnl3_rank_3": dict(gate_dim=3, decoder_attention_heads=5, decoder_embed_dim=40,
                        hidden_dim=40),
    "no_lrpe": dict(linear_use_lrpe_list=[0, 0, 0]),
    "lrpe_everywhere": dict(linear_use_lrpe_list=[1, 1, 1]),
    "unscaled": dict(no_scale_embedding=True),
    "bias": dict(bias=True),
    "tnl3_bias": dict(bias=True, gate_dim=8),
    "layernorm": dict(norm_type="layernorm"),
    **{f"act_{name}": dict(linear_act_fun=name)
       for name in reference.ACTIVATIONS if name != "swish"},
    "tnl3_relu": dict(gate_dim=8, linear_act_fun="relu"),
    "tnl3_exp": dict(gate_dim=8, linear_act_fun="exp"),
}


def verify(folder, *extra):
    command = [BINARY, "verify", "--model", str(folder),
               "--expected", str(folder / "expected.safetensors"), *extra]
    if (folder / "gradients.safetensors").exists():
        command += ["--gradients", str(folder / "gradients.safetensors")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", CASES)
def test_random_checkpoint(name, tmp_path):
    config = reference.base_config(**CASES[name])
    folder = reference.write_fixture(tmp_path, config, seed=len(name))
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 257])
def test_lengths(length, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=length, batch=1,
                                     decode=4, gradients=False, seed=length)
    if length == 1:  # no next token: no training loss
        expected = load_file(folder / "expected.safetensors")
        expected.pop("train_loss")
        save_file(expected, folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("padding", [[0, 7, 30], [39, 1, 0], [0, -5, 12]])
def test_padding(padding, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=40, batch=3,
                                     padding=padding, seed=3)
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_value_is_found_and_named(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=40)
    expected = load_file(folder / "expected.safetensors")
    expected["prefill_state.1"] = expected["prefill_state.1"].copy()
    expected["prefill_state.1"][1, 2, 3, 4] += 0.01 * np.abs(expected["prefill_state.1"]).max()
    save_file(expected, folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 1
    assert "prefill_state.1" in done.stdout and "[1, 2, 3, 4]" in done.stdout


def test_bf16_stays_within_twice_plain_bf16(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=70)
    done = verify(folder, "--dtype", "bf16")
    assert done.returncode == 0, done.stdout + done.stderr


def test_json_output(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=20)
    done = verify(folder, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)


@pytest.mark.skipif(not SHARED.exists(), reason=f"no recorded fixtures at {SHARED}")
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("name", ["tnl1-tiny", "tnl1-tiny-padded", "tnl3-tiny"])
def test_recorded_fixture(name, dtype):
    done = verify(SHARED / name, "--dtype", dtype)
    assert done.returncode == 0, done.stdout + done.stderr
