"""Fixtures that every kind of test shares."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parent.parent

# Slow, shared machines must not make a test fail; HYPOTHESIS_PROFILE=search looks for new cases at every run.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real pictures, clips, data sets, weights and models; a test that asks for them is skipped without them."""
    path = Path(os.environ.get("SIGHTPOST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (path / "models").is_dir():
        pytest.skip(f"no real data at {path}: set SIGHTPOST_DATA")
    return path


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives TCP ports of the loopback interface that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    """A sealed model file that tells red, green and blue pictures apart."""
    from models import tiny_model

    return tiny_model().write(tmp_path / "colors.tflite")
