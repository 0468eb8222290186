"""Making a connection without being held up by it: name services and silent networks answer when they like."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Protocol, TypeVar

from edge.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable


class Abortable(Protocol):
    """What can be thrown away unused."""

    def abort(self) -> None:
        """Close it without a word."""
        ...


_Made = TypeVar("_Made", bound=Abortable)

_ASK_S = 0.1


def dial(make: Callable[[], _Made], cancelled: Callable[[], bool]) -> _Made:
    """Call ``make`` in a thread of its own and return what it returns or raise what it raises.

    When ``cancelled`` says so meanwhile, the thread is left to itself, and what it still makes is aborted.

    Raises:
        BrokerError: cancelled.
    """
    outcome: Future[_Made] = Future()
    threading.Thread(target=_fulfil, args=(outcome, make), name="publisher-dial", daemon=True).start()
    while not wait([outcome], _ASK_S).done:
        if cancelled():
            outcome.add_done_callback(_discard)
            raise BrokerError("stopped while connecting")
    return outcome.result()


def _fulfil(outcome: Future[_Made], make: Callable[[], _Made]) -> None:
    try:
        made = make()
    except BaseException as error:  # noqa: BLE001  the top of this thread: the caller gets it
        outcome.set_exception(error)
    else:
        outcome.set_result(made)


def _discard(outcome: Future[_Made]) -> None:
    if outcome.exception() is None:
        outcome.result().abort()
