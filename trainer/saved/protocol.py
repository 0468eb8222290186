"""What passes between the converter and the child process that loads the model: plain values, as JSON files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge.model_card import InputSpec, Kind

Format = Literal["keras", "hdf5", "savedmodel"]
PixelMode = Literal["tf", "caffe", "torch", "raw", "0..1"]
"""What a pixel 0…255 becomes before the model sees it: -1…1, BGR minus ImageNet's mean, ImageNet's mean and deviation,
as it is, or 0…1. The first four as ``keras.applications.imagenet_utils`` names them."""
Action = Literal["inspect", "load", "export"]

ANSWER_FILE, TFLITE_FILE, REFERENCE_FILE, LOG_FILE = "answer.json", "float.tflite", "reference.npy", "log.txt"
"""What the child leaves in its folder."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do.

    Attributes:
        action: ``inspect`` only reads; ``load`` also loads and checks; ``export`` also converts to float TFLite.
        folder: where the child leaves its files.
        trust: load it although code inside it may run.
        mode: needed for ``export``.
        kind: as told; ``None`` recognises it by the model's last operation.
        classes: how many labels there are; ``None`` without labels.
        size_px: (height, width) for a model that takes any size.
        output: which one, by name, where there are several.
        spec: how pictures are prepared; its size is filled in from the model.
        pictures: what the model is asked before conversion, to compare with afterwards.
    """

    action: Action
    path: Path
    folder: Path
    trust: bool = False
    mode: PixelMode | None = None
    kind: Kind | None = None
    classes: int | None = None
    size_px: tuple[int, int] | None = None
    output: str | None = None
    spec: InputSpec = InputSpec()
    pictures: tuple[Path, ...] = ()


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself, read without loading it.

    Attributes:
        saved_by: program and version, as far as it is written there.
        dangers: what could run code when it is loaded; empty for most models.
        hints: what may help a person to answer for the preprocessing mode.
        obstacles: what will keep it from being converted.
    """

    format: Format
    saved_by: str
    model_class: str
    layers: int
    dangers: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


class Port(msgspec.Struct, frozen=True):
    """An input or output: ``shape`` with the batch, ``None`` where it is open."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({sizes}) {self.dtype}"


class LayerRow(msgspec.Struct, frozen=True):
    """One line of the summary."""

    name: str
    kind: str
    shape: str
    parameters: int


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found when it had loaded the model.

    Attributes:
        loader: the library that did it.
        attempts: what was tried before and why it failed.
        checks: what was checked, one sentence each.
        warnings: what a person should know.
        kind: chosen or confirmed; ``None`` where nothing decided it.
        added: the activation appended to the model's outputs.
        spec: complete with the size; for ``export``.
    """

    loader: str
    attempts: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerRow, ...]
    parameters: int
    checks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kind: Kind | None = None
    added: Literal["softmax", "sigmoid"] | None = None
    spec: InputSpec | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why it could not be done: one line for a person."""

    message: str
    untrusted: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child came to; ``failure`` or everything that was asked for."""

    inspection: Inspection | None = None
    loaded: Loaded | None = None
    failure: Failure | None = None


def encode_request(request: Request) -> bytes:
    """As JSON; paths may hold any bytes, as file names on Linux may."""
    return msgspec.json.encode(request, enc_hook=_path_to_text)


def decode_request(content: bytes) -> Request:
    """The inverse of ``encode_request``."""
    return msgspec.json.decode(content, type=Request, dec_hook=_path_from_text)


def _path_to_text(value: Any) -> str:  # noqa: ANN401  as msgspec defines it
    return os.fsencode(value).decode("latin-1")


def _path_from_text(_wanted: type, text: Any) -> Path:  # noqa: ANN401  likewise
    return Path(os.fsdecode(text.encode("latin-1")))
