"""``[models.NAME]``: a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.config.values import Section, Text, anchored
from edge.model_card import InputSpec

if TYPE_CHECKING:
    from pathlib import Path


class ModelConfig(Section, frozen=True, kw_only=True):
    """``[models.NAME]``: a model file; ``labels`` and ``input`` are only for files that carry no card.

    ``workers`` interpreters run at the same time, each with ``threads`` threads. Where neither is said, it is what
    ``sightpost bench`` found best on this device, or one of each.
    """

    file: Text
    labels: Text | None = None
    input: InputSpec | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    runtime: Literal["auto", "litert", "tflite-runtime"] = "auto"

    def anchored(self, base: Path) -> ModelConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(self, file=str(base / self.file), labels=anchored(self.labels, base))
