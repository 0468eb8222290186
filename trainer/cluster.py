"""Training on several machines: the same command on each, told by ``--distribute`` which of the processes it is.

Each command scans its own copy of the pictures, and starts a worker process that trains with Keras on JAX, whose data
parallelism runs on several machines (TensorFlow's does not with Keras 3: keras issue 20585). When it is done, process 0
has the weights and goes on with TensorFlow, whose converter makes the model file; the others are done. JAX ends a
process outright when another one has gone silent, which is why it has one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import ConfigError, UsageError, ending
from trainer.checkpoint import Checkpoint, EpochRecord, Progress
from trainer.data import DataSet, Sample
from trainer.errors import ClusterError
from trainer.recipe import AugmentRecipe, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.place import Place
    from trainer.progress import Steps
    from trainer.split import Split
    from trainer.training import Trained

_WORKER = "trainer.cluster_worker"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: what to train on what, with whom, and where to leave the result.

    Attributes:
        pictures: file, labels and group of each.
        parts: indices of those of training, validation and test.
        report_to: file descriptor that reports go to, a line each.
    """

    address: str
    rank: int
    count: int
    recipe: Recipe
    labels: tuple[str, ...]
    pictures: tuple[tuple[str, tuple[int, ...], int], ...]
    parts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    fingerprint: str
    multilabel: bool
    workdir: str
    report_to: int

    @property
    def data(self) -> DataSet:
        """The pictures, without what the audit knows of them."""
        samples = tuple(Sample(Path(path), labels, group) for path, labels, group in self.pictures)
        return DataSet(Path(), self.labels, samples, (), self.fingerprint, self.multilabel)

    @property
    def result(self) -> Checkpoint:
        """Where the trained weights are left."""
        return Checkpoint(Path(self.workdir, "trained.npz"), self.fingerprint)

    @property
    def common(self) -> bytes:
        """A digest of what must be the same in all processes: all but the names of files and folders."""
        recipe = msgspec.to_builtins(self.recipe)
        recipe["backbone"]["weights"] = self.recipe.from_scratch  # those of process 0 count
        return hashlib.sha256(msgspec.json.encode([self.fingerprint, recipe, self.parts])).digest()


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from a worker: a step begins, goes on or ends; a note, an epoch; the end, or why there is none."""

    begins: str = ""
    total: int | None = None
    advanced: bool = False
    ends: bool = False
    outcome: str = ""
    note: str = ""
    record: EpochRecord | None = None
    stage: str = ""
    augment: AugmentRecipe | None = None
    problem: str = ""


def train_in_cluster(
    place: Place,
    data: DataSet,
    parts: Split,
    recipe: Recipe,
    *,
    steps: Steps,
    workdir: Path,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
) -> Trained | None:
    """As ``trainer.training.train``, together with other processes; ``None`` in all of them but process 0.

    Raises:
        UsageError: JAX is not installed.
        ConfigError: a batch cannot be shared evenly.
        ClusterError: a process failed or cannot be reached, or they were given different pictures or recipes.
    """
    if not importlib.util.find_spec("jax"):
        raise UsageError("--distribute: several machines need JAX; install it with: pip install 'sightpost[cluster]'")
    if recipe.finetune.batch_size % place.count:
        raise ConfigError(
            f"finetune.batch_size: {recipe.finetune.batch_size} cannot be shared evenly by {place.count} processes"
        )
    workdir.mkdir(parents=True, exist_ok=True)
    read_end, write_end = os.pipe()
    job = Job(
        address=place.address,
        rank=place.rank,
        count=place.count,
        recipe=recipe,
        labels=data.labels,
        pictures=tuple((str(sample.path.absolute()), sample.labels, sample.group) for sample in data.samples),
        parts=(parts.train, parts.validation, parts.test),
        fingerprint=data.fingerprint,
        multilabel=data.multilabel,
        workdir=str(workdir.absolute()),
        report_to=write_end,
    )
    with os.fdopen(read_end, "rb") as reports:
        last = _run(job, reports, steps, on_epoch)
    return _trained(job, last) if place.rank == 0 else None


def _run(job: Job, reports: Any, steps: Steps, on_epoch: Callable[[EpochRecord], None]) -> Report:  # noqa: ANN401  a pipe
    """Run the worker to its end, and show what it reports; the last report."""
    with tempfile.TemporaryDirectory(prefix="sightpost-") as folder:
        order = Path(folder, "job.json")
        order.write_bytes(msgspec.json.encode(job))
        worker = subprocess.Popen(
            # -P: a file named keras.py in this folder must not be taken for the library.
            [sys.executable, "-P", "-m", _WORKER, str(order)],
            stdin=subprocess.DEVNULL,
            pass_fds=[job.report_to],
            env={**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        os.close(job.report_to)
        last = Report()
        try:
            with contextlib.ExitStack() as step_under_way:
                show = _Shown(steps, step_under_way, on_epoch)
                for line in reports:
                    last = msgspec.json.decode(line, type=Report)
                    show.report(last)
            code = worker.wait()
        except BaseException:
            worker.kill()
            worker.wait()
            raise
    who = f"process {job.rank} of {job.count}, meeting at {job.address}"
    if last.problem:
        raise ClusterError(f"{who}: {last.problem}")
    if code < 0:
        raise ClusterError(
            f"{who}: was ended by {ending(code)}; another process did not come, has ended or is out of "
            "reach, or this machine has no memory left"
        )
    if code:
        raise RuntimeError(f"{who}: failed; see above")
    return last


class _Shown:
    """A worker's progress as that of this process."""

    def __init__(self, steps: Steps, under_way: contextlib.ExitStack, on_epoch: Callable[[EpochRecord], None]) -> None:
        self._steps = steps
        self._under_way = under_way
        self._on_epoch = on_epoch

    def report(self, report: Report) -> None:
        if report.begins:
            self._step = self._under_way.enter_context(self._steps.step(report.begins, report.total))
        if report.advanced:
            self._step.advance()
        if report.ends:
            self._step.outcome = report.outcome
            self._under_way.pop_all().close()
        if report.note:
            self._steps.note(report.note)
        if report.record:
            self._on_epoch(report.record)


def _trained(job: Job, last: Report) -> Trained:
    """The worker's result in this process, on TensorFlow."""
    from trainer.network import build_network
    from trainer.scored import Scored
    from trainer.training import Trained

    saved = job.result.load()
    assert saved is not None  # noqa: S101  the worker has just left it there
    progress, groups = saved
    network = build_network(job.recipe, len(job.labels))
    network.backbone.set_weights(groups["backbone"])
    if network.head is not None:
        network.head.set_weights(groups.get("head", []))
    validation = Scored(job.recipe.kind, *groups["validation"])
    assert last.augment is not None  # noqa: S101  a result comes with it
    return Trained(network, last.stage, progress.history, validation, last.augment)


def leave_result(job: Job, trained: Trained) -> None:
    """Write what ``train_in_cluster`` reads."""
    network, seen = trained.network, trained.validation
    groups = {
        "backbone": network.backbone.get_weights(),
        "head": network.head.get_weights() if network.head is not None else [],
        "validation": [seen.logits, seen.embeddings, seen.targets],
    }
    job.result.save(Progress(trained.history), groups)
