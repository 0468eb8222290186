"""Inference beside the observer: each interpreter runs in a thread of its own.

So the next picture is prepared meanwhile. Answers are taken in the order in which they were asked for.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edge.value import Mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from edge.runtime import Engine

    Outputs = Mapping[str, npt.NDArray[Any]]

Subject = TypeVar("Subject")


class _Job(Mutable, Generic[Subject]):
    """A picture for the interpreter, and what came of it: outputs or an error, once it is ``done``."""

    subject: Subject
    picture: npt.NDArray[Any]
    outputs: Outputs | None = None
    error: Exception | None = None
    done: bool = False


class Inference(Generic[Subject]):
    """The threads of one model's interpreters. All methods are for one thread.

    Args:
        name: of the model, for the threads' names.
        engines: an interpreter for each thread; nobody else may use them meanwhile.
        wake: called from those threads when there is an answer to take.
        clock: monotonic seconds.

    Attributes:
        owing_since_s: since when the next answer has been due; infinity where none is.
    """

    def __init__(
        self,
        name: str,
        engines: Sequence[Engine],
        *,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owing_since_s = math.inf
        self._wake = wake
        self._clock = clock
        self._asked: deque[_Job[Subject]] = deque()
        self._queue: queue.SimpleQueue[_Job[Subject] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(engine,), name=f"inference-{name}-{number}", daemon=True)
            for number, engine in enumerate(engines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """How many pictures keep all interpreters busy: one each, and one that is ready when the first has ended."""
        return len(self._threads) + 1

    def ask(self, subject: Subject, picture: npt.NDArray[Any]) -> None:
        """Have the model run on ``picture``, ``(H, W, C)`` of its input's type; ``subject`` comes back with the answer.

        The picture must stay as it is until then.
        """
        job = _Job(subject, picture)
        if not self._asked:
            self.owing_since_s = self._clock()
        self._asked.append(job)
        self._queue.put(job)

    def answered(self) -> Iterator[tuple[Subject, Outputs]]:
        """Take the answers that are there, in the order of asking, without waiting.

        Raises:
            RuntimeError: the interpreter failed, which a model that was proven at start does not do.
        """
        while self._asked and self._asked[0].done:
            job = self._asked.popleft()
            self.owing_since_s = self._clock() if self._asked else math.inf
            if job.error is not None:
                raise job.error
            if job.outputs is not None:
                yield job.subject, job.outputs

    def close(self) -> None:
        """End the threads; what was asked for and not answered yet is forgotten."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, engine: Engine) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job.outputs = engine.infer(job.picture)
            except Exception as error:  # noqa: BLE001  raised again by the thread that takes the answer
                job.error = error
            job.done = True
            self._wake()
