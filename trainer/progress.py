"""Progress for people, on standard error; standard output stays free for results."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from edge.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Steps:
    """One line per step: a bar while it runs on a terminal, and what it came to when it is done."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock

    @contextlib.contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Step]:
        """Run one step; ``total`` is the number of ``advance()`` calls, where that is known."""
        started = self._clock()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as bars:
            task = bars.add_task(name, total=total)
            step = Step(lambda: bars.advance(task))
            yield step
        outcome = f"  {escape(one_line(step.outcome))}" if step.outcome else ""
        self._console.print(f"[green]✓[/green] {name:<22}[dim]{self._clock() - started:6.1f} s[/dim]{outcome}")

    def note(self, text: str) -> None:
        """A line for the reader between two steps."""
        self._console.print(f"[yellow]![/yellow] {escape(one_line(text))}", soft_wrap=True)


class Step:
    """A step under way."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self.advance = advance
        self.outcome = ""
