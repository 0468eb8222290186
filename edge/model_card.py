"""The card inside a model file: everything a device needs to run the model exactly as it was trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from edge.packed import PackedArray

if TYPE_CHECKING:
    from collections.abc import Sequence

CARD_FORMAT = 1
"""Version of the card's layout; raised when a reader of the old one would misread the new one."""

Size = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Kind = Literal["classify", "binary", "multilabel", "embed"]


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a picture becomes the model's input tensor.

    Attributes:
        height_px, width_px: size of the tensor; ``None`` takes it from the tensor itself.
        color: order of the channels that the model expects.
        resize: ``stretch`` to the size, ``crop`` the largest centred part of its aspect, or ``letterbox`` in grey.
        kernel: ``halving`` (exact halves by area, then linear), ``area`` or ``linear``.
        scaling: what the model's real input values are: ``raw`` 0…255, ``0..1``, ``-1..1``. Sightpost's own files are
            ``raw``: their scaling is inside the graph.
    """

    height_px: Size | None = None
    width_px: Size | None = None
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    kernel: Literal["halving", "area", "linear"] = "halving"
    scaling: Literal["raw", "0..1", "-1..1"] | None = None


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """How far a device's scores for the golden samples may lie from those measured in training."""

    count: int
    tolerance: float


class UnknownRule(msgspec.Struct, frozen=True, kw_only=True):
    """When a picture shows none of the classes: its value lies below the threshold.

    Attributes:
        method: where the value comes from. ``max_score``: the best score. ``centers``: the cosine between the embedding
            and the nearest row of ``centers``, of which each class has the same number.
        threshold: chosen on validation pictures, of which ``rejected`` (0…1) lie below it.
        arrays: what the method needs, packed by ``edge.vectors.pack``, by name.
    """

    method: Literal["max_score", "centers"]
    threshold: float
    rejected: float = 0.0
    arrays: dict[str, PackedArray] = {}


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """How ``count`` pictures were spread: the inner edges of bins, and what share (0…1) of them lay in each bin."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    count: Annotated[int, msgspec.Meta(ge=1)]

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if len(self.shares) != len(self.edges) + 1 or list(self.edges) != sorted(self.edges):
            raise ValueError("between n edges in their order lie n + 1 shares")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """How pictures that were not learnt from were answered; a device compares its own with them.

    Attributes:
        bins: by what was measured (``score``: ``answer.sureness``; ``likeness``: the unknown rule's value or, of an
            ``embed`` model, the cosine to ``center``), and by the label with the highest score; those of the label
            ``""`` are all together.
        center: of an ``embed`` model: the mean direction of its vectors, ``(n,)``, a map's one after the other.
    """

    bins: dict[str, dict[str, Bins]]
    center: PackedArray | None = None


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """``card.json``.

    ``metrics`` and ``provenance`` are free-form records for people and reports; nothing on the device depends on them.
    Scores come out of the graph calibrated: ``temperature`` says by which temperature the logits were divided.
    ``thresholds`` are the smallest scores at which a label counts: of a ``binary`` model that of its second label, of a
    ``multilabel`` model that of each; a half where none is given.
    """

    format: int = CARD_FORMAT
    name: str
    version: str
    kind: Kind
    input: InputSpec
    labels: tuple[str, ...]
    temperature: float = 1.0
    thresholds: dict[str, float] = {}
    unknown: UnknownRule | None = None
    reference: Reference | None = None
    golden: Golden | None = None
    metrics: dict[str, Any] = {}
    provenance: dict[str, Any] = {}


def repeated(labels: Sequence[str]) -> str | None:
    """What is wrong with labels that have to be told apart, or ``None``: an empty one, or one that is there twice."""
    places: dict[str, int] = {}
    for number, label in enumerate(labels, start=1):
        if not label.strip() or "\n" in label:
            return f"label {number} is empty" if not label.strip() else f"label {number} is longer than a line"
        if label in places:
            return f"labels {places[label]} and {number} are both {label!r}"
        places[label] = number
    return None


def contradiction(card: ModelCard) -> str | None:
    """Why a card cannot be meant as it is, or ``None``. Whoever wrote it was wrong, or somebody changed it."""
    said = repeated(card.labels)
    if said:
        return said
    needed = {"embed": "no labels", "binary": "two labels"}.get(card.kind, "labels")
    fits = {"embed": not card.labels, "binary": len(card.labels) == 2}.get(card.kind, bool(card.labels))  # noqa: PLR2004
    if not fits:
        return f"a model of kind {card.kind!r} has {needed}, and it has {len(card.labels)}"
    strange = [label for label in card.thresholds if label not in card.labels]
    if strange:
        return f"it has a threshold for {strange[0]!r}, which is none of its labels"
    numbers = [card.temperature, *card.thresholds.values(), *([card.unknown.threshold] if card.unknown else [])]
    if not all(map(math.isfinite, numbers)) or card.temperature <= 0:
        return "one of its numbers is out of all bounds"
    if card.golden and not (card.golden.count >= 1 and 0 <= card.golden.tolerance < math.inf):
        return f"golden.count {card.golden.count} with golden.tolerance {card.golden.tolerance} proves nothing"
    return None
