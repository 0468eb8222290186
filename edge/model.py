"""A model ready to answer: file, interpreter and preprocessing joined, and proven by its golden samples."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from edge.answer import JOINT, NONE, TINY, UNKNOWN, Known, chosen
from edge.errors import ModelFileError
from edge.model_card import InputSpec, Kind
from edge.model_file import ModelFile, read_labels, read_model_file
from edge.preprocess import Roi, map_pixels, prepare
from edge.runtime import EMBEDDING, SCORES, Engine, RuntimeName, Tensor
from edge.tflite_metadata import Normalization, read_normalization
from edge.value import Value
from edge.vectors import unit, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image

_SCALINGS = {"raw": (0.0, 1.0), "0..1": (0.0, 255.0), "-1..1": (127.5, 127.5)}
_STATED_TOLERANCE = 0.01  # of std: 127 or 128 is often written for 127.5, 256 for 255


class Labels(tuple[str, ...]):  # noqa: SLOT001  what is found once is kept in it
    """The names of the classes, in the order of the scores."""

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each label's scores are. It is asked for at every answer, and to hash a thousand labels takes long."""
        places: dict[str, list[int]] = {}
        for place, label in enumerate(self):
            places.setdefault(label, []).append(place)
        return places


class Prediction(Value, frozen=True):
    """What a model says of one picture.

    Attributes:
        labels: the names of the classes.
        scores: ``(classes,) float32`` in 0…1, in the order of the labels; empty for an ``embed`` model.
        embedding: ``(n,) float32`` or ``(h, w, n)``, where the model gives one.
        chosen: the labels that are the answer; ``None`` takes the one with the highest score.
        known: whether the picture is like one of the classes at all, by the card's unknown rule.
    """

    labels: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32] | None = None
    chosen: tuple[str, ...] | None = None
    known: bool = True

    @property
    def label(self) -> str:
        """The answer in one word: a label, several joined, ``none`` of them, or ``unknown``."""
        if not self.known:
            return UNKNOWN
        if self.chosen is None:
            return self.labels[int(self.scores.argmax())]
        return JOINT.join(self.chosen) if self.chosen else NONE

    @property
    def score(self) -> float:
        """The score of the answer; the highest one where the answer is ``unknown``."""
        return self.score_of(self.label) if self.known else float(self.scores.max())

    def score_of(self, label: str) -> float:
        """The score of an answer: of several labels the lowest, of ``none`` what the highest leaves.

        Strangers' labels may repeat a word (ImageNet has two of "crane"): it has the higher score of the two.
        """
        places = self._places
        if label == NONE and NONE not in places:
            return 1.0 - float(self.scores.max())
        return min(max(float(self.scores[place]) for place in places[part]) for part in self.parts_of(label))

    def parts_of(self, label: str) -> Sequence[str]:
        """The labels that an answer consists of."""
        return (label,) if label in self._places else label.split(JOINT)

    @property
    def _places(self) -> dict[str, list[int]]:
        return self.labels.places if isinstance(self.labels, Labels) else Labels(self.labels).places

    def top(self, count: int) -> list[tuple[str, float]]:
        """The best classes and their scores, best first."""
        rest = self.scores.copy()  # sorting a thousand classes for three of them costs as much as a small model
        best: list[tuple[str, float]] = []
        for _ in range(min(count, rest.size)):
            place = int(rest.argmax())
            best.append((self.labels[place], float(self.scores[place])))
            rest[place] = -np.inf
        return best

    def shown(self, count: int) -> list[tuple[str, float]]:
        """As ``top``, and as many more as it takes to hold every label of the answer."""
        answer = {index for index, label in enumerate(self.labels) if label in (self.chosen or ())}
        ranks = np.flatnonzero(np.isin(np.argsort(-self.scores, kind="stable"), list(answer)))
        return self.top(max(count, int(ranks.max(initial=-1)) + 1))


