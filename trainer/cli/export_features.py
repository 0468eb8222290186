"""``sightpost-train export-features``: a pretrained backbone as a model file that gives feature vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge.strict import convert
from trainer.head_recipe import AnyBlock, AveragePool, Flatten, HeadRecipe, MaxPool
from trainer.quiet import quiet_libraries
from trainer.recipe import BackboneRecipe, QuantizeRecipe, Recipe

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands
    from trainer.embedder import Embedder

_POOLING: dict[str, AnyBlock] = {"average": AveragePool(), "max": MaxPool(), "none": Flatten()}


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export-features",
        help="make a feature extractor of a pretrained backbone",
        description="Make an int8 model file that gives feature vectors: pooled, or the whole last feature map.",
        epilog="example: sightpost-train export-features --backbone vgg16 --calibration pictures/ --out vgg16.tflite",
    )
    parser.add_argument("--backbone", required=True, metavar="NAME", help="a model of keras.applications, e.g. vgg16")
    parser.add_argument("--alpha", type=float, help="width of a MobileNet (default: 1.0)")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of the input (default: 224)")
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="W",
        help="imagenet, none, or a file or folder of Keras weights (default: imagenet)",
    )
    parser.add_argument(
        "--pool", choices=("average", "max", "none"), default="average",
        help="of the last feature map; none keeps the whole map (default: average)",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=Path, required=True, metavar="FOLDER", help="pictures like those the camera will see"
    )
    parser.add_argument("--pictures", type=int, metavar="N", help="how many of them calibrate (default: 100)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model file to write")
    parser.add_argument("--name", help="the model's name in messages (default: the name of the file)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export a backbone."""
    from rich.console import Console

    from trainer.progress import Steps

    alpha = 1.0 if arguments.alpha is None else arguments.alpha
    keys = {"name": arguments.backbone, "alpha": alpha, "size_px": arguments.size, "weights": arguments.weights}
    backbone = convert(keys, BackboneRecipe, path="backbone", where="the flags")
    pictures = {} if arguments.pictures is None else {"calibration_pictures": arguments.pictures}
    quantize = convert(pictures, QuantizeRecipe, path="quantize", where="the flags")
    head = HeadRecipe(blocks=(_POOLING[arguments.pool],))
    recipe = Recipe(kind="embed", backbone=backbone, head=head, quantize=quantize)
    with quiet_libraries() as terminal:
        from trainer.embedder import export_features

        steps = Steps(Console(file=terminal, highlight=False))
        made = export_features(
            arguments.out,
            arguments.calibration,
            recipe,
            name=arguments.name or arguments.out.stem,
            steps=steps,
        )
    print(json.dumps(made.summary(), ensure_ascii=False) if arguments.json else verdict(made))
    return 0


def verdict(made: Embedder) -> str:
    """What came of it, for people."""
    from trainer.ladder import told

    metrics = made.card.metrics
    climb = told(metrics["quantization"])
    shape = "×".join(map(str, metrics["shape"]))
    return (
        f"{made.path}: {shape} features; cosine to float Keras {metrics['cosine_mean']:.4f} on average and "
        f"{metrics['cosine_min']:.4f} at least ({metrics['pictures']} pictures), {metrics['latency_ms']:.1f} ms each\n"
        f"{climb + chr(10) if climb else ''}"
        f"try it:  sightpost embed PICTURE --model {made.path}"
    )
