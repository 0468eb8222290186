"""``sightpost-train convert``: from a saved Keras or TensorFlow model to a model file."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edge.errors import UsageError
from edge.model_card import InputSpec, Kind
from edge.model_file import read_labels
from trainer.quiet import quiet_libraries
from trainer.saved.child import INSPECTION_TIME_LIMIT_S, ask_child
from trainer.saved.errors import UntrustedModelError
from trainer.saved.protocol import PixelMode, Request
from trainer.saved.questions import MODES, complete

if TYPE_CHECKING:
    from rich.console import Console

    from edge.cli.options import Commands
    from trainer.comparison import Comparison
    from trainer.convert import Conversion, ConvertResult
    from trainer.saved.protocol import Action, Answer, Inspection

_MIN_AGREEMENT, _MIN_COSINE = 0.9, 0.95
_SUMMARY_HEAD, _SUMMARY_TAIL = 12, 8
_CLEAR = 3


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "convert",
        help="make a model file of a saved Keras or TensorFlow model",
        description="Load a .keras or .h5 file or a SavedModel folder, check it, quantize it, prove it and write one "
        "model file. Without --out it only looks: what is in it, and whether it loads.",
        epilog="example: sightpost-train convert birds.h5 --mode tf --labels birds.txt --calibration pictures/ "
        "--out birds.tflite",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=".keras or .h5 file, or SavedModel folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the model file to write, e.g. birds.tflite")
    parser.add_argument(
        "--mode",
        choices=get_args(PixelMode),
        help="what it was trained to take: " + "; ".join(f"{mode} = {text}" for mode, text in MODES.items()),
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="one label per line, in the order of its outputs")
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER",
        help="pictures like those it will see, 50 to 100; in folders named like its labels they also judge it",
    )  # fmt: skip
    parser.add_argument("--kind", choices=get_args(Kind), help="what its output is (default: recognised; embed is not)")
    parser.add_argument(
        "--size", type=parse_size, metavar="PX", help="PX or HEIGHTxWIDTH, for a model that takes any size"
    )
    parser.add_argument("--output", metavar="NAME", help="which output, for a model with several")
    parser.add_argument(
        "--color", choices=("rgb", "bgr"), default="rgb", help="order it was trained with (default: rgb)"
    )
    parser.add_argument(
        "--resize", choices=("stretch", "crop", "letterbox"), default="stretch",
        help="how a picture is brought to its size (default: stretch)",
    )  # fmt: skip
    parser.add_argument("--picture", type=Path, metavar="FILE", help="say what the finished file sees in it")
    parser.add_argument("--name", help="the model's name in messages (default: the name of the file)")
    parser.add_argument("--trust", action="store_true", help="load it although code inside it may run on this computer")
    parser.add_argument(
        "--min-agreement", type=float, metavar="X",
        help=f"write nothing if no file agrees so with float (default: {_MIN_AGREEMENT}; embed: cosine {_MIN_COSINE})",
    )  # fmt: skip
    parser.add_argument(
        "--time-limit", type=float, default=900.0, metavar="S", help="seconds to load and convert (default: 900)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    parser.set_defaults(run=run)


def parse_size(text: str) -> tuple[int, int]:
    """``224`` or ``HEIGHTxWIDTH``, for argparse."""
    parts = text.lower().split("x")
    if len(parts) in {1, 2} and all(part.isdecimal() and int(part) > 0 for part in parts):
        return int(parts[0]), int(parts[-1])
    raise argparse.ArgumentTypeError(f"{text!r}: give pixels, e.g. 224, or height and width, e.g. 240x320")


def run(arguments: argparse.Namespace) -> int:
    """Look at the model, have everything said that is not known, convert, and say what it came to."""
    if not importlib.util.find_spec("keras"):
        raise UsageError(
            "TensorFlow and Keras are not installed here; install them with: pip install 'sightpost[train]'"
        )
    if arguments.out is None:
        return _look(arguments)
    if arguments.out.resolve() == arguments.model.resolve():
        raise UsageError(f"{arguments.out}: --out is the model itself; give the model file another name")
    if arguments.picture is not None:
        from edge.preprocess import read_picture

        read_picture(arguments.picture)  # a bad one should be known now, not when all is done
    inspection = _inspect(arguments)
    print(f"{arguments.model}: {_described(inspection)}", file=sys.stderr)
    conversion, pictures = _complete(arguments, inspection)
    from rich.console import Console

    from trainer.progress import Steps

    with quiet_libraries() as terminal:
        from trainer.convert import convert

        console = Console(file=terminal, highlight=False, soft_wrap=True)
        result = convert(
            conversion,
            pictures,
            arguments.out,
            name=arguments.name or arguments.out.stem,
            steps=Steps(Console(file=terminal, highlight=False)),
            on_loaded=lambda answer: _print_summary(answer, console),
        )
        picture = arguments.picture or result.example
        sight = _sight(result.path, picture)
    if arguments.json:
        print(json.dumps({**result.summary(), "picture": {"file": str(picture), "answer": sight}}, ensure_ascii=False))
    else:
        _print_verdict(result, picture, sight)
    return 0


def _inspect(arguments: argparse.Namespace) -> Inspection:
    """Read the model without loading it; a dangerous one is refused before anything is asked about it."""
    answer = _ask(arguments, "inspect", INSPECTION_TIME_LIMIT_S)
    if answer.inspection is None:
        raise RuntimeError("the child left an incomplete answer")
    if answer.inspection.dangers and not arguments.trust:
        raise UntrustedModelError(
            f"{arguments.model}: refused, because loading it could run code that is inside it: "
            f"{'; '.join(answer.inspection.dangers)}; if you trust whoever made it, add --trust"
        )
    return answer.inspection


def _ask(arguments: argparse.Namespace, action: Action, time_limit_s: float) -> Answer:
    with tempfile.TemporaryDirectory(prefix="sightpost-") as folder:
        request = Request(
            action=action,
            path=arguments.model,
            folder=Path(folder),
            trust=arguments.trust,
            mode=arguments.mode,
            size_px=arguments.size,
            output=arguments.output,
        )
        return ask_child(request, time_limit_s=time_limit_s)


def _look(arguments: argparse.Namespace) -> int:
    """Without ``--out``: load it, show what is in it, and say what is needed to convert it."""
    from msgspec import to_builtins
    from rich.console import Console

    answer = _ask(arguments, "load", arguments.time_limit)
    if arguments.json:
        print(json.dumps(to_builtins(answer), ensure_ascii=False))
        return 0
    _print_summary(answer, Console(highlight=False, soft_wrap=True), whole=True)
    print("\nto convert it, add --out FILE, --mode, --labels FILE and --calibration FOLDER")
    return 0


def _complete(arguments: argparse.Namespace, inspection: Inspection) -> tuple[Conversion, Path]:
    """What is known of the model, and where its pictures are: from the flags, or by asking a person."""
    from trainer.convert import Conversion

    facts = complete(
        arguments.model,
        mode=arguments.mode,
        labels=arguments.labels,
        calibration=arguments.calibration,
        is_embed=arguments.kind == "embed",
        hints=inspection.hints,
        can_ask=sys.stdin.isatty() and not arguments.json,
    )
    if arguments.color == "bgr" and facts.mode in {"caffe", "torch"}:
        raise UsageError(f"--mode {facts.mode} orders the colours itself: leave --color out")
    default = _MIN_COSINE if arguments.kind == "embed" else _MIN_AGREEMENT
    conversion = Conversion(
        model=arguments.model,
        mode=facts.mode,
        labels=read_labels(facts.labels) if facts.labels else (),
        kind=arguments.kind,
        spec=InputSpec(color=arguments.color, resize=arguments.resize),
        size_px=arguments.size,
        output=arguments.output,
        trust=arguments.trust,
        min_agreement=default if arguments.min_agreement is None else arguments.min_agreement,
        time_limit_s=arguments.time_limit,
    )
    return conversion, facts.calibration


def _described(inspection: Inspection) -> str:
    layers = f" of {inspection.layers} layers" if inspection.layers else ""
    return f"{inspection.model_class}{layers} ({inspection.format}), saved by {inspection.saved_by}"


def _print_summary(answer: Answer, console: Console, *, whole: bool = False) -> None:
    from rich.table import Table

    inspection, loaded = answer.inspection, answer.loaded
    if inspection is None or loaded is None:
        raise RuntimeError("the child left an incomplete answer")
    table = Table(box=None, pad_edge=False)
    for column in ("layer", "kind", "shape"):
        table.add_column(column, no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True, min_width=10)
    rows = list(loaded.layers)
    skipped = 0 if whole else max(0, len(rows) - _SUMMARY_HEAD - _SUMMARY_TAIL)
    shown = rows[:_SUMMARY_HEAD] + rows[_SUMMARY_HEAD + skipped :]
    for index, row in enumerate(shown):
        if skipped and index == _SUMMARY_HEAD:
            table.add_row(f"… {skipped} more", "", "", "")
        table.add_row(row.name, row.kind, row.shape, f"{row.parameters:,}")
    console.print(table, markup=False)
    lines = [f"input  {port}" for port in loaded.inputs] + [f"output {port}" for port in loaded.outputs]
    lines.append(f"{loaded.parameters:,} parameters; {_described(inspection)}; loaded by {loaded.loader}")
    lines += [f"tried before: {attempt}" for attempt in loaded.attempts]
    lines += [f"checked: {check}" for check in loaded.checks]
    lines += [f"note: {hint}" for hint in inspection.hints]
    if loaded.added:
        lines.append(f"note: its outputs are logits; a {loaded.added} was added")
    for line in lines:
        console.print(line, markup=False)


def _sight(model: Path, picture: Path) -> list[list[object]]:
    """What the finished file sees in the picture: its best labels and scores, or the first features."""
    from edge.model import Model
    from edge.preprocess import read_picture

    prediction = Model.load(model).predict(read_picture(picture))
    if not len(prediction.scores) and prediction.embedding is not None:
        return [["feature", round(float(value), 4)] for value in prediction.embedding.ravel()[:_CLEAR]]
    return [[label, round(score, 4)] for label, score in prediction.top(_CLEAR)]


def _print_verdict(result: ConvertResult, picture: Path, sight: list[list[object]]) -> None:
    from rich.console import Console

    from trainer.ladder import told

    console = Console(highlight=False, soft_wrap=True)
    comparison = result.comparison
    count = len(comparison.int8_values)
    if result.card.kind == "embed":
        cosines = comparison.cosines()
        words = (
            f"cosine similarity of float and file {cosines.mean():.4f}, at worst {cosines.min():.4f}, {count} pictures"
        )
    else:
        words = f"float and file give the same answer in {comparison.agreement:.1%} of {count} pictures"
    console.print(
        f"\n[bold]{result.path}[/bold]: {result.card.kind}, {words}; {comparison.latency_ms:.2f} ms a picture here"
    )
    climb = told(result.card.metrics["quantization"])
    if climb:
        console.print(climb, markup=False)
    _print_accuracy(comparison, console)
    console.print(f"{picture}: {', '.join(f'{label} {value}' for label, value in sight)}", markup=False)
    word = "embed" if result.card.kind == "embed" else "classify"
    console.print(f"try it:  sightpost {word} PICTURE --model {result.path}", markup=False)


def _print_accuracy(comparison: Comparison, console: Console) -> None:
    judged = comparison.evaluations()
    if judged is None:
        return
    floating, found = judged
    console.print(f"right in {found.accuracy:.1%} of them, float {floating.accuracy:.1%}", markup=False)
    if floating.accuracy <= 1.5 / len(comparison.labels):
        console.print(
            "[yellow]that is no better than chance:[/yellow] is --mode what it was trained with, and are the labels in "
            "the order of its outputs?"
        )
