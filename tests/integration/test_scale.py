"""Two processes train as one, and large data stays out of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from edge.errors import UsageError
from edge.model_card import InputSpec
from trainer.cluster import job_for, run_job
from trainer.data import DataSet, scan
from trainer.distributed import Place, parse_place
from trainer.errors import ClusterError
from trainer.recipe import AugmentRecipe, BackboneRecipe, HeadRecipe, Recipe

SIDE_PX = 64
SMALL = Recipe(
    backbone=BackboneRecipe(name="mobilenet", alpha=0.25, size_px=SIDE_PX, weights="none"),
    augment=AugmentRecipe(views=1),
    head=HeadRecipe(epochs=3, batch_size=40, learning_rate=1e-5),
)
SPEC = InputSpec(height_px=SIDE_PX, width_px=SIDE_PX, color="rgb", resize="stretch", kernel="halving", scaling="raw")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Sixteen dark and twenty-four light pictures."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for label, count, brightest in (("dark", 16, 90), ("light", 24, 255)):
        (root / label).mkdir()
        for number in range(count):
            image = rng.integers(brightest - 90, brightest, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(root / label / f"{number}.png"), image)
    return scan(root)


def run_cluster(data: DataSet, recipe: Recipe, count: int, port: int, result: Path, **changes: object) -> list[float]:
    """Run a job on so many processes; what process 0 reported."""
    kind = "weights" if result.suffix == ".h5" else "features"

    def one(rank: int) -> list[float]:
        reports: list[float] = []
        place = parse_place(f"jax://127.0.0.1:{port},{rank},{count}")
        job = job_for(kind, place, recipe, SPEC, data, tuple(range(len(data.samples))), result)
        if rank:
            job = replace(job, **changes)
        run_job(job, on_epoch=reports.append, on_pictures=reports.append)
        return reports

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(one, range(count)))
    return results[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_as_one_and_their_weights_become_a_model(
    pictures: DataSet, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("jax")
    keras = pytest.importorskip("keras")
    from trainer.network import assemble, build_network, unfrozen
    from trainer.quantize import to_float_tflite

    alone = run_cluster(pictures, SMALL, 1, free_port(), tmp_path / "alone.weights.h5")
    both = run_cluster(pictures, SMALL, 2, free_port(), tmp_path / "both.weights.h5")
    assert len(alone) == SMALL.head.epochs
    # The first step says that both see the same batch, weights, dropout and batch-norm statistics; after it, Adam makes
    # full steps of gradients that are nothing but rounding, so that two runs drift apart a little.
    assert both[0] == pytest.approx(alone[0], rel=1e-4)
    assert both == pytest.approx(alone, rel=5e-3)
    assert abs(alone[0] - alone[-1]) > 0.05 * alone[0]

    assert keras.backend.backend() == "tensorflow"
    network = build_network(SMALL, 2)
    before = network.extractor.get_weights()[3].copy()
    unfrozen(network).load_weights(tmp_path / "both.weights.h5")
    assert (network.extractor.get_weights()[3] != before).any()
    assert to_float_tflite(assemble(network, 1.0))[4:8] == b"TFL3"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_compute_the_features_that_one_does(
    pictures: DataSet, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("jax")
    counted = run_cluster(pictures, SMALL, 1, free_port(), tmp_path / "alone.f32")
    run_cluster(pictures, SMALL, 2, free_port(), tmp_path / "both.f32")
    alone, both = (np.fromfile(tmp_path / f"{name}.f32", np.float32) for name in ("alone", "both"))
    assert sum(counted) == 2 * len(pictures.samples)
    assert alone.shape == both.shape == (2 * len(pictures.samples) * 256,)
    assert np.abs(alone - both).max() < 1e-4
    assert alone.std() > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_that_came_with_different_pictures_are_refused(
    pictures: DataSet, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("jax")
    with pytest.raises(ClusterError, match="different pictures or recipes"):
        run_cluster(pictures, SMALL, 2, free_port(), tmp_path / "no.f32", fingerprint="0" * 64)
    assert not (tmp_path / "no.f32").exists()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("auto", Place()),
        ("none", Place("none")),
        ("jax://10.0.0.5:9876,1,2", Place("cluster", "10.0.0.5:9876", 1, 2)),
        ("jax://[::1]:80,0,1", Place("cluster", "[::1]:80", 0, 1)),
    ],
)
def test_a_place_is_read(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text", ["", "gpu", "jax://a:1", "jax://a:1,2,2", "jax://a:0,0,1", "jax://a:99999,0,1", "jax://:1,0,1"]
)
def test_a_wrong_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--distribute"):
        parse_place(text)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_number_of_pictures(repository: Path) -> None:
    pytest.importorskip("keras")
    command = [sys.executable, str(repository / "benchmarks" / "scale.py"), "--pictures", "2000", "--epochs", "1"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    # The libraries take half a gigabyte; 50,000 pictures may add 1.4 GB, so 2,000 of them 56 MB and the graph's 150.
    assert result["peak_mb"]["head"] - result["peak_mb"]["libraries"] < 56 + 150
    assert result["features_mb"] == round(2000 * 1280 * 4 / 1e6)
