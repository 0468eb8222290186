"""What a training takes: by the clock, and by the processors."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, and of all processors together: other programs lengthen those much less."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        """In words."""
        return f"{self.wall_s:.0f} s, {self.cpu_s:.0f} s of processor"


def measured(work: Callable[[], T]) -> tuple[T, Cost]:
    """The result of some work, and what it took."""
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - started, time.process_time() - cpu)
