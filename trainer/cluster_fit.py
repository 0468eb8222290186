"""How ``fit`` trains on a cluster: process 0 gets weights or features from the workers, the others only take part."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.cluster import Job, job_for, run_job
from trainer.feature_store import FeatureStore
from trainer.features import Labelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.model_card import InputSpec
    from trainer.data import DataSet, Split
    from trainer.distributed import Place
    from trainer.network import Network
    from trainer.progress import Steps
    from trainer.recipe import Recipe

WEIGHTS, FEATURES = "trained.weights.h5", "features.f32"


def cluster_job(place: Place, recipe: Recipe, spec: InputSpec, data: DataSet, parts: Split, folder: Path) -> Job:
    """What the recipe leaves to the cluster: all of the training from nothing, or the features of a frozen backbone."""
    if recipe.backbone.weights == "none":
        return job_for("weights", place, recipe, spec, data, parts.train, folder / WEIGHTS)
    return job_for("features", place, recipe, spec, data, parts.train, folder / FEATURES)


def train_in_cluster(network: Network, job: Job, *, steps: Steps, train_head: Callable[[Labelled], None]) -> None:
    """Run the job as process 0, and bring its result into this process's network, on TensorFlow.

    Args:
        network: as the recipe builds it.
        job: from ``cluster_job``.
        steps: shows progress.
        train_head: trains the head on features, in this process: it takes seconds.

    Raises:
        UsageError: JAX is not installed.
        ClusterError: a process failed, or the processes do not agree on what to do.
    """
    from trainer.network import unfrozen

    _run(job, steps)
    if job.kind == "weights":
        unfrozen(network).load_weights(job.result)
        network.extractor.trainable = False
        return
    views = 1 + job.recipe.augment.views
    labels = np.repeat(np.array(job.labels, np.int64), views)
    store = FeatureStore(Path(job.result), len(labels), network.extractor.output_shape[-1])
    train_head(Labelled(store.read(range(store.rows)), labels))


def take_part(place: Place, recipe: Recipe, spec: InputSpec, data: DataSet, parts: Split, *, steps: Steps) -> None:
    """Run the job as one of the other processes; its result is with process 0.

    Raises:
        UsageError: JAX is not installed.
        ClusterError: a process failed, or the processes do not agree on what to do.
    """
    with tempfile.TemporaryDirectory(prefix="sightpost-") as folder:
        _run(cluster_job(place, recipe, spec, data, parts, Path(folder)), steps)


def _run(job: Job, steps: Steps) -> None:
    where = f"process {job.rank} of {job.count}"
    if job.kind == "weights":
        with steps.step("train from scratch", job.recipe.head.epochs) as step:
            losses: list[float] = []

            def on_epoch(loss: float) -> None:
                losses.append(loss)
                step.outcome = f"loss {losses[0]:.3f} → {losses[-1]:.3f}; {where}"
                step.advance()

            run_job(job, on_epoch=on_epoch)
        return
    with steps.step("features", len(job.pictures) * (1 + job.recipe.augment.views)) as step:
        step.outcome = where

        def on_pictures(count: int) -> None:
            for _ in range(count):
                step.advance()

        run_job(job, on_pictures=on_pictures)
