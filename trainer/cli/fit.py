"""``sightpost-train fit``: from a folder of pictures to a model file."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError
from trainer.durable import check_apart, check_out
from trainer.parameters import with_parameters
from trainer.place import add_distribute, parse_place
from trainer.quiet import quiet_libraries
from trainer.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands
    from trainer.proof import FitResult


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    fit = commands.add_parser(
        "fit",
        help="train a model on a folder of class folders",
        description="Train on a folder that holds one sub-folder of pictures per class; write one model file.",
        epilog="example: sightpost-train fit pictures/gate --weights weights/ --out gate.tflite",
    )
    fit.add_argument("data", type=Path, metavar="DATA", help="folder with a sub-folder of pictures per class")
    fit.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the model file to write, e.g. gate.tflite"
    )
    fit.add_argument("--recipe", type=Path, metavar="FILE", help="TOML file with everything else; flags go before it")
    fit.add_argument("--name", help="the model's name in messages (default: the name of the file)")
    fit.add_argument("--backbone", metavar="NAME", help="a model of keras.applications (default: mobilenetv2)")
    fit.add_argument("--alpha", type=float, help="width of a MobileNet (default: 0.35)")
    fit.add_argument("--size", type=int, metavar="PX", help="side of the input in pixels (default: 224)")
    fit.add_argument(
        "--weights", metavar="W", help="imagenet, none, or a file or folder of Keras weights (default: imagenet)"
    )
    fit.add_argument(
        "--effort", choices=("quick", "full"), help="quick: the head alone, on cached features (default: full)"
    )
    fit.add_argument("--epochs", type=int, help="of fine-tuning, or of the head with --effort quick")
    fit.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any parameter of the recipe by its name, e.g. --set head.dropout.rate=0.5; may be repeated",
    )
    fit.add_argument("--tensorboard", type=Path, metavar="DIR", help="write logs for TensorBoard, if it is installed")
    fit.add_argument("--seed", type=int, help="same seed, data and machine give the same weights (default: 1)")
    fit.add_argument("--report", type=Path, metavar="FILE", help="the HTML report (default: beside the model file)")
    fit.add_argument("--no-report", action="store_true", help="make no report")
    fit.add_argument(
        "--accept-drift", action="store_true", help="write the file even if it falls too far below its float model"
    )
    add_distribute(fit)
    fit.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    fit.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, prove, write, and say what it came to."""
    from rich.console import Console

    from trainer.progress import Steps

    if not importlib.util.find_spec("keras"):
        raise UsageError(
            "TensorFlow and Keras are not installed here; install them with: pip install 'sightpost[train]'"
        )
    recipe, place, page = _recipe(arguments), parse_place(arguments.distribute), _page(arguments)
    if page is not None:
        check_out(page, option="--report", example="gate.html")
    check_apart({"DATA": arguments.data, "--recipe": arguments.recipe, "--out": arguments.out, "--report": page})
    if recipe.kind == "embed":
        return _embedder(arguments, recipe)
    with quiet_libraries() as terminal:
        from trainer.fit import fit, take_part
        from trainer.tensorboard import tensorboard_log

        steps = Steps(Console(file=terminal, highlight=False))
        if place.rank:
            take_part(arguments.data, arguments.out, recipe, steps=steps, place=place)
            return 0
        on_epoch = tensorboard_log(arguments.tensorboard) if arguments.tensorboard else lambda _record: None
        name = arguments.name or arguments.out.stem
        fitted = fit(
            arguments.data,
            arguments.out,
            recipe,
            name=name,
            steps=steps,
            place=place,
            on_epoch=on_epoch,
            accept_drift=arguments.accept_drift,
        )
        result = fitted.result
        if page is not None:
            from trainer.fit_report import report_of
            from trainer.report import write_report

            with steps.step("make the report") as step:
                made_at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
                write_report(page, report_of(fitted, recipe, made_at=made_at))
                step.outcome = str(page)
    if arguments.json:
        print(json.dumps(result.summary(), ensure_ascii=False))
    else:
        _print_verdict(result)
    return 0


def _embedder(arguments: argparse.Namespace, recipe: Recipe) -> int:
    """A feature extractor learns nothing here: it is made as ``export-features`` makes it."""
    from rich.console import Console

    from trainer.cli.export_features import verdict
    from trainer.progress import Steps

    with quiet_libraries() as terminal:
        from trainer.embedder import export_features

        steps, name = Steps(Console(file=terminal, highlight=False)), arguments.name or arguments.out.stem
        made = export_features(arguments.out, arguments.data, recipe, name=name, steps=steps)
    print(json.dumps(made.summary(), ensure_ascii=False) if arguments.json else verdict(made))
    return 0


def _page(arguments: argparse.Namespace) -> Path | None:
    """Where the report goes: beside the model file, unless told otherwise."""
    check_out(arguments.out)
    if arguments.no_report:
        return None
    page: Path = arguments.report or arguments.out.with_suffix(".html")
    return page


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe file, where one is given, with the flags laid over it."""
    recipe = load_recipe(arguments.recipe) if arguments.recipe else Recipe()
    effort = arguments.effort or recipe.train.effort
    flags = {
        "seed": arguments.seed,
        "train.effort": arguments.effort,
        "backbone.name": arguments.backbone,
        "backbone.alpha": arguments.alpha,
        "backbone.size_px": arguments.size,
        "backbone.weights": arguments.weights,
        "train.epochs" if effort == "quick" else "finetune.epochs": arguments.epochs,
    }
    chosen = {name: value for name, value in flags.items() if value is not None}
    if arguments.backbone and arguments.alpha is None and not arguments.recipe:
        chosen["backbone.alpha"] = 1.0  # 0.35 is the default of the default backbone alone
    return with_parameters(recipe, chosen | dict(map(setting, arguments.set)))


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE`` with the value as TOML has it; a bare word is a string.

    Raises:
        UsageError: there is no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: give a name and a value, e.g. --set head.dropout.rate=0.5")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _print_verdict(result: FitResult) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from trainer.ladder import told

    int8 = result.card.metrics["int8"]
    table = Table(title=None, box=None, pad_edge=False)
    for column in ("class", "pictures", "found", "right when said"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label, row in int8["per_class"].items():
        table.add_row(escape(label), str(row["pictures"]), f"{row['recall']:.0%}", f"{row['precision']:.0%}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    right = "all labels right" if result.card.kind == "multilabel" else "right"
    console.print(
        f"\n[bold]{escape(str(result.path))}[/bold]: {right} in {int8['accuracy']:.1%} of {int8['pictures']} held-out "
        f"pictures (95 % interval {int8['accuracy_low']:.0%} to {int8['accuracy_high']:.0%}); float "
        f"{result.card.metrics['float']['accuracy']:.1%}, same answer in {result.agreement:.1%}; "
        f"{int8['latency_ms']:.1f} ms a picture here"
    )
    climb = told(result.card.metrics["quantization"])
    if climb:
        console.print(climb, markup=False)
    console.print(f"try it:  sightpost classify PICTURE --model {result.path}", markup=False)
