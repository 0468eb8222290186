"""How good are classes that were taught by a few pictures? Against a head trained on the same pictures' features.

    python benchmarks/teach.py MODEL DATASET... [--draws 10]

MODEL gives feature vectors (``sightpost-train export-features``). Of each DATASET, a folder of classes, half of every
class is set aside; from the other half 1, 3, 5, 10 and 20 pictures a class are drawn at random, several times.
Strangers are the pictures of the other data sets. The head is a softmax regression (Adam, 300 steps, weight decay) on
the same vectors.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.model import Model
from edge.preprocess import read_picture
from edge.watch.taught import Taught, direction

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

SHOTS = (1, 3, 5, 10, 20)


def vectors_of(model: Model, folder: Path) -> dict[str, Array]:
    """Embeddings by class, ``(n, d)``."""
    found = {}
    for place in sorted(each for each in folder.iterdir() if each.is_dir()):
        rows = [model.predict(read_picture(path)).embedding for path in sorted(place.iterdir())]
        found[place.name] = np.stack([row.ravel() for row in rows if row is not None])
    return found


def head(x: Array, y: npt.NDArray[np.intp], tested: Array, *, classes: int) -> npt.NDArray[np.float64]:
    """Scores of a softmax regression, ``(n, classes)``."""
    middle, scale = x.mean(axis=0), float(x.std()) + 1e-6
    inputs, truth = (x - middle) / scale, np.eye(classes)[y]
    weights = np.zeros((inputs.shape[1] + 1, classes))
    inputs = np.hstack([inputs, np.ones((len(inputs), 1))])
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, 301):
        slope = inputs.T @ (softmax(inputs @ weights) - truth) / len(y) + 1e-3 * weights
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        weights -= 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return softmax(np.hstack([(tested - middle) / scale, np.ones((len(tested), 1))]) @ weights)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def balanced(scores: npt.NDArray[np.floating], truth: npt.NDArray[np.intp]) -> float:
    """The mean over classes of the share that is right."""
    right = scores.argmax(axis=1) == truth
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def error_of_calibration(scores: npt.NDArray[np.floating], truth: npt.NDArray[np.intp]) -> float:
    """Expected calibration error, ten bins."""
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    bins = np.minimum((sure * 10).astype(int), 9)
    return float(
        sum(abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    )


def draw(
    sets: dict[str, Array], others: Array, count: int, rng: np.random.Generator, halves: list[npt.NDArray[np.intp]]
) -> list[float]:
    """One draw: accuracy taught and of the head, calibration error, temperature, known as strange, strangers found."""
    names = list(sets)
    chosen, tested, truth = {}, [], []
    for index, (name, order) in enumerate(zip(names, halves, strict=True)):
        half = len(order) // 2
        chosen[name] = sets[name][rng.permutation(order[:half])[:count]]
        tested.append(sets[name][order[half:]])
        truth += [index] * (len(order) - half)
    test, y = np.concatenate(tested), np.array(truth)
    taught = Taught.of({name: np.stack([direction(row) for row in rows]) for name, rows in chosen.items()})
    answers = [taught.answer(row) for row in test]
    scores = np.stack([answer.scores for answer in answers])
    x = np.concatenate(list(chosen.values()))
    labels = np.repeat(np.arange(len(names)), [len(rows) for rows in chosen.values()])
    trained = head(x, labels, test, classes=len(names))
    strange = [not taught.answer(row).known for row in others]
    unknown = [not answer.known for answer in answers]
    return [
        balanced(scores, y), balanced(trained, y), error_of_calibration(scores, y), error_of_calibration(trained, y),
        taught.temperature, float(np.mean(unknown)), float(np.mean(strange)),
    ]  # fmt: skip


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    arguments = parser.parse_args()
    model = Model.load(arguments.model)
    found = {folder.name: vectors_of(model, folder) for folder in arguments.datasets}
    for name, sets in found.items():
        rng = np.random.default_rng(0)
        strangers = [rows for other, each in found.items() if other != name for rows in each.values()]
        others = np.concatenate(strangers)[::7] if strangers else np.empty((0, 1), np.float32)
        halves = [rng.permutation(len(rows)) for rows in sets.values()]
        print(f"{name}: {len(sets)} classes")
        print("shots  taught        head          ECE taught, head  temperature  unknown  strangers found")
        for count in SHOTS:
            rows = np.array([draw(sets, others, count, rng, halves) for _ in range(arguments.draws)])
            mean, spread = rows.mean(axis=0), rows.std(axis=0)
            print(
                f"{count:>5}  {mean[0]:.3f} ±{spread[0]:.3f}  {mean[1]:.3f} ±{spread[1]:.3f}  "
                f"{mean[2]:.3f}  {mean[3]:.3f}      {np.median(rows[:, 4]):.3f}        {mean[5]:.3f}    {mean[6]:.3f}"
            )


if __name__ == "__main__":
    main()
