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
    **{f"decay_{law}": dict(decay_law=law) for law in ("paper", "fla", "none")},
    "decay_of_every_layer_alike": dict(decay_temperature=False),
    **{f"value_{name}": dict(value_act_fun=name) for name in ("swish", "exp", "1+elu")},
    "tnl3_value_none": dict(gate_dim=8, value_act_fun="none"),
    **{f"gate_{name}": dict(gate_act_fun=name) for name in ("sigmoid", "swish", "exp")},
    "tnl3_gate_none": dict(gate_dim=8, gate_act_fun="none"),
    **{f"glu_{name}": dict(glu_act_fun=name) for name in ("swish", "relu", "exp")},
    "no_gate": dict(output_gate=False),
    "tnl3_no_gate": dict(gate_dim=8, output_gate=False),
    "learned_positions": dict(position_embeddings=100, linear_use_lrpe_list=[0, 0, 0]),
    "rmsnorm": dict(norm_type="rmsnorm"),
    "norm_eps": dict(norm_eps=1e-3, norm_type="layernorm"),
    "untied_head": dict(tie_word_embeddings=False),
    "glu_of_model_width": dict(glu_dim=-1),
    "narrow_hidden": dict(hidden_dim=24),
    "wide_head": dict(decoder_attention_heads=1, hidden_dim=256),
    "heads_of_one": dict(decoder_attention_heads=24, hidden_dim=24),
    "one_layer_only": dict(decoder_layers=1, linear_use_lrpe_list=[1]),
}


