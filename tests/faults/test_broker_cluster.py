"""A fleet's broker is three, and one of them dies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_that_loses_a_node_loses_nothing(repository: Path, tmp_path: Path) -> None:
    if shutil.which("rabbitmq-server") is None:
        pytest.skip("rabbitmq-server is not installed")
    command = [sys.executable, repository / "benchmarks" / "cluster.py", "--publishers", "3", "--kills", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0" in done.stdout
