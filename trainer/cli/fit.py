"""``sightpost-train fit``: from a folder of pictures to a model file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import to_builtins
from msgspec.structs import replace

from edge.errors import UsageError
from edge.strict import convert
from trainer.distributed import add_distribute, parse_place
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
    fit.add_argument("--epochs", type=int, help="passes over the cached features (default: 60)")
    fit.add_argument("--seed", type=int, help="same seed, data and machine give the same weights (default: 1)")
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
    recipe = _recipe(arguments)
    place = parse_place(arguments.distribute)
    with quiet_libraries() as terminal:
        from trainer.fit import fit, fit_elsewhere

        steps = Steps(Console(file=terminal, highlight=False))
        if place.rank:
            fit_elsewhere(arguments.data, recipe, steps=steps, place=place)
            return 0
        name = arguments.name or arguments.out.stem
        result = fit(arguments.data, arguments.out, recipe, name=name, steps=steps, place=place)
    if arguments.json:
        print(json.dumps(result.summary(), ensure_ascii=False))
    else:
        _print_verdict(result)
    return 0


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe file, where one is given, with the flags laid over it."""
    recipe = load_recipe(arguments.recipe) if arguments.recipe else Recipe()
    flags = {
        "name": arguments.backbone,
        "alpha": arguments.alpha,
        "size_px": arguments.size,
        "weights": arguments.weights,
    }
    backbone = replace(recipe.backbone, **{key: value for key, value in flags.items() if value is not None})
    if arguments.backbone and arguments.alpha is None and not arguments.recipe:
        backbone = replace(backbone, alpha=1.0)  # 0.35 is the default of the default backbone alone
    head = replace(recipe.head, epochs=arguments.epochs) if arguments.epochs is not None else recipe.head
    seed = recipe.seed if arguments.seed is None else arguments.seed
    chosen = replace(recipe, backbone=backbone, head=head, seed=seed)
    # Flags are checked like the file.
    return convert(to_builtins(chosen), Recipe, path="", where="the flags")


def _print_verdict(result: FitResult) -> None:
    from rich.console import Console
    from rich.table import Table

    int8 = result.card.metrics["int8"]
    table = Table(title=None, box=None, pad_edge=False)
    for column in ("class", "pictures", "found", "right when said"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label, row in int8["per_class"].items():
        table.add_row(label, str(row["pictures"]), f"{row['recall']:.0%}", f"{row['precision']:.0%}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"\n[bold]{result.path}[/bold]: right in {int8['accuracy']:.1%} of {int8['pictures']} held-out pictures "
        f"(95 % interval {int8['accuracy_low']:.0%} to {int8['accuracy_high']:.0%}); float "
        f"{result.card.metrics['float']['accuracy']:.1%}, same answer in {result.agreement:.1%}; "
        f"{int8['latency_ms']:.1f} ms a picture here"
    )
    console.print(f"try it:  sightpost classify PICTURE --model {result.path}", markup=False)
