"""Some minutes of what benchmarks/soak.py does for an hour: nothing grows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_threads_and_descriptors_stay_as_they_are() -> None:
    done = subprocess.run([sys.executable, SOAK, "--minutes", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
