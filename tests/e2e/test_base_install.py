"""The device's install alone: it answers, and there is no TensorFlow in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and the device's locked dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("base")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    [wheel] = (folder / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = [*pip, "--require-hashes", "-r", str(REPOSITORY / "requirements/device.txt")]
    done = subprocess.run(locked, check=False, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip("the package registry is out of reach")
    assert done.returncode == 0, done.stderr
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    return folder


def test_it_classifies_and_has_no_tensorflow(base: Path, model_path: Path, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(cv2.imencode(".png", np.full((20, 20, 3), (0, 0, 255), np.uint8))[1].tobytes())
    words = [base / "venv/bin/sightpost", "classify", picture, "--model", model_path]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout
    installed = {path.name.lower() for path in (base / "venv").glob("lib/python*/site-packages/*")}
    assert not {"tensorflow", "keras", "pandas", "torch"} & installed
    assert "edge" in installed


def test_it_imports_edge_without_the_trainers_packages(base: Path) -> None:
    code = "import edge.daemon, edge.cli, edge.model, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([base / "venv/bin/python", "-c", code], check=False).returncode == 0


def test_the_workstations_command_says_what_is_missing(base: Path, tmp_path: Path) -> None:
    words = [base / "venv/bin/sightpost-train", "fit", tmp_path, "--out", tmp_path / "m.tflite"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 64
    assert "sightpost[train]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_holds_the_program_and_nothing_else(base: Path) -> None:
    [wheel] = (base / "dist").glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge", "trainer"}
