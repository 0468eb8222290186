"""``make demo`` keeps its promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo" / "demo.py"


@pytest.mark.timeout(960)
def test_the_demonstration_trains_runs_and_shows(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "ignore", DEMO, "--out", tmp_path, "--seconds", "12"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sightpost/demo/gate/event" in done.stdout
    assert re.search(r"right +\d", done.stdout)
    assert re.search(r"heard +[1-9]\d* events", done.stdout)
    for name in ("gate.tflite", "edge.toml", "gate.png"):
        assert (tmp_path / name).stat().st_size > 0
    assert "Traceback" not in done.stderr
