"""Training on several processes or machines: every one of them runs the same command, each with its own rank.

Each command starts one worker process whose Keras runs on JAX, and waits for it. Process 0 gets the result (weights or
features) and goes on with TensorFlow, whose converter makes the model file; the others are done then. Nothing but the
address is shared: every machine reads its own copy of the pictures, and copies that differ are refused.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge.errors import UsageError
from edge.model_card import InputSpec
from trainer.errors import ClusterError
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.data import DataSet
    from trainer.distributed import Place

_SAID_LINES = 3


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do; the same on every machine but for its rank and its paths.

    Attributes:
        kind: ``weights`` trains the whole network from its initial weights; ``features`` runs the frozen backbone.
        pictures: files, in the order that all processes agree on.
        labels: class index of each.
        result: file that process 0 writes: weights as Keras saves them, or the rows of a ``FeatureStore``.
        initial: file with the weights that process 0 begins with and sends to the others; empty: its own.
    """

    kind: Literal["weights", "features"]
    address: str
    rank: int
    count: int
    recipe: Recipe
    spec: InputSpec
    fingerprint: str
    classes: int
    pictures: tuple[str, ...]
    labels: tuple[int, ...]
    result: str
    initial: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that a worker prints: an epoch's training loss, so many more pictures done, or why it stops."""

    loss: float | None = None
    pictures: int = 0
    problem: str = ""


def job_for(
    kind: Literal["weights", "features"],
    place: Place,
    recipe: Recipe,
    spec: InputSpec,
    data: DataSet,
    indices: tuple[int, ...],
    result: Path,
    *,
    initial: Path | None = None,
) -> Job:
    """A worker's job for this process of the cluster, on some of the pictures."""
    return Job(
        kind=kind,
        address=place.address,
        rank=place.rank,
        count=place.count,
        recipe=recipe,
        spec=spec,
        fingerprint=data.fingerprint,
        classes=len(data.labels),
        pictures=tuple(str(data.samples[index].path) for index in indices),
        labels=tuple(data.samples[index].label for index in indices),
        result=str(result),
        initial=str(initial or ""),
    )


def run_job(
    job: Job,
    *,
    on_epoch: Callable[[float], None] = lambda _loss: None,
    on_pictures: Callable[[int], None] = lambda _count: None,
) -> None:
    """Run this process's share of a job, and wait for its end.

    Raises:
        UsageError: JAX is not installed.
        ClusterError: a process failed or could not be reached, or the machines hold different pictures.
    """
    if not importlib.util.find_spec("jax"):
        raise UsageError("training on several machines needs JAX; install it with: pip install 'sightpost[scale]'")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    problem = ""
    with tempfile.TemporaryDirectory(prefix="sightpost-") as folder, tempfile.TemporaryFile("w+") as said:
        path = Path(folder, "job.json")
        path.write_bytes(msgspec.json.encode(job))
        command = [sys.executable, "-m", "trainer.cluster_worker", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment) as worker:
            try:
                for line in worker.stdout or ():
                    if not line.startswith("{"):
                        continue  # a library's chatter
                    report = msgspec.json.decode(line, type=Report)
                    problem = report.problem or problem
                    if report.loss is not None:
                        on_epoch(report.loss)
                    if report.pictures:
                        on_pictures(report.pictures)
            except BaseException:
                worker.terminate()
                raise
        if worker.returncode:
            said.seek(0)
            lines = [line.strip() for line in said.read().splitlines() if line.strip()][-_SAID_LINES:]
            who = f"process {job.rank} of {job.count} (meeting at {job.address})"
            raise ClusterError(f"{who} stopped: {problem or ' / '.join(lines) or f'exit code {worker.returncode}'}")