class Model:
    """Answers for pictures. One thread at a time."""

    def __init__(
        self,
        file: ModelFile,
        *,
        labels: Sequence[str] | None = None,
        spec: InputSpec | None = None,
        threads: int = 1,
        workers: int = 1,
        runtime: RuntimeName = "auto",
    ) -> None:
        """Join a model file with an interpreter.

        Args:
            file: as ``read_model_file`` gives it.
            labels: only for a file without a card; they replace those of its TFLite Metadata.
            spec: likewise; what it leaves open is taken from the file.
            threads: of an interpreter.
            workers: interpreters to have, for as many threads of ours.
            runtime: which interpreter.

        Raises:
            ModelFileError: the card, the labels or the InputSpec disagree with the tensors, or are missing.
        """
        self.name = file.card.name if file.card else file.path.stem
        self.version = file.card.version if file.card else file.sha256[:12]
        self.file = file
        if file.card and (labels or spec):
            raise ModelFileError(f"{file.path}: carries its own card; leave out the labels and the input settings")
        self.engines = [
            Engine(file.content, name=str(file.path), threads=threads, runtime=runtime) for _ in range(workers)
        ]
        self.engine = self.engines[0]
        self.kind: Kind = file.card.kind if file.card else ("classify" if SCORES in self.engine.outputs else "embed")
        needed = EMBEDDING if self.kind == "embed" else SCORES
        if needed not in self.engine.outputs:
            raise ModelFileError(f"{file.path}: its card says {self.kind!r}, but it has no output named {needed!r}")
        self.spec = _resolve_spec(file, spec, self.engine.input)
        self._table = _pixel_table(file, self.spec, self.engine.input)
        self.labels = Labels(self._resolve_labels(labels))
        self.known = _known(file, self.engine)
        self._center = _center(file, self.engine)
        self.thresholds = file.card.thresholds if file.card else {}

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        labels: Path | None = None,
        spec: InputSpec | None = None,
        threads: int = 1,
        workers: int = 1,
        runtime: RuntimeName = "auto",
    ) -> Model:
        """Read, join and prove a model; what it returns answers as it did in training.

        Raises:
            ModelFileError: the file is damaged, disagrees with itself or the settings, or answers differently here.
        """
        file = read_model_file(path)
        names = read_labels(labels) if labels else None
        model = cls(file, labels=names, spec=spec, threads=threads, workers=workers, runtime=runtime)
        model.prove()
        return model

    def prove(self) -> float:
        """Re-run the golden samples; returns the largest difference of a score (0 where the file has none).

        Raises:
            ModelFileError: a score differs by more than the card allows, or is no number.
        """
        card, golden = self.file.card, self.file.golden
        if card is None or card.golden is None or golden is None:
            return 0.0
        answers = np.stack([self.golden_answer(frame) for frame in golden.frames])
        difference = float(np.max(np.abs(answers - golden.scores))) if answers.shape == golden.scores.shape else np.inf
        if not difference <= card.golden.tolerance:  # written so that NaN is refused as well
            raise ModelFileError(
                f"{self.file.path}: answers differently on this device than in training: a golden score is off by "
                f"{difference:.3f} and {card.golden.tolerance:.3f} is allowed; do not trust it here: update the TFLite "
                f"runtime ({self.engine.runtime}) or quantize the model anew"
            )
        return difference

    def predict(self, image: Image, *, roi: Roi | None = None) -> Prediction:
        """Answer for a picture.

        Args:
            image: ``(H, W, 3) uint8 BGR``.
            roi: the region to look at; ``None`` is the whole picture.
        """
        return self.interpret(self.engine.infer(self.prepare(image, roi=roi)))

    def prepare(self, image: Image, *, roi: Roi | None = None) -> npt.NDArray[Any]:
        """Make the input of the interpreter, ``(H, W, C)`` of its type, of a picture as in ``predict``."""
        picture = prepare(image, self.spec, roi=roi)
        return picture if self._table is None else map_pixels(picture, self._table)

    def interpret(self, outputs: Mapping[str, npt.NDArray[np.float32]]) -> Prediction:
        """Say what the interpreter's outputs mean."""
        scores = outputs.get(SCORES)
        if scores is None:
            return Prediction((), np.empty(0, np.float32), outputs.get(EMBEDDING))
        if scores.size == 1 and len(self.labels) == 2:  # noqa: PLR2004  a sigmoid answers for the second of two labels
            scores = np.array([1.0 - scores.flat[0], scores.flat[0]], dtype=np.float32)
        scores, embedding = scores.ravel(), outputs.get(EMBEDDING)
        return Prediction(
            self.labels,
            scores,
            embedding,
            chosen(self.kind, self.labels, scores, self.thresholds),
            self.known is None or self.known.knows(scores, embedding),
        )

    def likeness(self, embedding: npt.NDArray[np.float32] | None) -> float:
        """The cosine of an embedding to the mean of those in training; no number where the card does not have that."""
        if embedding is None or self._center is None:
            return float("nan")
        vector = embedding.ravel().astype(np.float64)
        return float(vector @ self._center / max(float(np.linalg.norm(vector)), TINY))

    def golden_answer(self, frame: Image) -> npt.NDArray[np.float32]:
        """What golden samples keep of an answer: the scores, or the embedding, flattened, of an ``embed`` model."""
        prediction = self.predict(frame)
        if prediction.embedding is not None and self.kind == "embed":
            return prediction.embedding.ravel()
        return prediction.scores

    def _resolve_labels(self, given: Sequence[str] | None) -> tuple[str, ...]:
        scores = self.engine.outputs.get(SCORES)
        if scores is None:
            return ()
        path, classes = self.file.path, int(np.prod(scores.shape))
        labels = tuple(given) if given else self.file.labels
        if labels is None:
            raise ModelFileError(f"{path}: the file names no labels; give its {classes} labels with --labels FILE")
        if len(labels) != classes and not (classes == 1 and len(labels) == 2):  # noqa: PLR2004  a sigmoid for two labels
            raise ModelFileError(
                f"{path}: {len(labels)} labels do not match the model's {classes} outputs; "
                "give a labels file with exactly one line per output"
            )
        return labels


