"""The plots of a study, as SVG text whose colours the page's style sheet sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.study import TrialRow

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 22, 26
_SHOWN_QUANTILE = 0.9
"""The worst tenth of the losses lies at the upper edge, or one diverged trial would press all others flat."""
_DIGITS = 4
"""Of a loss after its point, here as in the table."""
_LOG_FROM = 30
"""A positive parameter whose trials span a larger ratio than this is drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values to pixels; ``labels`` are what stands at its ends."""

    place: Callable[[float], float]
    labels: tuple[str, str]


def history_plot(rows: Sequence[TrialRow], best: TrialRow) -> str:
    """Loss by trial, with the best so far as a line."""
    width, height = 940, 280
    drawn = [row for row in rows if row.loss is not None]
    x = _linear(0, max(row.number for row in drawn) or 1, _LEFT, width - _RIGHT)
    y = _loss_scale(drawn, height)
    line: list[tuple[float, float]] = []
    lowest = math.inf
    for row in (row for row in drawn if row.state == "complete"):
        if (loss := row.loss or 0.0) < lowest:
            if line:
                line.append((x.place(row.number), y.place(lowest)))
            lowest = loss
            line.append((x.place(row.number), y.place(lowest)))
    line.append((width - _RIGHT, y.place(lowest)))
    path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in line)
    dots = "".join(_dot(row, best, x.place(row.number), y) for row in drawn)
    return _svg(width, height, f'<path class=line d="{path}"/>{dots}', x, y, "validation loss by trial")


def slice_plot(rows: Sequence[TrialRow], best: TrialRow, parameter: str) -> str:
    """Loss against one parameter."""
    width, height = 300, 200
    drawn = [row for row in rows if row.loss is not None and parameter in row.values]
    values = [row.values[parameter] for row in drawn]
    y = _loss_scale(drawn, height)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        logarithmic = low > 0 and high / low > _LOG_FROM
        x = (_logarithmic if logarithmic else _linear)(low, high, _LEFT, width - _RIGHT)
        dots = "".join(_dot(row, best, x.place(row.values[parameter]), y) for row in drawn)
        return _svg(width, height, dots, x, y, parameter)
    names = sorted({_text(value) for value in values})
    column = (width - _LEFT - _RIGHT) / len(names)
    dots, ticks = "", ""
    for index, name in enumerate(names):
        middle = _LEFT + column * (index + 0.5)
        ticks += f'<text x="{middle:.0f}" y="{height - 8}" text-anchor=middle>{escape(name)}</text>'
        for turn, row in enumerate(row for row in drawn if _text(row.values[parameter]) == name):
            # A little to the left or right, so that dots of one value do not hide each other.
            dots += _dot(row, best, middle + (turn * 0.618 % 1 - 0.5) * min(column * 0.5, 40), y)
    return _svg(width, height, ticks + dots, _Scale(lambda value: value, ("", "")), y, parameter)


def importance_plot(importances: dict[str, float]) -> str:
    """A bar for each parameter."""
    width, row = 940, 24
    bars = "".join(
        f'<text class=name x="230" y="{index * row + 16}" text-anchor=end>{escape(name)}</text>'
        f'<rect class=bar x="240" y="{index * row + 5}" width="{max(1.0, share * 620):.1f}" height="14"/>'
        f'<text x="{248 + share * 620:.1f}" y="{index * row + 16}">{share:.0%}</text>'
        for index, (name, share) in enumerate(importances.items())
    )
    return f'<svg viewBox="0 0 {width} {row * len(importances) + 4}" role=img>{bars}</svg>'


def _dot(row: TrialRow, best: TrialRow, x: float, y: _Scale) -> str:
    kind = "dot best" if row.number == best.number else "dot" if row.state == "complete" else "pruned"
    radius = 5 if row.number == best.number else 3.5
    told = f"trial {row.number}, {row.state}: loss {row.loss:.4f}"
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y.place(row.loss or 0.0):.1f}" r="{radius}">'
        f"<title>{escape(told)}</title></circle>"
    )


def _svg(width: int, height: int, inner: str, x: _Scale, y: _Scale, title: str) -> str:
    floor, edge = height - _BOTTOM, width - _RIGHT
    return (
        f'<svg viewBox="0 0 {width} {height}" role=img aria-label="{escape(title)}">'
        f'<text class=name x="{_LEFT}" y="13">{escape(title)}</text>'
        f'<path class=axis fill=none d="M{_LEFT} {_TOP}V{floor}H{edge}"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor=end>{y.labels[1]}</text>'
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor=end>{y.labels[0]}</text>'
        f'<text x="{_LEFT}" y="{height - 8}">{x.labels[0]}</text>'
        f'<text x="{edge}" y="{height - 8}" text-anchor=end>{x.labels[1]}</text>{inner}</svg>'
    )


def _loss_scale(rows: Sequence[TrialRow], height: int) -> _Scale:
    losses = sorted(row.loss or 0.0 for row in rows)
    low, high = losses[0], losses[min(len(losses) - 1, math.ceil(len(losses) * _SHOWN_QUANTILE))]
    inner = _linear(low, high, height - _BOTTOM - 6, _TOP + 4)
    beyond = "≥" if losses[-1] > high else ""
    low_end, high_end = (f"{round(loss, _DIGITS):.3g}" for loss in (low, high))  # 4e-16 is as good as 0, and shorter
    return _Scale(lambda loss: inner.place(min(loss, high)), (low_end, beyond + high_end))


def _linear(low: float, high: float, begin: float, end: float) -> _Scale:
    span = high - low or 1.0
    return _Scale(lambda value: begin + (value - low) / span * (end - begin), (f"{low:.3g}", f"{high:.3g}"))


def _logarithmic(low: float, high: float, begin: float, end: float) -> _Scale:
    inner = _linear(math.log(low), math.log(high), begin, end)
    return _Scale(lambda value: inner.place(math.log(value)), (f"{low:.2g}", f"{high:.2g} (log)"))


def _text(value: object) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
