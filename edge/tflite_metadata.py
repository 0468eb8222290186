"""TFLite Metadata: the standard description inside a ``.tflite`` that other programs read (labels, normalization).

Only the few tables that a picture model needs are read and written, straight through ``flatbuffers``: no maintained
library does it. Slot numbers follow TensorFlow's ``metadata_schema.fbs`` (identifier ``M001``) and ``schema.fbs``
(``TFL3``).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import flatbuffers
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    Flat = Any  # flatbuffers ships no types

ENTRY_NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"

_IMAGE_PROPERTIES = 2  # member of the ContentProperties union
_NORMALIZATION_OPTIONS = 1  # member of the ProcessUnitOptions union
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_FIRST_SLOT = 4  # a table's slot n lies at vtable offset 4 + 2n


class Normalization(Value, frozen=True):
    """What another program must do to a pixel: ``(x - mean) / std``, one value for all channels."""

    mean: float
    std: float


class TensorText(Value, frozen=True):
    """Name and description of one tensor, in the file's own tensor order."""

    name: str
    description: str
    has_labels: bool = False


def read_normalization(flatbuffer: bytes) -> Normalization | None:
    """The input normalization that a file's metadata states, or ``None`` where it states none that we understand."""
    try:
        metadata = _metadata_bytes(flatbuffer)
        return None if metadata is None else _normalization(metadata)
    except (struct.error, IndexError, ValueError, TypeError):
        return None  # nobody verifies the metadata of somebody else's file; where it is damaged, it states nothing


def _normalization(metadata: bytes) -> Normalization | None:
    for subgraph in _tables(_root(metadata), 3):
        for tensor in _tables(subgraph, 2)[:1]:
            for unit in _tables(tensor, 4):
                if _scalar(unit, 0, number_types.Uint8Flags) != _NORMALIZATION_OPTIONS:
                    continue
                options = _table(unit, 1, union=True)
                mean, std = (_floats(options, slot) for slot in (0, 1))
                if len(set(mean)) == len(set(std)) == 1 and math.isfinite(mean[0]) and 0 < std[0] < math.inf:
                    return Normalization(mean[0], std[0])
    return None


def build_metadata(
    *,
    name: str,
    version: str,
    description: str,
    inputs: Sequence[TensorText],
    outputs: Sequence[TensorText],
    gray: bool,
) -> bytes:
    """The metadata buffer of a model that takes raw 0…255 pictures; labels lie in the zip's ``labels.txt``."""
    builder = flatbuffers.Builder(1024)
    input_tensors = [_picture_tensor(builder, text, gray=gray) for text in inputs]
    output_tensors = [_output_tensor(builder, text) for text in outputs]
    input_vector = _vector(builder, input_tensors)
    output_vector = _vector(builder, output_tensors)
    subgraph = _build(builder, 10, {2: input_vector, 3: output_vector})
    strings = {slot: builder.CreateString(text) for slot, text in ((0, name), (1, description), (2, version))}
    parser = builder.CreateString("1.0.0")
    root = _build(builder, 8, {**strings, 3: _vector(builder, [subgraph]), 7: parser})
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output())


def _picture_tensor(builder: Flat, text: TensorText, *, gray: bool) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, _GRAYSCALE if gray else _RGB, 0)
    properties = builder.EndObject()
    builder.StartObject(3)
    builder.PrependUint8Slot(0, _IMAGE_PROPERTIES, 0)
    builder.PrependUOffsetTRelativeSlot(1, properties, 0)
    content = builder.EndObject()
    identity = _build(builder, 2, {0: _float_vector(builder, [0.0]), 1: _float_vector(builder, [1.0])})
    builder.StartObject(2)
    builder.PrependUint8Slot(0, _NORMALIZATION_OPTIONS, 0)
    builder.PrependUOffsetTRelativeSlot(1, identity, 0)
    unit = builder.EndObject()
    stats = _build(builder, 2, {0: _float_vector(builder, [255.0]), 1: _float_vector(builder, [0.0])})
    slots = {3: content, 4: _vector(builder, [unit]), 5: stats}
    return _build(builder, 7, {**_texts(builder, text), **slots})


def _output_tensor(builder: Flat, text: TensorText) -> int:
    slots = _texts(builder, text)
    if text.has_labels:
        file_name = builder.CreateString(LABELS_FILE)
        builder.StartObject(5)
        builder.PrependUOffsetTRelativeSlot(0, file_name, 0)
        builder.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0)
        slots[6] = _vector(builder, [builder.EndObject()])
    return _build(builder, 7, slots)


def _texts(builder: Flat, text: TensorText) -> dict[int, int]:
    return {0: builder.CreateString(text.name), 1: builder.CreateString(text.description)}


def _build(builder: Flat, slot_count: int, slots: dict[int, int]) -> int:
    builder.StartObject(slot_count)
    for slot, offset in slots.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _vector(builder: Flat, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _float_vector(builder: Flat, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _metadata_bytes(flatbuffer: bytes) -> bytes | None:
    model = _root(flatbuffer)
    buffers = _tables(model, 4)
    for entry in _tables(model, 6):
        if _string(entry, 0) == ENTRY_NAME:
            data = buffers[_scalar(entry, 1, number_types.Uint32Flags)]
            offset = data.Offset(_FIRST_SLOT)
            if offset:
                start = data.Vector(offset)
                return bytes(flatbuffer[start : start + data.VectorLen(offset)])
    return None


def _root(data: bytes) -> Flat:
    return Table(data, encode.Get(packer.uoffset, data, 0))


def _slot(table: Flat, slot: int) -> int:
    return int(table.Offset(_FIRST_SLOT + 2 * slot)) if table is not None else 0


def _table(table: Flat, slot: int, *, union: bool = False) -> Flat:
    offset = _slot(table, slot)
    if not offset:
        return None
    if union:
        target = Table(bytearray(), 0)
        table.Union(target, offset)
        return target
    return Table(table.Bytes, table.Indirect(table.Pos + offset))


def _tables(table: Flat, slot: int) -> list[Flat]:
    offset = _slot(table, slot)
    if not offset:
        return []
    start, count = table.Vector(offset), table.VectorLen(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(count)]


def _floats(table: Flat, slot: int) -> list[float]:
    offset = _slot(table, slot)
    if not offset:
        return []
    vector = table.GetVectorAsNumpy(number_types.Float32Flags, offset)
    return [float(value) for value in vector]


def _string(table: Flat, slot: int) -> str:
    offset = _slot(table, slot)
    return bytes(table.String(table.Pos + offset)).decode("utf-8", "replace") if offset else ""


def _scalar(table: Flat, slot: int, flags: Flat) -> int:
    offset = _slot(table, slot)
    return int(table.Get(flags, table.Pos + offset)) if offset else 0
