"""Killed at any write, and without power at any moment: nothing that was committed is lost.

A few of the points; benchmarks/killpoints.py and benchmarks/powercuts.py do a thousand and a hundred.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from disks import require


def _run(repository: Path, name: str, *options: str) -> str:
    command = [sys.executable, repository / "benchmarks" / name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout.startswith("skipped: "):
        pytest.skip(done.stdout.removeprefix("skipped: ").strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_kill_at_a_write_or_sync_loses_nothing(repository: Path) -> None:
    require("strace", root=False)
    assert "killed 8 times: 0 problems" in _run(repository, "killpoints.py", "--points", "8")


@pytest.mark.slow
def test_a_kill_at_many_writes_and_syncs_loses_nothing(repository: Path) -> None:
    require("strace", root=False)
    assert "killed 100 times: 0 problems" in _run(repository, "killpoints.py", "--points", "100")


@pytest.mark.slow
def test_a_power_cut_loses_nothing(repository: Path) -> None:
    require("mkfs.xfs", "mkfs.ext4")
    assert "cut 10 times, synchronous=FULL: 0 problems" in _run(repository, "powercuts.py", "--cuts", "10")
