"""`transnormer import` and `export`: released repositories, with safetensors or PyTorch's files, in
shards or not, keep what their model computes; what does not fit is refused by name."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import reference
import torch_format
from parity_test import verify

BINARY = Path(os.environ.get("TRANSNORMER", "build/transnormer")).resolve()
TORCH = os.environ.get("TORCH_PYTHON")


def run(*arguments, code=0, cwd=None):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    print(done.stdout + done.stderr)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def check(folder, expected, *extra):
    shutil.copy(expected / "expected.safetensors", folder)
    done = verify(folder, *extra)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["tnl1", "tnl3"])
def good(request, tmp_path_factory):
    config = reference.base_config(decoder_layers=2, linear_use_lrpe_list=[1, 0],
                                   **({"gate_dim": 3} if request.param == "tnl3" else {}))
    return reference.write_fixture(tmp_path_factory.mktemp(request.param), config, length=20,
                                   decode=4, gradients=False)


def shards_of(tensors, count):
    names = sorted(tensors)
    return [{n: tensors[n] for n in names[i::count]} for i in range(count)]


def write_index(folder, index, files):
    total = sum(w.nbytes for part in files.values() for w in part.values())
    (folder / index).write_text(json.dumps({
        "metadata": {"total_size": total},
        "weight_map": {name: file for file, part in files.items() for name in part}}))


def layout(good, folder, form):
    """The same model as a repository of another form."""
    folder.mkdir()
    shutil.copy(good / "config.json", folder)
    weights = load_file(good / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    if form == "sharded safetensors":
        files = {f"model-0000{i + 1}-of-00003.safetensors": part
                 for i, part in enumerate(shards_of(weights, 3))}
        for file, part in files.items():
            save_file(part, folder / file)
        write_index(folder, "model.safetensors.index.json", files)
    elif form == "bin":
        tensors = {name: torch_format.tensor(w, parameter="l1" in name)
                   for name, w in weights.items()}
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        torch_format.save(tensors, folder / "pytorch_model.bin")
    elif form == "sharded bin":
        files = {f"pytorch_model-0000{i + 1}-of-00003.bin": part
                 for i, part in enumerate(shards_of(weights, 3))}
        for file, part in files.items():
            torch_format.save({n: torch_format.tensor(w) for n, w in part.items()}, folder / file)
        write_index(folder, "pytorch_model.bin.index.json", files)
    return folder


FORMS = ["sharded safetensors", "bin", "sharded bin"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_computes_the_same(good, tmp_path, form):
    source = layout(good, tmp_path / "source", form)
    check(source, good)  # as it is
    run("import", source, "-o", tmp_path / "out")
    check(tmp_path / "out", good)
    first, second = load_file(good / "model.safetensors"), load_file(
        tmp_path / "out/model.safetensors")
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name]), name


@pytest.mark.parametrize("writer", ["torch", "torch_parameters", "torch_sharded"])
@pytest.mark.skipif(not TORCH, reason="TORCH_PYTHON names no Python with torch")
def test_files_of_torch_itself(good, tmp_path, writer):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(good / "config.json", source)
    np.savez(tmp_path / "weights.npz", **load_file(good / "model.safetensors"))
    script = """
import sys, json, numpy, torch
weights, folder, writer = sys.argv[1:]
state = {n: torch.from_numpy(w) for n, w in numpy.load(weights).items()}
if writer == "torch_parameters":
    state = {n: torch.nn.Parameter(w) for n, w in state.items()}
state["lm_head.weight"] = state["model.embed_tokens.weight"]
if writer != "torch_sharded":
    torch.save(state, folder + "/pytorch_model.bin")
else:
    names = sorted(state)
    for i in range(2):
        torch.save({n: state[n] for n in names[i::2]}, f"{folder}/pytorch_model-{i}.bin")
    index = {"weight_map": {n: f"pytorch_model-{i}.bin" for i in range(2) for n in names[i::2]}}
    open(folder + "/pytorch_model.bin.index.json", "w").write(json.dumps(index))
