"""The frozen backbone runs once over each picture and its changed copies; everything after works on what it said.

Features stream into a file in the work directory, so that memory stays bounded, an interrupted run goes on where it
was, and whoever asks for the same ones again finds them. Processes that ask at once wait for the first.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from edge.durable import replace_file
from trainer.backbones import weights_digest
from trainer.durable import check_space
from trainer.locks import FileLock
from trainer.team import ALONE, Team
from trainer.views import Pictures, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image
    from trainer.data import DataSet
    from trainer.network import Network
    from trainer.recipe import AugmentRecipe, Recipe
    from trainer.split import Split

    T = TypeVar("T")

BATCH = 32
_SAVE_EVERY = 16  # batches between two notes of how far it is


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows that belong together: ``inputs`` are features, ``(n, f) float32``, ``targets`` ``(n, classes)``."""

    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]

    def rows(self, chosen: npt.NDArray[np.int64]) -> Labelled:
        """Some of the rows."""
        return Labelled(self.inputs[chosen], self.targets[chosen])


@dataclass(frozen=True, slots=True)
class Features:
    """Cached features: the validation pictures as they are, then the training pictures, each before its copies.

    Attributes:
        everything: all rows.
        validation_count: how many of them are the validation's.
        groups: ``(n,)`` what must not be torn apart: a picture and its copies, or a burst of pictures.
        plain: ``(n,)`` which rows are pictures as they are.
    """

    everything: Labelled
    validation_count: int
    groups: npt.NDArray[np.int64]
    plain: npt.NDArray[np.bool_]

    @property
    def validation(self) -> Labelled:
        """The rows of the validation pictures."""
        count = self.validation_count
        return Labelled(self.everything.inputs[:count], self.everything.targets[:count])

    def let_go(self) -> None:
        """Give back the memory that mapped rows take up; they are read again when somebody asks for them."""
        _let_go(self.everything.inputs)

    @property
    def training(self) -> Labelled:
        """The rows of the training pictures and their copies."""
        count = self.validation_count
        return Labelled(self.everything.inputs[count:], self.everything.targets[count:])


def cached_features(
    network: Network,
    data: DataSet,
    parts: Split,
    pictures: Pictures,
    recipe: Recipe,
    augment: AugmentRecipe,
    *,
    folder: Path,
    team: Team = ALONE,
    on_picture: Callable[[], None] = lambda: None,
) -> Features:
    """Run the frozen extractor over the validation pictures, the training pictures and ``augment.views`` copies each.

    Those of the validation come first. ``augment`` must be settled (see ``trainer.augment.Framing``); the cache lies in
    ``folder``, which is made if need be.
    """
    rows = [(index, 0) for index in parts.validation]
    rows += [(index, view) for index in parts.train for view in range(1 + augment.views)]

    def make(row: tuple[int, int]) -> Image:
        index, view = row
        return pictures.view(index, pictures.spec, augment, (recipe.seed, 0, view)) if view else pictures.plain(index)

    def run(start: int) -> Iterator[npt.NDArray[np.float32]]:
        for found in embeddings(network, make, rows[start:], team):
            yield found
            for _ in found:
                on_picture()

    key = _key(data, rows, recipe, augment)
    width = int(network.extractor.output.shape[-1])
    features = stream_to_file(folder, key, (len(rows), width), run, team)
    targets = data.targets([index for index, _ in rows])
    plain = np.array([view == 0 for _, view in rows])
    groups = np.array([_group(data, index) for index, _ in rows], dtype=np.int64)
    return Features(Labelled(features, targets), len(parts.validation), groups, plain)


def embeddings(
    network: Network, make: Callable[[T], Image], rows: Sequence[T], team: Team = ALONE
) -> Iterator[npt.NDArray[np.float32]]:
    """Features of the pictures that ``make`` makes of the rows: ``(n, features) float32``, some at a time.

    Each process of a team runs the network over its part, and gets all.
    """
    step, own = BATCH * team.count, rows
    if team.count > 1:
        filled = [*rows, *[rows[0]] * (-len(rows) % step)] if rows else []
        own = [row for start in range(0, len(filled), step) for row in filled[start : start + step][team.part(step)]]
    left = len(rows)
    for batch in batches(make, own, BATCH):
        found = team.gather(network.embed(batch))[:left]
        left -= len(found)
        yield found


def _group(data: DataSet, index: int) -> int:
    """The burst that a picture belongs to, or a number of its own."""
    burst = data.samples[index].group
    return burst if burst >= 0 else -1 - index


def stream_to_file(
    folder: Path,
    key: str,
    shape: tuple[int, int],
    run: Callable[[int], Iterator[npt.NDArray[np.float32]]],
    team: Team = ALONE,
) -> npt.NDArray[np.float32]:
    """An array that lies in ``features-KEY.npy``, made row by row if it is not there yet; read-only, mapped.

    ``run`` gives the rows from the given one on, in batches. The processes of a team, each with a folder of its own,
    begin where the last of them is.

    Raises:
        OSError: the disk has no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished, growing, note = (folder / f"features-{key}.{end}" for end in ("npy", "part", "rows"))
    with FileLock(folder / f"features-{key}.lock"):
        is_finished = _is_whole(finished, shape)
        noted = int(note.read_text()) if note.exists() and _is_whole(growing, shape) else 0
        done = int(team.gather(np.array([shape[0] if is_finished else noted])).min())
        if not is_finished or done < shape[0]:
            if is_finished:
                finished.replace(growing)
            if not done:
                check_space(folder, 4 * shape[0] * shape[1])
            rows = np.lib.format.open_memmap(growing, mode="r+" if done else "w+", dtype=np.float32, shape=shape)
            with growing.open(
                "r+b"
            ) as file:  # a full disk ends a process that writes into a mapped file, without a word
                os.posix_fallocate(file.fileno(), 0, growing.stat().st_size)
            for number, batch in enumerate(run(done)):
                rows[done : done + len(batch)] = batch
                done += len(batch)
                if number % _SAVE_EVERY == 0:
                    rows.flush()
                    _let_go(rows)
                    replace_file(note, str(done).encode())
            rows.flush()
            growing.replace(finished)
            note.unlink(missing_ok=True)
    return np.asarray(np.lib.format.open_memmap(finished, mode="r"), dtype=np.float32)


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether an array of that shape lies there; after a disk has failed, less of it may."""
    try:
        return bool(np.lib.format.open_memmap(path, mode="r").shape == shape)
    except (OSError, ValueError):
        return False


def _let_go(rows: npt.NDArray[np.float32]) -> None:
    owner: object = rows
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)


def _key(data: DataSet, rows: Sequence[tuple[int, int]], recipe: Recipe, augment: AugmentRecipe) -> str:
    """Of everything that the features depend on, and nothing else: a search over heads shares one cache."""
    import keras

    everything = {
        "data": data.fingerprint,
        "rows": rows,
        "seed": recipe.seed,
        "backbone": msgspec.to_builtins(recipe.backbone) | {"weights": weights_digest(recipe.backbone)},
        "input": msgspec.to_builtins(recipe.input),
        "augment": msgspec.to_builtins(augment),
        "pooling": type(recipe.pooling).__name__,
        # Another number of threads and another library give other last bits.
        "threads": os.cpu_count(),
        "library": keras.backend.backend(),
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]
