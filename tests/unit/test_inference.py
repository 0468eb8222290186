"""Interpreters in threads of their own: the order of answers, what keeps them busy, and what happens when one fails."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge.inference import Inference


class Engine:
    """An interpreter that answers with what it was given, when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let = threading.Event()

    def infer(self, picture: np.ndarray) -> dict[str, Any]:
        self.asked.release()
        assert self.let.wait(10)
        if picture[0] < 0:
            raise RuntimeError("the interpreter failed")
        return {"scores": picture}


class Bench:
    """Two such interpreters, and the answers that were taken."""

    def __init__(self) -> None:
        self.engines = [Engine(), Engine()]
        self.woken = threading.Semaphore(0)
        self.inference: Inference[str] = Inference("test", self.engines, wake=self.woken.release)  # type: ignore[arg-type]
        self.taken: list[str] = []

    def ask(self, *names: str, value: float = 0.0) -> None:
        for name in names:
            self.inference.ask(name, np.full(1, value, np.float32))

    def take(self) -> list[str]:
        """Wait until a thread says that there is something, and take what may be taken."""
        assert self.woken.acquire(timeout=10)
        taken = [subject for subject, _ in self.inference.answered()]
        self.taken += taken
        return taken

    def let_all(self) -> None:
        for engine in self.engines:
            engine.let.set()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.let_all()
    bench.inference.close()


def test_two_interpreters_work_at_the_same_time(bench: Bench) -> None:
    bench.ask("first", "second")
    assert all(engine.asked.acquire(timeout=10) for engine in bench.engines)
    assert bench.inference.capacity == 3, "one for each, and one that is ready"


def test_answers_are_taken_in_the_order_of_asking(bench: Bench) -> None:
    bench.ask("first", "second")
    assert all(engine.asked.acquire(timeout=10) for engine in bench.engines)
    bench.engines[1].let.set()
    first_done = bench.take()
    bench.let_all()
    while len(bench.taken) < 2:
        bench.take()
    assert bench.taken == ["first", "second"]
    assert first_done in ([], ["first"]), "the second is not taken before the first, whichever interpreter had it"


def test_nothing_is_taken_before_it_is_there(bench: Bench) -> None:
    bench.ask("first")
    assert list(bench.inference.answered()) == []


def test_an_interpreter_that_fails_is_heard_of_where_answers_are_taken(bench: Bench) -> None:
    bench.let_all()
    bench.ask("bad", value=-1.0)
    with pytest.raises(RuntimeError, match="the interpreter failed"):
        bench.take()
    bench.ask("good")
    assert bench.take() == ["good"], "the thread goes on"


def test_it_says_since_when_it_has_owed_an_answer(bench: Bench) -> None:
    assert bench.inference.owing_since_s == math.inf
    asked_s = time.monotonic()
    bench.ask("first", "second")
    assert asked_s <= bench.inference.owing_since_s <= time.monotonic()
    let_s = time.monotonic()
    bench.engines[0].let.set()
    bench.engines[1].let.set()
    while not bench.take():
        pass
    assert bench.inference.owing_since_s >= let_s, "an answer is progress, whatever is due after it"
    while len(bench.taken) < 2:
        bench.take()
    assert bench.inference.owing_since_s == math.inf


def test_closing_ends_the_threads_even_with_pictures_waiting(bench: Bench) -> None:
    bench.ask(*"abcdefgh")
    bench.let_all()
    bench.inference.close()
    deadline_s = time.monotonic() + 10
    while any(thread.name.startswith("inference-test-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s
