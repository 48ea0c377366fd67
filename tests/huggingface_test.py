"""`transnormer export`: transformers loads what it writes and computes the same: logits, states, loss,
gradients, greedy and beam search. With TORCH_PYTHON a Python that has torch and transformers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import reference
from import_test import check, run
from parity_test import CASES, SHARED

TORCH = os.environ.get("TORCH_PYTHON")
SEARCHED = ["tnl1-tiny", "three_heads", "tnl3", "padded"]
FIXTURES = ["tnl1-tiny", "tnl1-tiny-padded", "tnl3-tiny"]


def has_transformers():
    return TORCH and subprocess.run([TORCH, "-c", "import torch, transformers, safetensors"],
                                    capture_output=True).returncode == 0


needs_transformers = pytest.mark.skipif(
    not has_transformers(), reason="TORCH_PYTHON names no Python with torch and transformers")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders of models as exported, with what they are to compute."""
    root = tmp_path_factory.mktemp("exported")
    sources = {name: SHARED / name for name in FIXTURES if (SHARED / name).exists()}
    for name, changes in CASES.items():
        config = reference.base_config(**changes)
        sources[name] = reference.write_fixture(root / "source" / name, config, seed=len(name),
                                                length=150 if name == "three_heads" else 80)
    padded = reference.base_config()
    sources["padded"] = reference.write_fixture(root / "source/padded", padded, padding=[30, 0])
    for name, source in sources.items():
        run("export", source, "-o", root / name)
        for file in ("expected.safetensors", "gradients.safetensors"):
            if (source / file).exists():
                shutil.copy(source / file, root / name)
        if name in SEARCHED:
            (root / name / "search").touch()
    return {name: root / name for name in sources}


@pytest.fixture(scope="module")
def loaded(exported, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [TORCH, Path(__file__).with_name("huggingface_load.py"), *exported.values()],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"})
    assert done.returncode == 0
    found = json.loads(done.stdout)
    return {name: found[str(folder)] for name, folder in exported.items()}


@needs_transformers
@pytest.mark.parametrize("name", [*FIXTURES, *CASES, "padded"])
def test_transformers_computes_the_same(loaded, exported, name):
    if name not in loaded:
        pytest.skip(f"{SHARED / name} is not here")
    found = loaded[name]
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not [k for k in found[key] if k != "lm_head.weight"], found[key]
    # Sums of f32 in another order: of 2^-24, times what cancels.
    assert found["logits"] < 2e-5 and found["cut"] < 2e-5
    assert max(found["states"]) < 2e-5
    assert found.get("loss", 0) < 1e-5
    assert max(found.get("gradients", {"": 0}).values()) < 2e-4
    assert found["greedy"] and found.get("uncached", True) and found.get("beams", True)
    assert name not in SEARCHED or "beams" in found
    assert found["saved"] and not found["fields"], found["fields"]


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures_hold_through_export_and_import(exported, tmp_path, name):
    if name not in exported:
        pytest.skip(f"{SHARED / name} is not here")
    run("import", exported[name], "-o", tmp_path / "again")
    check(tmp_path / "again", SHARED / name)
    first, again = (json.loads((f / "config.json").read_text())
                    for f in (exported[name], tmp_path / "again"))
    del first["auto_map"]
    assert first == again


def test_code_beside_the_weights(exported):
    folder = exported["three_heads"]
    config = json.loads((folder / "config.json").read_text())
    for target in config["auto_map"].values():
        file, name = target.split(".")
        assert f"class {name}(" in (folder / f"{file}.py").read_text()
    error = run("export", reference.write_fixture(folder / "llama", reference.llama_config(),
                                                  length=2, gradients=False),
                "-o", folder / "out", code=2)
    assert "model_type is llama" in error
