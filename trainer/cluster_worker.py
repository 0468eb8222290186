"""One process of a cluster, on Keras' JAX backend; ``trainer.cluster`` starts it as ``python -m``, a person never."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import msgspec
import numpy as np
from jax.experimental import multihost_utils

from edge.errors import SightpostError
from edge.preprocess import prepare, read_picture
from trainer.augment import augmented
from trainer.cluster import Job, Report
from trainer.errors import DataError
from trainer.feature_store import FeatureStore
from trainer.features import BATCH
from trainer.network import build_network, unfrozen
from trainer.stream import Batches, train_streamed

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.frame import Image
    from edge.model_card import InputSpec
    from trainer.recipe import AugmentRecipe


def main(path: Path) -> int:
    """Do the job that lies at a path; reports go to standard output, one JSON object a line."""
    job = msgspec.json.decode(path.read_bytes(), type=Job)
    try:
        if job.count > 1:
            keras.distribution.initialize(job.address, job.count, job.rank)
        _agree(job)
        {"weights": _weights, "features": _features}[job.kind](job)
    except SightpostError as error:
        _say(Report(problem=str(error)))
        return error.exit_code
    return 0


def view(path: str, spec: InputSpec, augment: AugmentRecipe | None, seed: tuple[int, ...]) -> Image:
    """One prepared view of a picture, ``(H, W, 3) uint8``, which depends on nothing but the arguments."""
    image = read_picture(Path(path))
    return augmented(image, spec, augment, np.random.default_rng(seed)) if augment else prepare(image, spec)


def _agree(job: Job) -> None:
    """Every machine must have come with the same pictures and the same recipe."""
    mine = np.frombuffer(bytes.fromhex(job.fingerprint)[:16] + _digest(job), np.int32)
    everyones = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, len(mine))
    if (everyones != everyones[0]).any():
        raise DataError("the processes were started with different pictures or recipes; give all of them the same")


def _digest(job: Job) -> bytes:
    import hashlib

    return hashlib.sha256(msgspec.json.encode([job.kind, job.recipe, job.spec, job.labels])).digest()[:16]


def _weights(job: Job) -> None:
    """Train the whole network on pictures; process 0 writes its weights."""
    if job.count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(job.recipe.seed)
    network = build_network(job.recipe, job.classes)
    model = unfrozen(network)
    if job.initial:
        model.load_weights(job.initial)
    if np.asarray(multihost_utils.process_allgather(np.array(bool(job.initial)))).any():
        # All begin with the weights of process 0; without, JAX checks that the same seed gave all the same ones.
        model.set_weights(multihost_utils.broadcast_one_to_all(model.get_weights()))
    augment = job.recipe.augment if job.recipe.augment.views else None

    def load(rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[np.uint8]:
        seeds = [(job.recipe.seed, epoch, int(row)) for row in rows]
        return np.stack(
            [view(job.pictures[row], job.spec, augment, seed) for row, seed in zip(rows, seeds, strict=True)]
        )

    batches = Batches(
        load,
        np.array(job.labels, np.int64),
        classes=job.classes,
        batch_size=job.recipe.head.batch_size,
        seed=job.recipe.seed,
        rank=job.rank,
        count=job.count,
    )
    train_streamed(model, batches, job.recipe.head, on_epoch=lambda loss: _say(Report(loss=loss)))
    # Saving makes variables; with a distribution set, each would wait for the processes that do not save.
    keras.distribution.set_distribution(None)
    if job.rank == 0:
        model.save_weights(job.result)


def _features(job: Job) -> None:
    """Each process runs the backbone over its share of every batch; process 0 writes all rows, in order."""
    extractor = build_network(job.recipe, job.classes).extractor
    views = 1 + job.recipe.augment.views
    store = FeatureStore(Path(job.result), len(job.pictures) * views, extractor.output_shape[-1])
    step = BATCH * job.count
    for begin in range(0, store.rows, step):
        rows = np.arange(begin + job.rank * BATCH, begin + (job.rank + 1) * BATCH) % store.rows
        pictures = [
            view(
                job.pictures[row // views],
                job.spec,
                job.recipe.augment if row % views else None,
                (job.recipe.seed, int(row)),
            )
            for row in rows
        ]
        mine = np.asarray(extractor.predict_on_batch(np.stack(pictures).astype(np.float32)), np.float32)
        everyones = np.asarray(multihost_utils.process_allgather(mine)).reshape(step, -1)
        if job.rank == 0:
            with store.writing() as writer:
                writer.append(everyones[: store.rows - begin])
        _say(Report(pictures=min(step, store.rows - begin)))


def _say(report: Report) -> None:
    print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
