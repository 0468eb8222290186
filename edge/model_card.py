"""The card inside a model file: everything a device needs to run the model exactly as it was trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edge.packed import PackedArray

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
            and the nearest row of ``centers``, one per class.
        threshold: chosen on validation pictures, of which ``rejected`` (0…1) lie below it.
        arrays: what the method needs, packed by ``edge.vectors.pack``, by name.
    """

    method: Literal["max_score", "centers"]
    threshold: float
    rejected: float = 0.0
    arrays: dict[str, PackedArray] = {}


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
    golden: Golden | None = None
    metrics: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
