"""The Python example runs as a user would run it."""

import subprocess
import sys
from pathlib import Path


def test_example():
    example = Path(__file__).parents[2] / "examples/lightning/lightning.py"
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "token by token differs by at most" in done.stdout
