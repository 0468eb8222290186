"""JSON Schema of every payload, for who writes subscribers; ``python -m edge.schemas docs/schemas`` makes the files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from edge.messages import (
    AnswerMessage,
    CameraStatusMessage,
    DeviceStatusMessage,
    EmbeddingMessage,
    EventMessage,
    GapMessage,
    ReplyMessage,
    StateMessage,
    WatchStatusMessage,
)

PAYLOADS: dict[str, type[msgspec.Struct]] = {
    "answer": AnswerMessage,
    "camera-status": CameraStatusMessage,
    "embedding": EmbeddingMessage,
    "event": EventMessage,
    "gap": GapMessage,
    "reply": ReplyMessage,
    "state": StateMessage,
    "status": DeviceStatusMessage,
    "watch-status": WatchStatusMessage,
}
"""File name and payload of each topic."""


def schema(payload: type[msgspec.Struct]) -> dict[str, Any]:
    """Describe a payload as it is sent: every field is there; later versions of a format may add some."""
    (top,), parts = msgspec.json.schema_components([payload], ref_template="#/$defs/{name}")
    for part in parts.values():
        if "properties" in part:
            part["required"] = list(part["properties"])
            for field in part["properties"].values():
                field.pop("default", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": parts}


def main(folder: Path) -> int:
    """Write one file for each payload."""
    for name, payload in PAYLOADS.items():
        text = json.dumps(schema(payload), indent=2, ensure_ascii=False)
        (folder / f"{name}.schema.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
