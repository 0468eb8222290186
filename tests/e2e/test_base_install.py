"""The device's install alone: it answers, and there is no TensorFlow in it."""

from __future__ import annotations

import os
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
    """What ``deploy/install.sh`` makes of a device, under a folder of its own."""
    folder = tmp_path_factory.mktemp("base")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    [wheel] = (folder / "dist").glob("*.whl")
    words = [REPOSITORY / "deploy/install.sh", "--wheel", wheel, "--root", folder / "root"]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip("the package registry is out of reach")
    assert done.returncode == 0, done.stderr
    (folder / "venv").symlink_to(next((folder / "root/opt/sightpost-releases").iterdir()))
    return folder


def test_it_takes_no_more_room_than_promised(base: Path) -> None:
    """With the bytecode that makes it start fast; a file that is there twice by hard links counts once."""
    files = {
        (status.st_dev, status.st_ino): status.st_blocks * 512
        for path in (base / "venv/").rglob("*")
        if not path.is_symlink() and (status := path.stat())
    }
    assert sum(files.values()) <= 290 * 2**20


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
