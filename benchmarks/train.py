"""How right and how fast ``sightpost-train fit`` is, beside another recipe; on pictures that neither has seen.

    python benchmarks/train.py flowers5 trash6 --efforts quick full --rival
    python benchmarks/train.py --mechanics        # a frozen ResNet50 on CIFAR-10, beside a plain Keras fit
    python benchmarks/train.py --cifar10          # the best that the given weights do on CIFAR-10

The real data is found through SIGHTPOST_DATA.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cifar10
import numpy as np
import numpy.typing as npt
import rivals
from rich.console import Console

from edge.model import Model
from edge.model_card import InputSpec, ModelCard
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
DATA = Path(os.environ.get("SIGHTPOST_DATA", Path(__file__).parents[2] / "shared" / "data"))
WEIGHTS = DATA / "weights" / "imagenet_mobilenetv2_0.35_224_notop.weights.h5"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="flowers5, trash6, …")
    parser.add_argument("--efforts", nargs="*", default=["quick", "full"])
    parser.add_argument("--rival", action="store_true", help="the other recipe too (minutes)")
    parser.add_argument("--set", action="append", default=[], help="a parameter of the recipe: NAME=VALUE")
    parser.add_argument("--mechanics", action="store_true")
    parser.add_argument("--cifar10", action="store_true")
    arguments = parser.parse_args()
    with quiet_libraries() as terminal:
        say = functools.partial(print, file=terminal, flush=True)
        for name in arguments.sets:
            with tempfile.TemporaryDirectory() as folder:
                compare(name, arguments, Path(folder), say)
        if arguments.mechanics:
            cifar10.mechanics(DATA, say)
        if arguments.cifar10:
            cifar10.best(DATA, say)


def compare(name: str, arguments: argparse.Namespace, folder: Path, say: Say) -> None:
    """All recipes on one data set."""
    data = scan(DATA / "datasets" / name)
    seen, unseen = outer_split(data)
    say(f"\n{name}: {len(seen)} pictures to train on, {len(unseen)} that no recipe sees")
    paths = [data.samples[index].path for index in unseen]
    truth = np.array([data.samples[index].label for index in unseen])
    if arguments.rival:
        rival = rivals.frigate(data, seen, WEIGHTS)
        floats, int8s = (rivals.answers(content, paths) for content in (rival.float_tflite, rival.int8_tflite))
        say(line("frigate's recipe", truth, floats, int8s, rival.seconds))
    for effort in arguments.efforts:
        floats, int8s, seconds = ours(data, seen, paths, effort, arguments.set, folder, say)
        say(line(f"sightpost {effort}", truth, floats, int8s, seconds))


def ours(
    data: DataSet, seen: list[int], paths: list[Path], effort: str, settings: list[str], folder: Path, say: Say
) -> tuple[Answers, Answers, float]:
    """Train, calibrate and quantize as ``fit`` does, on the pictures seen; the answers to the others, and seconds."""
    some = dataclasses.replace(data, samples=tuple(data.samples[index] for index in seen))
    recipe = with_parameters(
        Recipe(), {"train.effort": effort, "backbone.weights": str(WEIGHTS), **dict(map(setting, settings))}
    )
    rng = np.random.default_rng(recipe.seed)
    side = recipe.backbone.size_px
    spec = InputSpec(height_px=side, width_px=side, color="rgb", scaling="raw")
    started, cpu = time.perf_counter(), time.process_time()
    parts = split(some, recipe.split, rng)
    trained = train(some, parts, spec, recipe, steps=Steps(Console(quiet=True)), workdir=folder / effort)
    for record in trained.history:
        say(f"  {record.stage:8} {record.epoch:3}  validation {record.val_accuracy:.1%}, loss {record.val_loss:.3f}")
    float_tflite = to_float_tflite(trained.model())
    chosen = balanced(parts.train, some, recipe.quantize.calibration_pictures, rng)
    int8_tflite = to_int8_tflite(float_tflite, [prepare(picture, spec) for picture in pictures(some, chosen)])
    seconds = time.perf_counter() - started
    say(f"  weights of: {trained.stage}; {time.process_time() - cpu:.0f} s of processor time")
    card = ModelCard(name=effort, version="", kind="classify", input=spec, labels=data.labels)
    found = []
    for content in (float_tflite, int8_tflite):
        file = ModelFile(path=folder, content=content, card=card, labels=data.labels, golden=None, sha256="")
        model = Model(file)
        found.append(np.array([int(model.predict(read_picture(path)).scores.argmax()) for path in paths]))
    return found[0], found[1], seconds


def outer_split(data: DataSet) -> tuple[list[int], list[int]]:
    """Samples that may be seen, and those that judge: of each class a quarter, always the same."""
    rng = np.random.default_rng(7)
    unseen: list[int] = []
    for label in range(len(data.labels)):
        members = [index for index, sample in enumerate(data.samples) if sample.label == label]
        order = rng.permutation(len(members))
        unseen += [members[position] for position in order[: round(len(members) * UNSEEN)]]
    return sorted(set(range(len(data.samples))) - set(unseen)), unseen


def line(name: str, truth: Answers, floats: Answers, int8s: Answers, seconds: float) -> str:
    """One line of the table."""
    recalls = [float((int8s == truth)[truth == label].mean()) for label in np.unique(truth)]
    return (
        f"{name:20} int8 {(int8s == truth).mean():6.1%}  float {(floats == truth).mean():6.1%}  "
        f"same answer {(int8s == floats).mean():6.1%}  mean over classes {np.mean(recalls):6.1%}  {seconds:6.0f} s"
    )


if __name__ == "__main__":
    main()
