"""Pictures on their way into training: decoded by a few threads, prepared or changed, in batches, in bounded memory."""

from __future__ import annotations

import collections
import itertools
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from edge.preprocess import prepare, read_picture
from trainer.augment import augmented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model_card import InputSpec
    from trainer.data import DataSet
    from trainer.recipe import AugmentRecipe

MEMORY_BYTES = 256_000_000
"""Decoded pictures that are kept for the next epoch; what does not fit is decoded again."""
THREADS = min(4, os.cpu_count() or 1)
_AHEAD = 3  # batches in the making beside the one in use, per thread
_SPARE = 4  # halved while this many times larger than the model's input: a crop keeps its detail

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(slots=True)
class Pictures:
    """The pictures of a data set as training looks at them again and again; safe to use from several threads."""

    data: DataSet
    spec: InputSpec
    memory_bytes: int = MEMORY_BYTES
    _kept: dict[int, Image] = field(default_factory=dict)
    _kept_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plain(self, index: int) -> Image:
        """A picture as the device prepares it: ``(height_px, width_px, 3) uint8``."""
        return prepare(read_picture(self.data.samples[index].path), self.spec)

    def view(self, index: int, spec: InputSpec, augment: AugmentRecipe, seed: Sequence[int]) -> Image:
        """A changed copy, the same for the same seed: ``(height_px, width_px, 3) uint8`` of ``spec``."""
        return augmented(self._roomy(index), spec, augment, np.random.default_rng((*seed, index)))

    def _roomy(self, index: int) -> Image:
        """A picture, ``(H, W, 3) uint8 BGR``, by exact halves no larger than its crops need."""
        if index in self._kept:
            return self._kept[index]
        image = read_picture(self.data.samples[index].path)
        height_px, width_px = self.spec.height_px or 1, self.spec.width_px or 1
        while image.shape[0] >= _SPARE * height_px and image.shape[1] >= _SPARE * width_px:
            half = (image.shape[1] // 2, image.shape[0] // 2)
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        with self._lock:
            if index not in self._kept and self._kept_bytes + image.nbytes <= self.memory_bytes:
                self._kept[index] = image
                self._kept_bytes += image.nbytes
        return image


def batches(
    make: Callable[[_T], Image], items: Iterable[_T], size: int, *, threads: int = THREADS
) -> Iterator[npt.NDArray[np.uint8]]:
    """Make pictures in a few threads, ahead of their use, and stack them: ``(size or fewer, H, W, 3) uint8``."""
    iterator = iter(items)
    groups = iter(lambda: list(itertools.islice(iterator, size)), [])
    yield from ahead(lambda group: np.stack([make(item) for item in group]), groups, threads=threads)


def ahead(make: Callable[[_T], _R], items: Iterable[_T], *, threads: int = THREADS) -> Iterator[_R]:
    """``map`` in a few threads, in order, never more than a few results ahead of their use."""
    with ThreadPoolExecutor(threads, thread_name_prefix="views") as pool:
        waiting: collections.deque[Future[_R]] = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
