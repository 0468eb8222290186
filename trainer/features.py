"""The frozen backbone runs once over each picture and its changed copies; everything after works on what it said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.preprocess import prepare
from trainer.augment import augmented
from trainer.data import DataSet, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import keras
    import numpy.typing as npt

    from edge.frame import Image
    from edge.model_card import InputSpec
    from trainer.recipe import AugmentRecipe

BATCH = 32


@dataclass(frozen=True, slots=True)
class Labelled:
    """Arrays that belong together, one row per view: ``inputs`` are features or pictures, ``labels`` class indices."""

    inputs: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64]


def views(
    data: DataSet,
    indices: Sequence[int],
    spec: InputSpec,
    augment: AugmentRecipe | None,
    rng: np.random.Generator,
) -> Iterator[tuple[Image, int]]:
    """Each picture as the device would prepare it, then its changed copies: ``(H, W, 3) uint8`` and its class."""
    for index, image in zip(indices, pictures(data, indices), strict=True):
        label = data.samples[index].label
        yield prepare(image, spec), label
        for _ in range(augment.views if augment else 0):
            yield augmented(image, spec, augment, rng), label  # type: ignore[arg-type]  # there are views only with one


def extract(
    extractor: keras.Model, prepared: Iterator[tuple[Image, int]], *, on_picture: Callable[[], None]
) -> Labelled:
    """Run the extractor over prepared pictures, in batches: ``(n, features) float32`` and ``(n,)`` labels."""
    labels: list[int] = []

    def unlabelled() -> Iterator[Image]:
        for picture, label in prepared:
            labels.append(label)
            yield picture

    rows = list(extract_batches(extractor, unlabelled(), on_picture=on_picture))
    return Labelled(np.concatenate(rows), np.array(labels, dtype=np.int64))


def extract_batches(
    extractor: keras.Model, prepared: Iterator[Image], *, on_picture: Callable[[], None]
) -> Iterator[npt.NDArray[np.float32]]:
    """Run the extractor over prepared pictures, batch by batch: ``(up to BATCH, features) float32``."""
    batch: list[Image] = []
    for picture in prepared:
        batch.append(picture)
        on_picture()
        if len(batch) == BATCH:
            yield _run(extractor, batch)
            batch = []
    if batch:
        yield _run(extractor, batch)


def _run(extractor: keras.Model, batch: list[Image]) -> npt.NDArray[np.float32]:
    return np.asarray(extractor.predict_on_batch(np.stack(batch).astype(np.float32)), dtype=np.float32)


def stack(prepared: Iterator[tuple[Image, int]], *, on_picture: Callable[[], None]) -> Labelled:
    """Prepared pictures as one array ``(n, H, W, 3) uint8``, for training without a frozen backbone."""
    rows: list[Image] = []
    labels: list[int] = []
    for picture, label in prepared:
        rows.append(picture)
        labels.append(label)
        on_picture()
    return Labelled(np.stack(rows), np.array(labels, dtype=np.int64))
