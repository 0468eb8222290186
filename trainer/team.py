"""The processes and devices that train one model together; most often it is one of each.

Whatever the size of the team, it trains on the same batches, and an epoch ends with the same weights but for the last
bits. A team of devices (TensorFlow's ``MirroredStrategy``) is fed by one process. In a team of processes (Keras on JAX,
``DataParallel``) each makes and feeds its own part of every batch.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among those that train together.

    Attributes:
        rank: of this process, from 0; process 0 decides, keeps what must be kept, and makes the model file.
        count: processes in all.
        devices: of all of them; a batch is cut into as many equal parts.
        scope: what is built and trained in this context is shared by all devices of the team.
    """

    rank: int = 0
    count: int = 1
    devices: int = 1
    scope: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext

    def part(self, size: int) -> slice:
        """The part of a batch that this process makes; ``size`` is a multiple of ``count``."""
        share = size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``(n, …)`` of each process, the same shape in all, to ``(n × count, …)`` in the order of their ranks."""
        if self.count == 1:
            return rows
        from jax.experimental import multihost_utils

        everyones = np.asarray(multihost_utils.process_allgather(rows))
        return everyones.reshape(-1, *rows.shape[1:])

    def first(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """What process 0 has, in place of this process's own arrays of the same shapes."""
        if self.count == 1:
            return list(arrays)
        from jax.experimental import multihost_utils

        return [np.asarray(array) for array in multihost_utils.broadcast_one_to_all(list(arrays))]

    def first_bytes(self, content: bytes) -> bytes:
        """The same for bytes, of which each process may have another number."""
        if self.count == 1:
            return content
        (size,) = self.first([np.array(len(content))])
        own = np.frombuffer(content, np.uint8) if self.rank == 0 else np.zeros(int(size), np.uint8)
        return self.first([own])[0].tobytes()


ALONE = Team()
