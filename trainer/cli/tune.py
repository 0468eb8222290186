"""``sightpost-train tune``: search a recipe's parameters, and write the best recipe."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.frame import INTERRUPTED
from edge.errors import UsageError
from trainer.durable import check_apart, check_out
from trainer.quiet import quiet_libraries
from trainer.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from edge.cli.options import Commands
    from trainer.tune import TuneResult

_DEFAULT_MINUTES = 10.0
_SHOWN_TRIALS = 12


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    tune = commands.add_parser(
        "tune",
        help="search the best parameters of a recipe",
        description="Try values for a recipe's parameters on your pictures, within a budget; write the best recipe.",
        epilog="example: sightpost-train tune pictures/gate --recipe gate.toml --minutes 10 --out best.toml",
    )
    tune.add_argument("data", type=Path, metavar="DATA", help="the pictures, as for fit")
    tune.add_argument(
        "--recipe", type=Path, metavar="FILE", help="what to start from; its [tune] table says what may vary"
    )
    tune.add_argument(
        "--minutes", type=_minutes, metavar="M", help="stop after so long (default: 10, without --trials)"
    )
    tune.add_argument("--trials", type=_count, metavar="N", help="stop when the study has so many, from all its runs")
    tune.add_argument(
        "--out", type=Path, default=Path("best.toml"), metavar="FILE", help="the best recipe (default: best.toml)"
    )
    tune.add_argument(
        "--study", type=Path, metavar="FILE", help="keeps the trials: run again to go on, or from several processes or "
        "machines at once (default: as --out, ending in .study)",
    )  # fmt: skip
    tune.add_argument("--page", type=Path, metavar="FILE", help="plots (default: as --out, ending in .html)")
    tune.add_argument("--json", action="store_true", help="print the trials as JSON on standard output")
    tune.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, write, and say what it came to."""
    from rich.console import Console

    from trainer.progress import Steps

    for module, extra in (("keras", "train"), ("optuna", "tune"), ("tomli_w", "train")):
        if not importlib.util.find_spec(module):
            raise UsageError(f"{module} is not installed here; install it with: pip install 'sightpost[{extra}]'")
    recipe = load_recipe(arguments.recipe) if arguments.recipe else Recipe()
    out: Path = arguments.out
    check_out(out, example="best.toml")
    study, page = arguments.study or out.with_suffix(".study"), arguments.page or out.with_suffix(".html")
    inputs = {"DATA": arguments.data, "--recipe": arguments.recipe}
    check_apart({**inputs, "--out": out, "--study": study, "--page": page})
    minutes = arguments.minutes
    if minutes is None and arguments.trials is None:
        minutes = _DEFAULT_MINUTES
    with quiet_libraries() as terminal:
        from trainer.tune import Budget, Places, tune

        steps = Steps(Console(file=terminal, highlight=False, soft_wrap=True))
        budget = Budget(minutes, arguments.trials)
        result = tune(arguments.data, recipe, budget, Places(study, out, page), steps=steps)
    if arguments.json:
        print(json.dumps(result.summary(), ensure_ascii=False))
    else:
        _print_result(result, arguments.data)
    return INTERRUPTED if result.interrupted else 0


def _print_result(result: TuneResult, data: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainer.tuning_page import shown

    console = Console(highlight=False)
    if result.best is None:
        console.print("no trial was completed; run the same command again to go on")
        return
    names = list(result.best.values)
    table = Table(box=None, pad_edge=False)
    for column in ("trial", "loss", "right", "s", *_short_names(names)):
        table.add_column(column, justify="right", overflow="fold")
    complete = sorted((row for row in result.rows if row.state == "complete"), key=lambda row: (row.loss, row.number))
    for row in complete[:_SHOWN_TRIALS]:
        cells = [str(row.number), f"{row.loss:.4f}", f"{row.accuracy or 0:.1%}", f"{row.seconds or 0:.1f}"]
        table.add_row(*cells, *(shown(row.values.get(name, "")) for name in names))
    console.print(table)
    counts = {state: sum(row.state == state for row in result.rows) for state in ("complete", "pruned", "failed")}
    console.print(
        f"\n{counts['complete']} trials complete (the best {min(len(complete), _SHOWN_TRIALS)} above), "
        f"{counts['pruned']} stopped early, {counts['failed']} failed; plots: {result.places.page}",
        soft_wrap=True,
    )
    if result.importances:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in result.importances.items())
        console.print(f"what mattered: {shares}", soft_wrap=True)
    best, out = result.best, result.places.out
    console.print(
        f"[bold]{out}[/bold]: trial {best.number}, validation loss {best.loss:.4f}, right in {best.accuracy or 0:.1%}",
        soft_wrap=True,
    )
    console.print(
        f"train with it:  sightpost-train fit {data} --recipe {out} --out model.tflite", markup=False, soft_wrap=True
    )


def _short_names(names: list[str]) -> list[str]:
    """The last part of each dotted name, where that says which is meant."""
    last = [name.rpartition(".")[2] for name in names]
    return [end if last.count(end) == 1 else name for name, end in zip(names, last, strict=True)]


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give minutes above 0, e.g. 10")
    return minutes


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of trials, 1 or more")
    return int(text)