"""
    subprocess.run([TORCH, "-c", script, tmp_path / "weights.npz", source, writer], check=True)
    check(source, good)
    run("import", source, "-o", tmp_path / "out")
    check(tmp_path / "out", good)


@pytest.mark.skipif(not TORCH, reason="TORCH_PYTHON names no Python with torch")
def test_old_format_of_torch(good, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(good / "config.json", source)
    subprocess.run([TORCH, "-c", "import sys, torch; torch.save({'x': torch.ones(2)}, sys.argv[1], "
                    "_use_new_zipfile_serialization=False)", source / "pytorch_model.bin"],
                   check=True)
    error = run("import", source, "-o", tmp_path / "out", code=1)
    assert "before version 1.6" in error and "torch.save(torch.load(" in error


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32"])
def test_dtype_shards_and_summary(good, tmp_path, dtype):
    source = layout(good, tmp_path / "source", "bin")
    out = tmp_path / "out"
    summary = json.loads(run("import", source, "-o", out, "--dtype", dtype, "--shard-bytes", 9000,
                             "--json"))
    weights = load_file(good / "model.safetensors")
    assert summary["tensors"] == len(weights)
    assert summary["parameters"] == sum(w.size for w in weights.values())
    assert summary["bytes"] == summary["parameters"] * (4 if dtype == "f32" else 2)
    assert summary["dtype"] == dtype
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    for name, file in index["weight_map"].items():
        with safe_open(out / file, "np") as opened:
            assert opened.get_slice(name).get_dtype() == dtype.upper()
            if dtype != "bf16":
                assert np.array_equal(opened.get_tensor(name),
                                      weights[name].astype({"f16": "f2", "f32": "f4"}[dtype]))
    names = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == names[dtype]


def test_what_else_a_repository_holds(good, tmp_path):
    source = layout(good, tmp_path / "source", "bin")
    words = "".join(f"the quick brown fox {n} jumps\n" for n in range(300))
    (tmp_path / "words.txt").write_text(words)
    generation = '{"do_sample": true, "max_new_tokens": 7, "repetition_penalty": 1.03}'
    (source / "generation_config.json").write_text(generation)
    (source / "tokenizer_config.json").write_text("{}")
    (source / "modeling_transnormer.py").write_text("raise SystemExit('executed')")
    run("tokenizer", "train", tmp_path / "words.txt", "-o", source / "tokenizer.model",
        "--vocab-size", "310")
    error = run("import", source, "-o", tmp_path / "out", code=1)
    assert "310 pieces" in error and "vocab_size 97" in error
    assert not (tmp_path / "out").exists()
    (source / "tokenizer.model").unlink()
    (source / "vocab.json").write_text("{}")
    error = run("import", source, "-o", tmp_path / "out", code=1)
    assert "vocab.json" in error and "--without-tokenizer" in error
    run("import", source, "-o", tmp_path / "out", "--without-tokenizer")
    assert (tmp_path / "out/generation_config.json").read_text() == generation
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors"]
    error = run("import", source, "-o", tmp_path / "out", "--without-tokenizer", code=2)
    assert "exists" in error


def test_export_is_what_was_imported(good, tmp_path):
    source = layout(good, tmp_path / "source", "sharded bin")
    run("import", source, "-o", tmp_path / "in", "--dtype", "f32")
    code = tmp_path / "code"
    code.mkdir()
    (code / "modeling_transnormer.py").write_text("# code")
    run("export", tmp_path / "in", "-o", tmp_path / "out", "--code", code)
    check(tmp_path / "out", good)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["auto_map"]["AutoModelForCausalLM"].startswith("modeling_transnormer.")
    assert config["architectures"] == ["TransnormerForCausalLM"]
    for field, value in json.loads((good / "config.json").read_text()).items():
        assert config[field] == value, field
    assert not {"decay_law", "norm_eps", "glu_act_fun", "output_gate"} & config.keys()
    assert (tmp_path / "out/modeling_transnormer.py").read_text() == "# code"
    with safe_open(tmp_path / "out/model.safetensors", "np") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_export_refuses_what_the_released_code_lacks(good, tmp_path):
    source = layout(good, tmp_path / "source", "bin")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "decay_law": "paper",
                                                    "glu_act_fun": "relu"}))
    (tmp_path / "released.py").write_text("# code")
    error = run("export", source, "-o", tmp_path / "out", "--code", tmp_path, code=2)
    assert "decay_law is paper, wanted alibi" in error and "glu_act_fun is relu" in error
    assert not (tmp_path / "out").exists()


class Runs:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_nothing_is_executed(good, tmp_path):
    source = layout(good, tmp_path / "source", "bin")
    torch_format.save({"x": Runs()}, source / "pytorch_model.bin")
    error = run("import", source, "-o", tmp_path / "out", code=1, cwd=tmp_path)
    assert "pytorch_model.bin: archive/data.pkl: offset" in error and "mkdir" in error
    assert not (tmp_path / "executed").exists()


def test_wrong_files(good, tmp_path):
    source = layout(good, tmp_path / "source", "bin")
    path = source / "pytorch_model.bin"
    content = path.read_bytes()

    def fails(*words):
        error = run("import", source, "-o", tmp_path / "out", code=1)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]
        for word in words:
            assert word in error

    path.write_bytes(content[:-1000])
    fails("pytorch_model.bin", "truncated")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    fails("pytorch_model.bin", "git lfs pull")
    weights = load_file(good / "model.safetensors")
    name = "model.layers.1.channel_mixer.l1.weight"

    def save(**changes):
        tensors = {n: torch_format.tensor(w) for n, w in weights.items()}
        tensors.update({name: value for value in changes.values()})
        torch_format.save(tensors, path)

    w = weights[name]
    save(other=torch_format.tensor(w[1:]))
    fails(name, "has shape")
    save(other=torch_format.tensor(w, strides=(1, w.shape[0])))
    fails(name, "not contiguous")
    bad = w.copy()
    bad[3, 5] = np.nan
    save(other=torch_format.tensor(bad))
    fails(name, "nan at [3, 5]")
    torch_format.save({"state_dict": {}}, path)
    fails('"state_dict"', "only a state dict itself")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", b"\x80\x02}." * 100)
    fails("compressed")


# config, shards, storage: as released
RELEASES = {
    "385M": (dict(decoder_layers=24, decoder_embed_dim=1024, decoder_attention_heads=8,
                  glu_dim=2816), 1, "BFloat16Storage", 398_984_192),
    "1B": (dict(decoder_layers=16, decoder_embed_dim=2048, decoder_attention_heads=16,
                glu_dim=5632), 1, "BFloat16Storage", 1_020_266_496),
    "7B": (dict(decoder_layers=30, decoder_embed_dim=4096, decoder_attention_heads=32,
                glu_dim=11008, no_scale_embedding=True), 3, "FloatStorage", 6_836_719_616),
    "15B": (dict(decoder_layers=42, decoder_embed_dim=5120, decoder_attention_heads=40,
                 glu_dim=15360, gate_dim=16, vocab_size=100280), 11, "BFloat16Storage",
            14_833_382_400),
}


@pytest.mark.parametrize("size", RELEASES)
def test_released_layouts(tmp_path, size):
    """Names, shapes, dtypes, shards and zip64 of the released files, their storages holes."""
    fields, count, storage, parameters = RELEASES[size]
    config = {"vocab_size": 64000, "hidden_dim": fields["decoder_embed_dim"], **fields,
              "bias": False, "norm_type": "simplermsnorm", "linear_act_fun": "swish",
              "linear_use_lrpe_list": [1] + [0] * (fields["decoder_layers"] - 1),
              "torch_dtype": "bfloat16", "model_type": "transnormer"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    C, F, H = (config[k] for k in ("decoder_embed_dim", "glu_dim", "decoder_attention_heads"))
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], C)}
    for i in range(config["decoder_layers"]):
        p = f"model.layers.{i}.token_mixer."
        if i == 0:
            shapes[p + "lrpe.theta"] = (H, 1, C // H)
        if "gate_dim" in config:
            shapes[p + "qkv_proj.weight"] = (3 * C, C)
            shapes[p + "output_gate.0.weight"] = (16, C)
            shapes[p + "output_gate.1.weight"] = (C, 16)
        else:
            shapes[p + "qkvu_proj.weight"] = (4 * C, C)
        shapes[p + "out_proj.weight"] = (C, C)
        p = f"model.layers.{i}.channel_mixer."
        shapes.update({p + "l1.weight": (F, C), p + "l2.weight": (F, C), p + "l3.weight": (C, F)})
    tensors = {name: torch_format.hole(storage, shape) for name, shape in shapes.items()}
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    names = list(tensors)
    if count == 1:
        torch_format.save(tensors, tmp_path / "pytorch_model.bin")
    else:
        map_, step = {}, -(-len(names) // count)
        for i in range(count):
            file = f"pytorch_model-{i + 1:05}-of-{count:05}.bin"
            part = names[i * step:(i + 1) * step]
            torch_format.save({n: tensors[n] for n in part}, tmp_path / file)
            map_.update(dict.fromkeys(part, file))
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": map_}))
    found = json.loads(run("inspect", tmp_path, "--json"))
    assert found["weights"]["tensors"] == len(names)
    width = torch_format.WIDTH[storage]
    embed = config["vocab_size"] * C
    assert found["weights"]["bytes"] == (parameters + embed) * width  # lm_head counts again
