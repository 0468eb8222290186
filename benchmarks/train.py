"""How right and how fast ``sightpost-train fit`` is, beside another recipe; on pictures that neither has seen.

    python benchmarks/train.py flowers5 trash6 --efforts quick full --rival
    python benchmarks/train.py --mechanics        # a frozen ResNet50 on CIFAR-10, beside a plain Keras fit
    python benchmarks/train.py --cifar10          # the best that the given weights do on CIFAR-10

The real data is found through SIGHTPOST_DATA.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cifar10
import numpy as np
import numpy.typing as npt
import rivals
from cost import Cost, measured
from rich.console import Console

from edge.model import Model
from edge.model_card import ModelCard
from edge.model_file import ModelFile
from edge.preprocess import prepare, read_picture
from trainer.cli.fit import setting
from trainer.data import DataSet, balanced, pictures, scan
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.quantize import to_float_tflite, to_int8_tflite
from trainer.quiet import quiet_libraries
from trainer.recipe import Recipe
from trainer.split import split
from trainer.training import train

Say = Callable[[str], None]
Answers = npt.NDArray[np.int64]
UNSEEN = 0.25
OUTER_SEED = 7
DATA = Path(os.environ.get("SIGHTPOST_DATA", Path(__file__).parents[2] / "shared" / "data"))
WEIGHTS = DATA / "weights" / "imagenet_mobilenetv2_0.35_224_notop.weights.h5"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="flowers5, trash6, …")
    parser.add_argument("--efforts", nargs="*", default=["quick", "full"])
    parser.add_argument("--rival", action="store_true", help="the other recipe too (minutes)")
    parser.add_argument(
        "--outer-seed", type=int, default=OUTER_SEED, help="another one to choose by; the default reports"
    )
    parser.add_argument("--set", action="append", default=[], help="a parameter of the recipe: NAME=VALUE")
    parser.add_argument("--mechanics", action="store_true")
    parser.add_argument("--cifar10", action="store_true")
    arguments = parser.parse_args()
    with quiet_libraries() as terminal:
        say = functools.partial(print, file=terminal, flush=True)
        table = []
        for name in arguments.sets:
            with tempfile.TemporaryDirectory() as folder:
                table += compare(name, arguments, Path(folder), say)
        if table:
            say("\n" + "\n".join(table))
        if arguments.mechanics:
            cifar10.mechanics(DATA, say)
        if arguments.cifar10:
            cifar10.best(DATA, say)


def compare(name: str, arguments: argparse.Namespace, folder: Path, say: Say) -> list[str]:
    """All recipes on one data set; the lines of its table."""
    data = scan(DATA / "datasets" / name)
    seen, unseen = outer_split(data, arguments.outer_seed)
    table = [f"{name}: {len(seen)} pictures to train on, {len(unseen)} that no recipe sees"]
    say(f"\n{table[0]}")
    paths = [data.samples[index].path for index in unseen]
    truth = np.array([data.samples[index].label for index in unseen])
    if arguments.rival:
        rival, cost = measured(lambda: rivals.frigate(data, seen, WEIGHTS))
        floats, int8s = (rivals.answers(content, paths) for content in (rival.float_tflite, rival.int8_tflite))
        table.append(line("frigate's recipe", truth, floats, int8s, cost))
        say(table[-1])
    judged = with_test_part(data, unseen)
    for effort in arguments.efforts:
        (float_tflite, int8_tflite), cost = measured(
            functools.partial(ours, judged, effort, arguments.set, folder, say)
        )
        floats, int8s = (answers(content, data.labels, paths) for content in (float_tflite, int8_tflite))
        table.append(line(f"sightpost {effort}", truth, floats, int8s, cost))
        say(table[-1])
    return table


def with_test_part(data: DataSet, unseen: list[int]) -> DataSet:
    """As if the owner had put those pictures into a test folder: then ``fit`` draws no test part from the others."""
    judging = set(unseen)
    samples = (replace(sample, part="test") if i in judging else sample for i, sample in enumerate(data.samples))
    return replace(data, samples=tuple(samples))


def ours(data: DataSet, effort: str, settings: list[str], folder: Path, say: Say) -> tuple[bytes, bytes]:
    """Train, calibrate and quantize as ``fit`` does: the float and the int8 file."""
    recipe = with_parameters(
        Recipe(), {"train.effort": effort, "backbone.weights": str(WEIGHTS), **dict(map(setting, settings))}
    )
    rng = np.random.default_rng(recipe.seed)
    parts = split(data, recipe.split, rng)
    spec = recipe.input_spec
    trained = train(data, parts, spec, recipe, steps=Steps(Console(quiet=True)), workdir=folder / effort)
    for record in trained.history:
        say(
            f"  {record.stage:8} {record.epoch:3}  validation {record.val_accuracy:.1%}, loss {record.val_loss:.3f}, "
            f"{record.seconds:.1f} s"
        )
    say(f"  weights of: {trained.stage}; {len(parts.train)} pictures learnt from, {len(parts.validation)} to validate")
    float_tflite = to_float_tflite(trained.model())
    chosen = balanced(parts.train, data, recipe.quantize.calibration_pictures, rng)
    return float_tflite, to_int8_tflite(float_tflite, [prepare(picture, spec) for picture in pictures(data, chosen)])


def answers(content: bytes, labels: tuple[str, ...], paths: list[Path]) -> Answers:
    """What a file of ours answers to pictures, through the edge code."""
    card = ModelCard(name="benchmark", version="", kind="classify", input=Recipe().input_spec, labels=labels)
    model = Model(ModelFile(path=DATA, content=content, card=card, labels=labels, golden=None, sha256=""))
    return np.array([int(model.predict(read_picture(path)).scores.argmax()) for path in paths])


def outer_split(data: DataSet, seed: int) -> tuple[list[int], list[int]]:
    """Samples that may be seen, and those that judge: of each class a quarter, by the seed."""
    rng = np.random.default_rng(seed)
    unseen: list[int] = []
    for label in range(len(data.labels)):
        members = [index for index, sample in enumerate(data.samples) if sample.label == label]
        order = rng.permutation(len(members))
        unseen += [members[position] for position in order[: round(len(members) * UNSEEN)]]
    return sorted(set(range(len(data.samples))) - set(unseen)), unseen


def line(name: str, truth: Answers, floats: Answers, int8s: Answers, cost: Cost) -> str:
    """One line of the table."""
    recalls = [float((int8s == truth)[truth == label].mean()) for label in np.unique(truth)]
    return (
        f"{name:20} int8 {(int8s == truth).mean():6.1%}  float {(floats == truth).mean():6.1%}  "
        f"same answer {(int8s == floats).mean():6.1%}  mean over classes {np.mean(recalls):6.1%}  {cost}"
    )


if __name__ == "__main__":
    main()
