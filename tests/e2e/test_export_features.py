"""From a backbone to feature vectors, with the real commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture
def calibration(data_dir: Path, tmp_path: Path) -> Path:
    """Some flowers, enough to calibrate."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted((data_dir / "datasets" / "flowers5").glob("*/*"))[::40]:
        (folder / f"{path.parent.name}-{path.name}").symlink_to(path)
    return folder


def test_pooled_features_come_near_to_keras_and_out_of_embed(
    run: Run, calibration: Path, data_dir: Path, tmp_path: Path
) -> None:
    model, vectors = tmp_path / "features.tflite", tmp_path / "vectors.npy"
    made = run(
        "sightpost-train", "export-features", "--backbone", "mobilenetv2", "--alpha", 0.35,
        "--weights", data_dir / "weights", "--calibration", calibration, "--out", model, "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout)
    assert said["shape"] == [1280]
    assert said["cosine_mean"] > 0.99
    assert said["cosine_min"] > 0.97
    pictures = sorted(calibration.iterdir())[:3]
    done = run("sightpost", "embed", *pictures, "--model", model, "--l2", "--out", vectors, "--json")
    assert done.returncode == 0, done.stderr
    printed = np.array([json.loads(line)["embedding"] for line in done.stdout.splitlines()])
    kept = np.load(vectors, allow_pickle=False)
    assert kept.shape == (3, 1280)
    np.testing.assert_allclose(printed, kept, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-4)


@pytest.mark.timeout(900)
def test_vgg16_gives_its_whole_feature_map(run: Run, calibration: Path, tmp_path: Path) -> None:
    model, vectors = tmp_path / "vgg16.tflite", tmp_path / "maps.npy"
    made = run(
        "sightpost-train", "export-features", "--backbone", "vgg16", "--weights", "none", "--pool", "none",
        "--calibration", calibration, "--pictures", 12, "--out", model, "--json", timeout_s=800,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout)
    assert said["shape"] == [7, 7, 512]
    assert said["cosine_min"] > 0.99
    done = run("sightpost", "embed", next(calibration.iterdir()), "--model", model, "--out", vectors)
    assert done.returncode == 0, done.stderr
    assert "7×7×512" in done.stdout
    assert np.load(vectors, allow_pickle=False).shape == (1, 7, 7, 512)


def test_too_few_pictures_are_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(
        "sightpost-train", "export-features", "--backbone", "vgg16", "--weights", "none",
        "--calibration", tmp_path / "empty", "--out", tmp_path / "no.tflite",
    )  # fmt: skip
    assert done.returncode == 65
    assert "at least 8" in done.stderr
    assert "Traceback" not in done.stderr
