"""Several devices, and several processes, train what one does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from commands import COMMANDS

from trainer.cluster import Job, Report
from trainer.data import scan
from trainer.parameters import with_parameters
from trainer.recipe import Recipe
from trainer.split import split

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TINY = {
    "backbone.name": "mobilenet",
    "backbone.alpha": 0.25,
    "backbone.size_px": 32,
    "backbone.weights": "none",
    "split.validation": 0.25,
    "split.test": 0.25,
    "train.epochs": 6,
    "finetune.blocks": 2,
    "finetune.epochs": 3,
    "finetune.batch_size": 8,
    "finetune.early_size": 1.0,
    "finetune.train_size": 1.0,
    "finetune.learning_rate": 0.05,
    "finetune.optimizer": "sgd",
    "head.dropout.rate": 0.0,
}
SAME_LOSS = 2e-4
"""Sums in another order differ in their last bits, and a few steps of training make more of that."""
SAME_STEP = 0.02
"""Largest difference of a weight, as a part of the largest way that one has gone."""


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in colour: 24 pictures each."""
    root = tmp_path_factory.mktemp("colors")
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 0), ("red", 2)):
        (root / name).mkdir()
        for number in range(24):
            image = rng.integers(0, 90, (40, 40, 3), np.uint8)
            image[..., channel] += int(rng.integers(20, 150))
            (root / name / f"{number:02}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


MIRRORED = """
import json, sys
from pathlib import Path
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer.data import scan
from trainer.network import build_network
from trainer.parameters import with_parameters
from trainer.place import Place, local_team
from trainer.progress import Steps
from trainer.recipe import Recipe
from trainer.split import split
from trainer.training import train
root, folder, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
recipe = with_parameters(Recipe(), settings)
data = scan(root)
parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
keras.utils.set_random_seed(recipe.seed)
flat = lambda network: np.concatenate([weights.ravel() for weights in network.backbone.get_weights()])
first, ended = flat(build_network(recipe, len(data.labels))), {}
for devices in ("none", "mirrored"):
    keras.backend.clear_session()
    team = local_team(Place(devices))
    trained = train(data, parts, recipe.input_spec, recipe, steps=Steps(), workdir=folder / devices, team=team)
    ended[team.devices] = flat(trained.network)
    print(json.dumps([team.devices, [r.val_loss for r in trained.history if r.stage != "head"]]))
moved, apart = np.abs(ended[1] - first).max(), np.abs(ended[2] - ended[1]).max()
print(json.dumps([trained.stage, float(moved), float(apart)]))
"""


@pytest.mark.parametrize("blocks", [2, "all"])
def test_two_devices_of_one_machine_train_as_one(colors: Path, tmp_path: Path, blocks: object) -> None:
    settings = json.dumps(TINY | {"finetune.blocks": blocks})
    words = [sys.executable, "-c", MIRRORED, str(colors), str(tmp_path), settings]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=1200, env=environment)
    assert said.returncode == 0, said.stderr
    one, two, (_, moved, apart) = (json.loads(line) for line in said.stdout.splitlines())
    assert (one[0], two[0]) == (1, 2)
    assert len(two[1]) == 3
    if blocks != "all":  # from nothing, batch normalization sees half a batch on each device
        assert two[1] == pytest.approx(one[1], abs=SAME_LOSS)
        assert apart < SAME_STEP * moved, "the same weights, to what sums in another order may make of them"


class Worker:
    """One process of a team, without the command around it."""

    def __init__(self, folder: Path, root: Path, settings: dict[str, Any], address: str, rank: int, count: int) -> None:
        recipe = with_parameters(Recipe(), settings)
        data = scan(root)
        parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
        folder.mkdir(exist_ok=True)
        read_end, write_end = os.pipe()
        job = Job(
            address=address,
            rank=rank,
            count=count,
            recipe=recipe,
            labels=data.labels,
            pictures=tuple((str(sample.path), sample.labels, sample.group) for sample in data.samples),
            parts=(parts.train, parts.validation, parts.test),
            fingerprint=data.fingerprint,
            multilabel=False,
            workdir=str(folder),
            report_to=write_end,
        )
        (folder / "job.json").write_bytes(msgspec.json.encode(job))
        self.reports: list[Report] = []
        self.epochs = threading.Semaphore(0)
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer.cluster_worker", str(folder / "job.json")],
            pass_fds=[write_end],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "KERAS_BACKEND": "jax"},
        )
        os.close(write_end)
        self._reader = threading.Thread(target=self._read, args=(read_end,))
        self._reader.start()

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines:
            for line in lines:
                self.reports.append(msgspec.json.decode(line, type=Report))
                if self.reports[-1].record and self.reports[-1].record.stage != "head":
                    self.epochs.release()

    def wait_for_epochs(self, count: int) -> None:
        for _ in range(count):
            assert self.epochs.acquire(timeout=900), (self.reports[-1:], self._said())

    def losses(self, count: int) -> np.ndarray:
        records = [report.record for report in self.reports if report.record and report.record.stage != "head"]
        return np.array([[record.loss, record.val_loss] for record in records[:count]])

    def _said(self) -> str:
        return Path(self._log.name).read_text("utf-8", "replace")[-2000:]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(30)
        self._log.close()


@contextlib.contextmanager
def team(folder: Path, root: Path, settings: dict[str, Any], port: int, count: int) -> Iterator[list[Worker]]:
    """All processes of a team on this machine."""
    folder.mkdir(exist_ok=True)
    address = f"127.0.0.1:{port}"
    workers = [Worker(folder / str(rank), root, settings, address, rank, count) for rank in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()


def test_two_processes_train_as_one_and_after_the_death_of_one_go_on_where_they_were(
    colors: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("jax")
    settings = TINY | {"finetune.epochs": 400}
    with team(tmp_path / "one", colors, settings, free_port(), 1) as (alone,):
        alone.wait_for_epochs(3)
    with team(tmp_path / "two", colors, settings, free_port(), 2) as (first, second):
        first.wait_for_epochs(3)
        second.wait_for_epochs(3)
        second.process.send_signal(signal.SIGKILL)
        assert first.process.wait(120) == 69
    assert first.losses(3) == pytest.approx(alone.losses(3), abs=SAME_LOSS)
    assert np.array_equal(first.losses(3), second.losses(3))
    assert "lost another process" in first.reports[-1].problem
    with team(tmp_path / "two", colors, settings, free_port(), 2) as again:
        for worker in again:
            worker.wait_for_epochs(3)
            assert np.array_equal(worker.losses(3), first.losses(3))


def test_the_same_command_on_each_machine_makes_one_model_file(
    colors: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("jax")
    port = free_port()
    settings = [word for name, value in TINY.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    commands = [
        [
            COMMANDS / "sightpost-train", "fit", colors, "--out", tmp_path / f"{rank}.tflite", "--no-report",
            "--accept-drift", *settings, "--set", "finetune.epochs=1", "--distribute", f"127.0.0.1:{port},{rank},2",
        ]
        for rank in range(2)
    ]  # fmt: skip
    running = [subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True) for words in commands]
    try:
        said = [process.communicate(timeout=1200)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    assert [path.name for path in tmp_path.iterdir()] == ["0.tflite"]
    assert all("fine-tune" in each for each in said)