LLAMA_CASES = {
    "llama": dict(),
    "grouped_queries": dict(num_attention_heads=6, num_key_value_heads=2),
    "one_key_head": dict(num_key_value_heads=1, num_hidden_layers=1),
    "tied_head": dict(tie_word_embeddings=True),
    "wide_heads": dict(head_dim=40, rope_theta=500000.0),
    "odd_widths": dict(hidden_size=35, num_attention_heads=5, num_key_value_heads=None, head_dim=6,
                       intermediate_size=7, rms_norm_eps=1e-3),
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
    # LRPE doubles the width of keys; GPUs take up to 256.
    done = verify(folder, *(["--device", "cpu"] if name == "wide_head" else []))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64"])
@pytest.mark.parametrize("name", LLAMA_CASES)
def test_llama(name, dtype, tmp_path):
    """Logits, loss and gradients; there is no state to compare, nor a recurrence."""
    config = reference.llama_config(**LLAMA_CASES[name])
    folder = reference.write_fixture(tmp_path, config, seed=len(name))
    done = verify(folder, "--dtype", dtype, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {t["tensor"] for t in json.loads(done.stdout)["tensors"]}
    gradients = load_file(folder / "gradients.safetensors")
    assert names == {"prefill_logits", "train_loss", *(f"d {n}" for n in gradients)}


@pytest.mark.parametrize("length", [1, 2, 64, 65, 300, 701])
def test_llama_lengths(length, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.llama_config(), length=length, batch=2,
                                     seed=length)
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_weight_of_llama_is_found(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.llama_config(), length=40)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.k_proj.weight"] *= 1.1
    save_file(weights, folder / "model.safetensors")
    assert verify(folder).returncode == 1


@pytest.mark.parametrize("seed", range(int(os.environ.get("TNL_PARITY_SEEDS", 16))))
def test_anything(seed, tmp_path):
    config, arguments = reference.random_case(seed)
    folder = reference.write_fixture(tmp_path, config, **arguments)
    for dtype in ("f32", "bf16", "f64"):
        done = verify(folder, "--dtype", dtype)
        assert done.returncode == 0, f"{config} {arguments} {done.stdout}{done.stderr}"


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 255, 257, 1025])
def test_lengths(length, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=length, batch=1,
                                     decode=4, gradients=False, seed=length)
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_token_has_no_loss(tmp_path):
    """The mean of nothing, NaN, is what recordings of one token hold."""
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=1, decode=2)
    expected = load_file(folder / "expected.safetensors")
    save_file({**expected, "train_loss": np.array([np.nan], np.float32)},
              folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 0 and "not compared: train_loss" in done.stdout


@pytest.mark.parametrize("gate_dim", [0, 8])
@pytest.mark.parametrize("padding", [[0, 7, 30], [39, 1, 0], [0, -5, 12], [-1, -39, -20],
                                     [[3, 4, 20], 0, [0, 39]], [40, 0, 3]])
def test_padding(padding, gate_dim, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(gate_dim=gate_dim), length=40,
                                     batch=3, padding=padding, seed=3)
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("targets", ["counted", "left out"])
def test_loss_of_padded_batches(targets, tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=30, batch=3,
                                     padding=[5, 0, -9], masked_loss=targets)
    done = verify(folder, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["loss_counts_padding"] == (targets == "counted")


@pytest.mark.parametrize("stored", [np.float64, np.float16, "bf16"])
def test_weights_and_outputs_of_other_dtypes(stored, tmp_path):
    """Weights as stored are what the outputs were recorded of."""
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=40,
                                     weight_dtype=stored)
    expected = load_file(folder / "expected.safetensors")
    save_file({k: v.astype(np.float64) if v.dtype == np.float32 else v.astype(np.int32)
               for k, v in expected.items()}, folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_shards_and_a_stored_head(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=20)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    index = {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"model-{i + 1:05}-of-00002.safetensors"
        save_file({n: weights[n] for n in part}, folder / file)
        index.update({n: file for n in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fields", [
    {"linear_use_lrpe_list": None},                           # absent: layer 0
    {"linear_use_lrpe_list": [], "linear_use_lrpe": 1},       # the released code falls back to it
    {"linear_use_lrpe_list": [True, False, False]},
    {"linear_use_lrpe_list": [1, 0, 0, 1, 1]},                # longer than the model
    {"gate_dim": None, "use_cache": True, "transformers_version": "4.32.0", "auto_map": {}},
    {"pad_token_id": None, "torch_dtype": None, "tie_word_embeddings": None},
    {"norm_type": "simplermsnorm", "linear_act_fun": "silu"},
])
def test_ways_to_write_a_config(fields, tmp_path):
    meant = reference.base_config()
    if "linear_use_lrpe" in fields:
        meant["linear_use_lrpe_list"] = [1, 1, 1]
    folder = reference.write_fixture(tmp_path, meant, length=20)
    written = {**meant, **fields}
    if fields.get("linear_use_lrpe_list", 0) is None:
        written.pop("linear_use_lrpe_list")
    (folder / "config.json").write_text(json.dumps(written))
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


def test_a_wrong_token_is_found_and_named(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=40)
    expected = load_file(folder / "expected.safetensors")
    # The last one: no recorded logits follow from it but those after it.
    expected["greedy_ids"][1, -1] += 1 if expected["greedy_ids"][1, -1] < 90 else -1
    save_file(expected, folder / "expected.safetensors")
    done = verify(folder)
    assert done.returncode == 1
    assert "[1, 7]" in done.stdout and "15 of 16" in done.stdout


def test_a_wrong_weight_fails_every_dtype(tmp_path):
    """A model that is slightly another one: one scale of one matrix is off by a tenth."""
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=40)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.channel_mixer.l3.weight"] *= 1.1
    save_file(weights, folder / "model.safetensors")
    for dtype in ("f32", "f64", "bf16"):
        done = verify(folder, "--dtype", dtype, "--json")
        failed = [t["tensor"] for t in json.loads(done.stdout)["tensors"] if not t["ok"]]
        # In bf16 too, though plain bf16 computes the same wrong model.
        assert done.returncode == 1 and "prefill_logits" in failed, dtype


def test_bf16_stays_within_twice_plain_bf16(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=70)
    done = verify(folder, "--dtype", "bf16", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    for tensor in json.loads(done.stdout)["tensors"]:
        assert tensor["error"] <= max(2 * tensor["plain_error"], 2**-8), tensor
        if "logits" in tensor["tensor"]:  # bf16 is seen to be what ran
            assert 1e-4 < tensor["plain_error"] < 0.1, tensor


def test_json_output(tmp_path):
    folder = reference.write_fixture(tmp_path, reference.base_config(), length=20)
    done = verify(folder, "--json")
    out = json.loads(done.stdout)
    assert done.returncode == 0 and out["verified"]
    names = [t["tensor"] for t in out["tensors"]]
    gradients = load_file(folder / "gradients.safetensors")
    assert set(names) == {"prefill_logits", "decode_logits", "train_loss",
                          *(f"prefill_state.{i}" for i in range(3)), *(f"d {n}" for n in gradients)}
    logits = next(t for t in out["tensors"] if t["tensor"] == "prefill_logits")
    # Every position at once, and again the last of each sequence in pieces.
    assert logits["values"] == 2 * 20 * 97 + 2 * 97


@pytest.mark.skipif(not SHARED.exists(), reason=f"no recorded fixtures at {SHARED}")
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("name", ["tnl1-tiny", "tnl1-tiny-padded", "tnl3-tiny"])
def test_recorded_fixture(name, dtype):
    done = verify(SHARED / name, "--dtype", dtype)
    assert done.returncode == 0, done.stdout + done.stderr
