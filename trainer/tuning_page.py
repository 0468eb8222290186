"""A study as one self-contained HTML page: how the loss fell, what mattered, and each parameter against the loss."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from trainer.durable import write_text
from trainer.tuning_plots import history_plot, importance_plot, slice_plot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.study import TrialRow

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #66727f; --line: #d5dbe1; --paper: #fff; --dot: #2f6fb0;
  --best: #c8501e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --soft: #93a0ad; --line: #3a444e; --paper: #161b20;
  --dot: #6aa9e6; --best: #f0834f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 980px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .name { fill: var(--ink); font-weight: 600; } svg .axis { stroke: var(--line); }
svg .dot { fill: var(--dot); opacity: .75; } svg .pruned { fill: none; stroke: var(--soft); opacity: .7; }
svg .best { fill: var(--best); opacity: 1; } svg .line { fill: none; stroke: var(--best); stroke-width: 1.5; }
svg .bar { fill: var(--dot); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } tr.best td { color: var(--best); font-weight: 600; }
td:nth-child(2), th:nth-child(2), td:last-child, th:last-child { text-align: left; }
"""


def write_page(
    path: Path, rows: Sequence[TrialRow], best: TrialRow, importances: dict[str, float], *, name: str
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        rows: all trials.
        best: one of them.
        importances: share of each parameter, 0…1, largest first; may be empty.
        name: what was trained on, for the title.

    Raises:
        ConfigError: it cannot be written.
    """
    write_text(path, page(rows, best, importances, name=name))


def page(rows: Sequence[TrialRow], best: TrialRow, importances: dict[str, float], *, name: str) -> str:
    """The page as text; see ``write_page``."""
    counts = {state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "failed")}
    accuracy = (
        f", and it is right in {best.accuracy:.1%} of the validation pictures" if best.accuracy is not None else ""
    )
    names = list(importances) or list(best.values)
    slices = "".join(f"<div>{slice_plot(rows, best, parameter)}</div>" for parameter in names)
    important = (
        f"<h2>What mattered</h2>{importance_plot(importances)}"
        "<p class=soft>How much each parameter decides whether a trial is among the best (PED-ANOVA).</p>"
        if importances
        else "<p class=soft>Too few complete trials to say which parameter mattered.</p>"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Tuning {escape(name)}</title><style>{_STYLE}</style>"
        f"<h1>Tuning {escape(name)}</h1>"
        f"<p>Trial {best.number} is the best of {len(rows)}: its validation loss is {best.loss:.4f}{accuracy}.</p>"
        f"<p class=soft>{counts['complete']} complete, {counts['pruned']} stopped early (hollow), "
        f"{counts['failed']} failed. The best of many trials looks a little better than it is: only pictures that no "
        f"trial has seen tell how good it is.</p>"
        f"<h2>Trials</h2>{history_plot(rows, best)}{important}"
        f"<h2>Each parameter</h2><div class=slices>{slices}</div>"
        f"<h2>All trials</h2>{_table(rows, best)}</html>\n"
    )


def _table(rows: Sequence[TrialRow], best: TrialRow) -> str:
    names = list(best.values)
    head = "".join(f"<th>{escape(text)}" for text in ("trial", "state", "loss", "right", "s", *names, ""))
    ordered = sorted(rows, key=lambda row: (row.state != "complete", row.loss is None, row.loss or 0, row.number))
    body = "".join(
        f"<tr{' class=best' if row.number == best.number else ''}>"
        + "".join(f"<td>{escape(cell)}" for cell in _cells(row, names))
        for row in ordered
    )
    return f"<div class=wide><table><tr>{head}{body}</table></div>"


def _cells(row: TrialRow, names: list[str]) -> list[str]:
    return [
        str(row.number),
        row.state,
        "" if row.loss is None else f"{row.loss:.4f}",
        "" if row.accuracy is None else f"{row.accuracy:.1%}",
        "" if row.seconds is None else f"{row.seconds:.1f}",
        *(shown(row.values.get(name, "")) for name in names),
        row.reason,
    ]


def shown(value: object) -> str:
    """A parameter's value for a person."""
    if isinstance(value, dict):
        return ", ".join(shown(inner) for inner in value.values())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
