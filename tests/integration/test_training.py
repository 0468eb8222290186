"""Training for real, on drawn pictures and a small network without weights; the real data where it is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.model_card import InputSpec
from trainer.data import DataSet, scan
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.recipe import Recipe
from trainer.split import split

pytest.importorskip("keras")

from trainer.training import Trained, train

pytestmark = pytest.mark.timeout(900)  # Keras traces graphs for minutes where processors are shared
SMALL = {
    "backbone.weights": "none",
    "backbone.size_px": 64,
    "finetune.blocks": 1,
    "finetune.epochs": 4,
    "finetune.batch_size": 8,
    "finetune.early_size": 0.5,
    "finetune.train_size": 1.0,
    "train.epochs": 6,
    "split.validation": 0.25,
}
FIT = "import sys; from trainer.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in colour: 16 pictures each."""
    root = tmp_path_factory.mktemp("colors")
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 0), ("red", 2)):
        (root / name).mkdir()
        for number in range(16):
            image = rng.integers(0, 90, (70, 80, 3), np.uint8)
            image[..., channel] += 150
            (root / name / f"{number:02}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


def trained(root: Path, workdir: Path, **changes: object) -> tuple[DataSet, Trained]:
    recipe = with_parameters(Recipe(), SMALL | {key.replace("__", "."): value for key, value in changes.items()})
    data = scan(root)
    parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
    side = recipe.backbone.size_px
    spec = InputSpec(height_px=side, width_px=side, color="rgb", scaling="raw")
    return data, train(data, parts, spec, recipe, steps=Steps(), workdir=workdir)


def weights_of(result: Trained) -> list[np.ndarray]:
    return list(result.model().get_weights())


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights(colors: Path, tmp_path: Path) -> None:
    first, second = (trained(colors, tmp_path / str(number), finetune__epochs=2)[1] for number in range(2))
    assert [record.stage for record in first.history].count("finetune") == 2
    assert [record.loss for record in first.history] == [record.loss for record in second.history]
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(first), weights_of(second), strict=True))


@pytest.mark.slow
def test_a_network_learns_from_nothing(colors: Path, tmp_path: Path) -> None:
    _, result = trained(colors, tmp_path, finetune__blocks="all", finetune__epochs=12, finetune__patience=0)
    assert result.stage == "scratch"
    assert [record.epoch for record in result.history] == list(range(1, 13))
    assert result.history[-1].loss < result.history[0].loss


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_yes_or_no_and_several_labels_learn_on_cached_features(
    colors: Path, data_dir: Path, tmp_path: Path, kind: str
) -> None:
    recipe = with_parameters(
        Recipe(kind=kind),  # type: ignore[arg-type]
        SMALL | {"backbone.weights": str(data_dir / "weights"), "train.effort": "quick", "train.epochs": 30},
    )
    data = scan(colors)
    parts = split(data, recipe.split, np.random.default_rng(1))
    spec = InputSpec(height_px=64, width_px=64, color="rgb", scaling="raw")
    result = train(data, parts, spec, recipe, steps=Steps(), workdir=tmp_path)
    assert result.stage == "head"
    judged = len(parts.train) + len(parts.validation)  # each by a head that had not seen it; those of the test by none
    assert 0 < judged < len(data.samples)
    assert result.validation.logits.shape == (judged, 1 if kind == "binary" else 2)
    assert result.validation.accuracy >= 0.9


def command(colors: Path, out: Path) -> list[str]:
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    more = ["--set", "finetune.epochs=8", "--set", "quantize.tolerance=0.9", "--json"]
    return [sys.executable, "-c", FIT, "fit", str(colors), "--out", str(out), *settings, *more]


@pytest.mark.slow
def test_after_kill_9_it_goes_on_from_the_last_epoch_to_the_same_file(colors: Path, tmp_path: Path) -> None:
    whole = subprocess.run(command(colors, tmp_path / "whole.tflite"), capture_output=True, text=True, check=True)
    out = tmp_path / "model.tflite"
    checkpoint = tmp_path / ".model.tflite.work" / "finetune.npz"
    process = subprocess.Popen(command(colors, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not checkpoint.exists():
        assert process.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    again = subprocess.run(command(colors, out), capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["version"] == json.loads(whole.stdout)["version"]
    assert not checkpoint.parent.exists()


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(colors: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.tflite"
    words = [*command(colors, out), "--set", "finetune.epochs=5000", "--set", "finetune.patience=0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (tmp_path / ".model.tflite.work" / "finetune.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "of 5000 epochs; the best is kept" in errors
    assert out.exists()


@pytest.mark.slow
@pytest.mark.real_data
def test_pretrained_features_tell_the_shelf_and_fine_tuning_keeps_what_is_better(
    data_dir: Path, tmp_path: Path
) -> None:
    _, result = trained(
        data_dir / "datasets" / "shelf_bottles",
        tmp_path,
        backbone__weights=str(data_dir / "weights"),
        backbone__size_px=96,
        finetune__blocks=3,
        finetune__epochs=2,
        train__epochs=30,
    )
    assert {record.stage for record in result.history} == {"head", "finetune"}
    assert result.validation.accuracy >= 0.85
    heads = [record.val_loss for record in result.history if record.stage == "head"]
    assert result.validation.loss <= min(heads) + 1e-3
    assert result.augment.framing == "fixed"
