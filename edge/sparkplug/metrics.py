"""Our messages as metrics: a folder for every watch and camera, and one for the device's own numbers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from edge.sparkplug.payload import DataType, Metric

if TYPE_CHECKING:
    from edge.messages import DeviceStatusMessage

_MEMBERS = {
    "state": (("label", DataType.STRING), ("score", DataType.DOUBLE)),
    "status": (("status", DataType.STRING),),
    "gap": (("count", DataType.INT64), ("cause", DataType.STRING)),
}


def read(payload: bytes) -> dict[str, Any]:
    """Read one of our messages.

    Raises:
        ValueError: it is none.
    """
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"damaged: {error}") from error


def said(name: str, fields: dict[str, Any], *, historical: bool = False) -> list[Metric]:
    """The metrics of a message of a watch (``gate/state``), a camera (``camera/yard/status``), or of a ``gap``.

    Raises:
        ValueError: a field is missing, or of a wrong type.
    """
    try:
        when = fields.get("captured_at") or fields.get("since") or fields["until"]
        when_ms = max(0, round(datetime.fromisoformat(when).timestamp() * 1000))
        return [Metric(key, kind, fields[field], when_ms, historical) for key, field, kind in _keys(name)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a message on {name} lacks {error}") from error


def unknown(name: str, now_ms: int) -> list[Metric]:
    """The same metrics while nothing is known of them."""
    return [Metric(key, kind, None, now_ms) for key, _, kind in _keys(name)]


def numbers(status: DeviceStatusMessage | None, now_ms: int) -> list[Metric]:
    """How the device is."""
    outbox = status.outbox if status is not None else None
    counts = (None, None, None) if outbox is None else (outbox.pending, outbox.refused, sum(outbox.dropped.values()))
    names = ("outbox/pending", "outbox/refused", "outbox/lost")
    quality = None if status is None else status.clock.quality
    return [
        *(Metric(name, DataType.INT64, count, now_ms) for name, count in zip(names, counts, strict=True)),
        Metric("clock/quality", DataType.STRING, quality, now_ms),
    ]


def _keys(name: str) -> list[tuple[str, str, DataType]]:
    folder, _, kind = name.rpartition("/")
    return [(f"{folder or kind}/{field}", field, datatype) for field, datatype in _MEMBERS[kind]]
