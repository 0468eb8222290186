"""The payload of Sparkplug B (3.0, chapter 6.4), as far as an edge node like this one needs it, in Protocol Buffers.

The message types are described here instead of being generated: a table of names, numbers and types is all there is to
them, and ``protobuf`` makes classes of it. Fields that we neither write nor read, such as templates, are left out;
``protobuf`` skips them when it reads.
"""

from __future__ import annotations

import enum
from functools import cache
from typing import TYPE_CHECKING, Any

from edge.errors import ConfigError
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence


class DataType(enum.IntEnum):
    """Types of a metric's value (chapter 6.4.16)."""

    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


_VALUE_FIELDS = {
    DataType.INT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_METRIC = {
    "name": (1, "STRING"),
    "alias": (2, "UINT64"),
    "timestamp": (3, "UINT64"),
    "datatype": (4, "UINT32"),
    "is_historical": (5, "BOOL"),
    "is_transient": (6, "BOOL"),
    "is_null": (7, "BOOL"),
    "int_value": (10, "UINT32"),
    "long_value": (11, "UINT64"),
    "float_value": (12, "FLOAT"),
    "double_value": (13, "DOUBLE"),
    "boolean_value": (14, "BOOL"),
    "string_value": (15, "STRING"),
    "bytes_value": (16, "BYTES"),
}
_PAYLOAD = {"timestamp": (1, "UINT64"), "metrics": (2, ".sightpost.Metric"), "seq": (3, "UINT64")}


class Metric(Value, frozen=True):
    """One named value.

    Attributes:
        value: ``None`` where it is not known.
        timestamp_ms: when it was so, UTC milliseconds since 1970.
        historical: it is told late, and is not what holds now.
    """

    name: str
    type: DataType
    value: str | float | bool | int | None
    timestamp_ms: int
    historical: bool = False


def encode(timestamp_ms: int, metrics: Sequence[Metric], seq: int | None) -> bytes:
    """Write a payload; a death has no ``seq``."""
    payload = _payload_class()(timestamp=timestamp_ms)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        written = payload.metrics.add(name=metric.name, timestamp=metric.timestamp_ms, datatype=int(metric.type))
        if metric.historical:
            written.is_historical = True
        if metric.value is None:
            written.is_null = True
        else:
            setattr(written, _VALUE_FIELDS[metric.type], metric.value)
    return bytes(payload.SerializeToString())


def read_flags(payload: bytes) -> dict[str, bool]:
    """Read the metrics of a command that are true or false.

    Raises:
        ValueError: it is no such payload.
    """
    from google.protobuf.message import DecodeError

    try:
        read = _payload_class().FromString(payload)
    except DecodeError as error:
        raise ValueError(f"no Sparkplug B payload: {error}") from error
    return {each.name: each.boolean_value for each in read.metrics if each.HasField("boolean_value")}


def require_protobuf() -> None:
    """See that the library is there.

    Raises:
        ConfigError: it is not.
    """
    try:
        _payload_class()
    except ImportError as error:
        raise ConfigError(
            "sparkplug: the package protobuf is not installed; install sightpost[sparkplug], or leave out [sparkplug]"
        ) from error


@cache
def _payload_class() -> Any:  # noqa: ANN401  classes that protobuf makes have no types
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sightpost_sparkplug.proto", package="sightpost", syntax="proto2")
    for name, fields in (("Metric", _METRIC), ("Payload", _PAYLOAD)):
        message = file.message_type.add(name=name)
        for key, (number, kind) in fields.items():
            field = message.field.add(name=key, number=number, label=field_type.LABEL_OPTIONAL)
            if kind.startswith("."):
                field.type, field.type_name, field.label = field_type.TYPE_MESSAGE, kind, field_type.LABEL_REPEATED
            else:
                field.type = field_type.Type.Value(f"TYPE_{kind}")
            if key.endswith("_value"):
                field.oneof_index = 0
        if name == "Metric":
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sightpost.Payload"))