def _known(file: ModelFile, engine: Engine) -> Known | None:
    """The card's unknown rule, ready to be asked."""
    if file.card is None or file.card.unknown is None:
        return None
    try:
        known = Known.of(file.card.unknown)
    except ValueError as error:
        raise ModelFileError(f"{file.path}: the unknown rule of its card is damaged: {error}") from error
    if known.needs_embedding and EMBEDDING not in engine.outputs:
        raise ModelFileError(f"{file.path}: its unknown rule looks at the embedding, which it does not give")
    if known.needs_embedding:
        centers = known.arrays["centers"]
        if not centers.size or centers.shape[1:] != (math.prod(engine.outputs[EMBEDDING].shape),):
            raise ModelFileError(f"{file.path}: the class centres of its unknown rule do not fit its embedding")
    return known


def _center(file: ModelFile, engine: Engine) -> npt.NDArray[np.float64] | None:
    """The mean direction of an ``embed`` model's vectors in training, at length 1."""
    reference = file.card.reference if file.card else None
    if reference is None or reference.center is None:
        return None
    try:
        center = unit(unpack(reference.center).ravel()).astype(np.float64)
    except ValueError as error:
        raise ModelFileError(f"{file.path}: the reference of its card is damaged: {error}") from error
    if EMBEDDING not in engine.outputs or center.size != math.prod(engine.outputs[EMBEDDING].shape):
        raise ModelFileError(f"{file.path}: the reference of its card has another size than its embedding")
    return center


def _resolve_spec(file: ModelFile, given: InputSpec | None, tensor: Tensor) -> InputSpec:
    """Fill in what is open from the tensor, and refuse what contradicts it."""
    height, width, channels = tensor.shape
    spec = file.card.input if file.card else given or InputSpec(color="gray" if channels == 1 else "rgb")
    for key, wanted, actual in (("height_px", spec.height_px, height), ("width_px", spec.width_px, width)):
        if wanted not in (None, actual):
            raise ModelFileError(f"{file.path}: input.{key} is {wanted}, but the model's tensor has {actual}")
    if (spec.color == "gray") != (channels == 1):
        raise ModelFileError(
            f"{file.path}: input.color is {spec.color!r}, but the model's tensor has {channels} channels"
        )
    return replace(spec, height_px=height, width_px=width)


def _pixel_table(
    file: ModelFile, spec: InputSpec, tensor: Tensor
) -> npt.NDArray[np.integer[Any] | np.floating[Any]] | None:
    """What each pixel value 0…255 becomes in the tensor: ``(256,)`` of its type, or ``None`` where it stays as it is.

    A uint8 tensor takes pixels as they are unless the settings say otherwise: that is how such files are made. Another
    type needs to know what its real values mean, from the card, the TFLite Metadata, or the settings.
    """
    if spec.scaling is None and tensor.dtype == np.uint8:
        return None
    mean_std = _SCALINGS[spec.scaling] if spec.scaling else _stated(read_normalization(file.content))
    if mean_std is None:
        raise ModelFileError(
            f"{file.path}: its input is {tensor.dtype} and nothing says what a pixel becomes; "
            "give --input scaling=raw, scaling=0..1 or scaling=-1..1, as the model was trained"
        )
    real = (np.arange(256) - mean_std[0]) / mean_std[1]
    if np.issubdtype(tensor.dtype, np.floating):
        return real.astype(tensor.dtype)
    if tensor.scale == 0.0:
        raise ModelFileError(
            f"{file.path}: its {tensor.dtype} input states no scale; convert or quantize the model anew"
        )
    limits = np.iinfo(tensor.dtype)
    # Halves, which every pixel of a -1..1 model becomes, go up: to the nearest even would merge pairs of levels.
    quantized = np.floor(np.round(real / tensor.scale + tensor.zero_point, 3) + 0.5)
    table = np.clip(quantized, limits.min, limits.max).astype(tensor.dtype)
    identity = tensor.dtype == np.uint8 and np.array_equal(table, np.arange(256))
    return None if identity else table


def _stated(normalization: Normalization | None) -> tuple[float, float] | None:
    if normalization is None:
        return None
    for mean, std in _SCALINGS.values():
        if max(abs(normalization.mean - mean), abs(normalization.std - std)) <= _STATED_TOLERANCE * std:
            return mean, std
    return normalization.mean, normalization.std
