"""The page's drawings, each with its meaning in words for those who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from trainer.report.judgement import Bin, Share, calibration_error
from trainer.report.svg import Plot, element, nice_ticks, picture
from trainer.report.wording import name, pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from trainer.report.content import Epoch, Unknown

    _Series = tuple[str, Sequence[float | None], str]

_FINE_BINS = 20
_LETTER_PX = 7.0  # of the stages' names, on average and generously
_TENTHS = [0, 0.2, 0.4, 0.6, 0.8, 1]


def interval_bar(share: Share) -> Markup:
    """A share as a bar, with the stretch in which the true one lies laid over its end."""
    low, high = share.interval
    parts = [
        element("rect", x=0, y=5, width=100, height=6, rx=3, class_="track"),
        element("rect", x=0, y=5, width=100 * share.value, height=6, rx=3, class_="fill"),
        element("line", x1=100 * low, x2=100 * high, y1=8, y2=8, class_="whisker"),
        *(element("line", x1=100 * end, x2=100 * end, y1=4, y2=12, class_="whisker") for end in (low, high)),
    ]
    drawing = Markup("").join(parts)
    return element("svg", drawing, viewBox="-1 0 102 16", aria_hidden="true", class_="bar", focusable="false")


def reliability_chart(after: Sequence[Bin], before: Sequence[Bin] | None, *, share: str) -> Markup:
    """How often an answer is right against the score it carries; on the diagonal the score can be taken literally."""
    plot = Plot((0, 1), (0, 1), height=336, top=30)
    plot.axes(_TENTHS, _TENTHS, x_title="score", y_title=share)
    plot.line([(0, 0), (1, 1)], "ideal")
    if before:
        plot.line([(each.score, each.right.value) for each in before], "before")
    for each in after:
        low, high = each.right.interval
        (x, y1), (_, y2) = plot.at(each.score, low), plot.at(each.score, high)
        plot.parts.append(element("line", x1=x, x2=x, y1=y1, y2=y2, class_="whisker"))
    plot.line([(each.score, each.right.value) for each in after], "after")
    titles = [f"score about {e.score:.2f}: {e.right.hits} of {e.right.total} right" for e in after]
    largest = max(each.right.total for each in after)
    for each, title in zip(after, titles, strict=True):
        radius = 3 + 5 * float(np.sqrt(each.right.total / largest))
        plot.dots([(each.score, each.right.value)], "after", titles=[title], radius=radius)
    words = "; ".join(titles) + f". Calibration error {calibration_error(list(after)):.3f}"
    return plot.svg(title="Reliability of the scores", description=words)


def score_histogram(
    values: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    *,
    rows: tuple[str, str],
    measure: str,
    unknown: Unknown | None,
) -> Markup:
    """Two rows over one axis: how the right answers are spread, and the wrong ones, each to its own height.

    Args:
        values: ``(n,)`` what is on the axis.
        right: ``(n,)``.
        rows: what the two rows are called, e.g. ``right answers`` and ``wrong answers``.
        measure: what the axis says.
        unknown: its threshold is drawn where it is on this axis.
    """
    ticks, edges = _bins(values, unknown)
    drawings = []
    for row, (kind, chosen) in enumerate((("right", values[right]), ("wrong", values[~right]))):
        counts, _ = np.histogram(np.clip(chosen, edges[0], edges[-1]), bins=edges)
        plot = Plot((edges[0], edges[-1]), (0, max(1, int(counts.max()))), height=172, top=38, bottom=40)
        plot.axes(ticks, [plot.y[1]], x_title=measure if row else "")
        plot.text((plot.left, 13), f"{rows[row]}: {len(chosen)}", class_="label strong")
        for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                gap = (end - start) * 0.06
                title = f"{count} from {start:.2f} to {end:.2f}"
                plot.box((start + gap, end - gap), (0, float(count)), f"bar-{kind}", title=title)
        if unknown:
            x, base = plot.at(unknown.threshold, 0)
            plot.parts.append(element("line", x1=x, x2=x, y1=22, y2=base, class_="threshold"))
            if row == 0:
                near_end = unknown.threshold > (edges[0] + edges[-1]) / 2
                anchor, shift = ("end", -5) if near_end else ("start", 5)
                plot.text((x + shift, 31), f"unknown {unknown.side} {unknown.threshold:.2f}", anchor=anchor)
        words = ", ".join(
            f"{c} from {s:.2f} to {e:.2f}" for c, s, e in zip(counts, edges, edges[1:], strict=False) if c
        )
        drawings.append(plot.svg(title=f"How they are spread: {rows[row]}, {len(chosen)}", description=words or "none"))
    return Markup("").join(drawings)


def _bins(values: npt.NDArray[np.float64], unknown: Unknown | None) -> tuple[list[float], npt.NDArray[np.float64]]:
    low, high = float(values.min()), float(values.max())
    if unknown:
        low, high = min(low, unknown.threshold), max(high, unknown.threshold)
    if low >= 0 and high <= 1:
        return list(map(float, _TENTHS)), np.linspace(0, 1, _FINE_BINS + 1)
    ticks = nice_ticks(low, high)
    return ticks, np.linspace(ticks[0], ticks[-1], _FINE_BINS + 1)


def training_charts(history: Sequence[Epoch]) -> list[Markup]:
    """Loss and, where it was measured, accuracy on validation pictures, over all epochs of all stages."""
    charts = []
    losses: list[_Series] = [
        ("training", [e.loss for e in history], "after"),
        ("validation", [e.val_loss for e in history], "other"),
    ]
    charts.append(_curves(history, losses, title="Loss", y_title="loss (lower is better)", top=None))
    accuracy: list[_Series] = [("validation", [e.val_accuracy for e in history], "other")]
    if any(value is not None for _, values, _ in accuracy for value in values):
        charts.append(
            _curves(history, accuracy, title="Accuracy", y_title="share right on validation pictures", top=1.0)
        )
    return charts


def _curves(
    history: Sequence[Epoch],
    series: Sequence[_Series],
    *,
    title: str,
    y_title: str,
    top: float | None,
) -> Markup:
    finite = [value for _, values, _ in series for value in values if value is not None and np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    y_ticks = nice_ticks(min(low, 0.95) if top else 0.0, top or high)
    y_ticks = [tick for tick in y_ticks if top is None or tick <= top]
    count = len(history)
    plot = Plot((1, max(2, count)), (y_ticks[0], y_ticks[-1]), top=42)
    x_ticks = sorted({1.0, *(tick for tick in nice_ticks(0, count) if 1 <= tick == int(tick) <= count)})
    plot.axes(x_ticks, y_ticks, x_title="epoch", y_title="")
    plot.text((plot.left, 14), y_title)
    stages = _stages(history)
    ends = [start for start, _ in stages[1:]] + [count + 1]
    for (start, stage), end in zip(stages, ends, strict=True):
        x, base = plot.at(start - 0.5, y_ticks[0]) if start > 1 else (plot.left, plot.height - plot.bottom)
        if start > 1:
            plot.parts.append(element("line", x1=x, x2=x, y1=plot.top - 14, y2=base, class_="threshold"))
        room = plot.at(end - 0.5, 0)[0] - x
        plot.text((x + 5, plot.top - 6), _short(stage, max(2, int(room / _LETTER_PX))), class_="label strong")
    told = []
    for label, values, class_ in series:
        points = [(float(e + 1), v) for e, v in enumerate(values) if v is not None and np.isfinite(v)]
        if not points:
            continue
        plot.line(points, class_)
        plot.dots([points[-1]], class_, titles=[f"{label}: {points[-1][1]:.3f}"])
        told.append(f"{label} from {points[0][1]:.3f} to {points[-1][1]:.3f}")
    return plot.svg(title=title, description=f"{count} epochs; " + "; ".join(told))


def _stages(history: Sequence[Epoch]) -> list[tuple[int, str]]:
    """The first epoch of each stage, counted from 1, and its name."""
    names = [each.stage for each in history]
    return [(i + 1, stage) for i, stage in enumerate(names) if i == 0 or names[i - 1] != stage]


def confusion_heat(matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> Markup:
    """A confusion matrix of many classes as a drawing: a row per true class, its shade the share of the row."""
    cell, margin = 13.0, 12 + 6.0 * max(len(_short(label)) for label in labels)
    side = cell * len(labels)
    totals = matrix.sum(axis=1)
    parts = [element("rect", x=margin, y=margin, width=side, height=side, class_="track")]
    for number, label in enumerate(labels):
        middle = margin + (number + 0.7) * cell
        parts.append(element("text", _short(label), x=margin - 5, y=middle, text_anchor="end", class_="label small"))
        turn = f"translate({middle:.1f} {margin - 5:g}) rotate(-90)"
        parts.append(element("text", _short(label), transform=turn, class_="label small"))
    for row, column in np.argwhere(matrix):
        share = matrix[row, column] / max(1, totals[row])
        words = f"{name(labels[row])} called {name(labels[column])}: {matrix[row, column]} of {totals[row]}"
        parts.append(
            element(
                "rect",
                element("title", words),
                x=margin + column * cell + 0.5,
                y=margin + row * cell + 0.5,
                width=cell - 1,
                height=cell - 1,
                class_="fill" if row == column else "mistake",
                fill_opacity=0.15 + 0.85 * float(share),
            )
        )
    right = int(np.trace(matrix))
    words = f"{len(labels)} classes, {pictures(int(matrix.sum()))}, {right} of them on the diagonal; a list follows"
    return picture(margin + side + 10, margin + side + 10, parts, title="Confusion matrix", description=words)


def _short(label: str, length: int = 20) -> str:
    text = name(label)
    return text if len(text) <= length else text[: length - 1] + "…"
