"""Doing something on another thread: the one that owns what it touches."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from edge.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Calls:
    """Actions that other threads want done, in the order in which they came.

    The owning thread waits for ``fileno`` with whatever else it waits for, and calls ``run`` when it is readable.
    """

    def __init__(self) -> None:
        self._waker = Waker()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._closed = False

    def add(self, action: Callable[[], _T]) -> Future[_T]:
        """Have something done; from any thread. The future is cancelled where nobody is left to do it."""
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
                return future
            self._waiting.append((future, action))
        self._waker.wake()
        return future

    def run(self) -> None:
        """Do what waits; on the owning thread. What an action raises goes to who asked for it."""
        self._waker.clear()
        while self._waiting:
            future, action = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(action())
            except Exception as error:  # noqa: BLE001  it is handed on
                future.set_exception(error)

    def wake(self) -> None:
        """Have the owning thread go round; from any thread."""
        self._waker.wake()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._waker.fileno()

    def close(self) -> None:
        """Cancel what waits, and whatever comes later."""
        with self._lock:
            self._closed = True
        while self._waiting:
            self._waiting.popleft()[0].cancel()
        self._waker.close()
