"""Tests of the Python package: with NumPy always, with torch, CUDA and JAX where they are.

    python -m pytest tests/python
"""

import importlib.util

INSTALLED = importlib.util.find_spec("transnormer") is not None
collect_ignore_glob = [] if INSTALLED else ["test_*.py"]


def devices():
    """cpu, and cuda where torch sees a GPU and the library is built for it."""
    try:
        import torch
    except ImportError:
        return []
    import transnormer
    there = torch.cuda.is_available() and transnormer.built_with_cuda()
    return ["cpu", "cuda"] if there else ["cpu"]


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", devices())


def pytest_report_header(config):
    if not INSTALLED:
        return "transnormer is not installed (pip install .): tests/python is skipped"
    import transnormer
    lines = [f"transnormer {transnormer.__version__}, library {transnormer.library_path()}, CUDA "
             f"{'yes' if transnormer.built_with_cuda() else 'no'}"]
    for name in ("numpy", "torch", "jax"):
        try:
            lines.append(f"{name} {__import__(name).__version__}")
        except ImportError:
            lines.append(f"{name} is not installed: its tests are skipped")
    return lines
