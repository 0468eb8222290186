"""``sightpost-train evaluate``: how right a model file is, on any folder of class folders."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError
from trainer.durable import check_out

if TYPE_CHECKING:
    from edge.cli.options import Commands
    from trainer.progress import Steps
    from trainer.report.judgement import Judgement
    from trainer.report.measure import Measured

BELOW_MINIMUM = 1
_LISTED = 5


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="judge a model file on a folder of class folders",
        description="Ask a model file about labelled pictures, exactly as a device would, and make a report of one "
        "HTML page. Exits with 1 below --min-accuracy.",
        epilog="example: sightpost-train evaluate gate.tflite new-pictures/ --min-accuracy 0.95",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model file (.tflite), ours or anybody's")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with a sub-folder of pictures per label")
    page = parser.add_mutually_exclusive_group()
    page.add_argument(
        "--report", type=Path, metavar="FILE", help="where the page goes (default: MODEL-evaluation.html here)"
    )
    page.add_argument("--no-report", action="store_true", help="make no page")
    parser.add_argument("--min-accuracy", type=_share, metavar="X", help="exit with 1 below this share, e.g. 0.95")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="one label per line; only for a file that names none"
    )
    parser.add_argument(
        "--input",
        metavar="KEY=VALUE,...",
        help="only for a file without a card: scaling=raw|0..1|-1..1, color=rgb|bgr|gray, "
        "resize=stretch|crop|letterbox, kernel=halving|area|linear",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    parser.set_defaults(run=run)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1; write 95 % as 0.95")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Judge, write the page, say what it came to."""
    from dataclasses import replace

    from rich.console import Console

    from edge.cli.options import parse_input
    from edge.model import Model
    from trainer.progress import Steps
    from trainer.recipe_file import toml_text
    from trainer.report.folder import read_labelled
    from trainer.report.judgement import judge
    from trainer.report.measure import card_of, measure

    page = _page(arguments)
    spec = parse_input(arguments.input) if arguments.input else None
    model = Model.load(arguments.model, labels=arguments.labels, spec=spec)
    card = card_of(model)
    labelled = read_labelled(arguments.data, card.labels, multilabel=card.kind == "multilabel")
    steps = Steps(Console(stderr=True, highlight=False))
    with steps.step("ask the model", len(labelled.pictures)) as step:
        measured = measure(model, labelled, on_picture=step.advance)
        judgement = judge(measured.data)
        step.outcome = f"{judgement.right.hits} of {judgement.right.total} right"
    notes = _notes(measured, labelled.unknown)
    recipe = toml_text(card.provenance.get("recipe", {}))
    data = replace(measured.data, notes=measured.data.notes + notes, recipe=recipe, made_at=_now())
    _say(steps, (*notes, *measured.unreadable[:_LISTED]))
    if page:
        from trainer.report.page import write_report

        with steps.step("make the report") as step:
            write_report(page, data)
            step.outcome = str(page)
    passed = arguments.min_accuracy is None or judgement.right.value >= arguments.min_accuracy
    if arguments.json:
        summary = _summary(measured, judgement, labelled.unknown)
        outcome = {"min_accuracy": arguments.min_accuracy, "passed": passed, "report": str(page) if page else None}
        print(json.dumps(summary | outcome, ensure_ascii=True))
    else:
        _print_verdict(measured, judgement, page)
    if not passed:
        least = f"{arguments.min_accuracy:.1%}"
        _say(steps, [f"{arguments.model}: right in {judgement.right.value:.1%}, at least {least} was asked for"])
    return 0 if passed else BELOW_MINIMUM


def _page(arguments: argparse.Namespace) -> Path | None:
    """Where the page goes; what stands in its way is found before the work begins."""
    if arguments.no_report:
        return None
    if not importlib.util.find_spec("jinja2"):
        raise UsageError("Jinja, which makes the report, is not installed here: pip install 'sightpost[train]'")
    page: Path = arguments.report or Path(f"{arguments.model.stem}-evaluation.html")
    check_out(page, option="--report", example="gate-evaluation.html")
    if page.exists() and arguments.model.exists() and page.samefile(arguments.model):
        raise UsageError(f"{page}: is the model itself; give the page another name")
    return page


def _now() -> str:
    from datetime import datetime

    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _notes(measured: Measured, unknown: dict[str, int]) -> tuple[str, ...]:
    """What a reader of the figures has to know."""
    from trainer.report.folder import describe_unknown
    from trainer.report.wording import pictures

    data, notes = measured.data, []
    if unknown:
        notes.append(describe_unknown(unknown, data.card.labels))
    if measured.unreadable:
        notes.append(f"Left out, since it cannot be read: {pictures(len(measured.unreadable))}.")
    counts = dict(zip(data.card.labels, map(int, data.truth.sum(axis=0)), strict=True))
    if counts == data.card.provenance.get("data", {}).get("pictures"):
        notes.append(
            "Each class has exactly as many pictures here as in training. If these are the same pictures, the model "
            "learnt from most of them, and this figure flatters it."
        )
    return tuple(notes)


def _say(steps: Steps, lines: tuple[str, ...] | list[str]) -> None:
    from rich.markup import escape

    from trainer.report.wording import clean

    for line in lines:
        steps.note(escape(clean(line)))


def _summary(measured: Measured, judgement: Judgement, unknown: dict[str, int]) -> dict[str, Any]:
    """For ``--json``."""
    from trainer.report.judgement import calibration_error, claims, reliability

    data = measured.data
    low, high = judgement.right.interval
    labels = data.card.labels
    bins = reliability(*claims(data.card, data.truth, data.answers.scores, data.answers.said))
    return {
        "file": str(data.file),
        "name": data.card.name,
        "version": data.card.version,
        "pictures": judgement.right.total,
        "accuracy": round(judgement.right.value, 4),
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "expected_calibration_error": round(calibration_error(bins), 4),
        "latency_ms": round(data.answers.latency_ms, 2),
        "per_class": {
            each.label: {
                "pictures": each.found.total,
                "recall": round(each.found.value, 4),
                "precision": round(each.right_when_said.value, 4),
            }
            for each in judgement.classes
        },
        "confusions": [
            {"truth": labels[each.truth], "said": labels[each.said], "count": each.count, "of": each.of}
            for each in judgement.confusions[:20]
        ],
        "labels_without_pictures": list(judgement.unseen),
        "folders_left_out": unknown,
        "unreadable": list(measured.unreadable),
    }


def _print_verdict(measured: Measured, judgement: Judgement, page: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from trainer.report.verdict import reach_verdict
    from trainer.report.wording import name

    verdict = reach_verdict(measured.data, judgement)
    table = Table(title=None, box=None, pad_edge=False)
    for column in ("class", "pictures", "found", "right when said"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for each in judgement.classes:
        found = f"{each.found.value:.0%}" if each.found.total else "–"
        right = f"{each.right_when_said.value:.0%}" if each.right_when_said.total else "–"
        table.add_row(escape(name(each.label)), str(each.found.total), found, right)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"\n[bold]{escape(verdict.headline)}[/bold] ({escape(verdict.grade_words)}). {escape(verdict.meaning)}"
    )
    if verdict.confusions:
        console.print(escape(verdict.confusions))
    if page:
        console.print(f"look at it:  {page}", markup=False)
