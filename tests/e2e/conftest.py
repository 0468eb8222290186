"""The real commands, and a model trained once for all tests that need one."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """See ``command``."""
    return command


@pytest.fixture(scope="session")
def shelf_model(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the real shelf, trained with the real command; once, however many processes run the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = shared / "shelf.tflite"
    with (shared / "shelf.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            done = command(
                "sightpost-train", "fit", data_dir / "datasets" / "shelf_bottles",
                "--weights", data_dir / "weights", "--out", path, timeout_s=1500,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    return path
