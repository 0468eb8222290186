"""JSON Schema of the configuration, for editors: they complete keys and show what a table is for."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from edge.config.loading import Config

_TABLES = ("cameras", "models", "watches")


def config_schema() -> dict[str, Any]:
    """Describe the TOML file. What the schema refuses, the program refuses; the program knows a few rules more."""
    (top,), parts = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    for table in _TABLES:
        parts["Config"]["properties"][table]["minProperties"] = 1
    schema: dict[str, Any] = _for_toml({"title": "Sightpost", **top, "$defs": parts})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _for_toml(part: Any) -> Any:  # noqa: ANN401  any part of a JSON document
    """Without what TOML cannot say (null) and other languages do not understand (Python's end of a pattern)."""
    if isinstance(part, list):
        return [_for_toml(each) for each in part]
    if not isinstance(part, dict):
        return part
    if "anyOf" in part:
        choices = [choice for choice in part["anyOf"] if choice != {"type": "null"}]
        rest = {key: value for key, value in part.items() if key != "anyOf"}
        part = {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}
    found = {}
    for key, value in part.items():
        match key, value:
            case "default", None | dict():
                continue  # a table's own schema has its defaults
            case "pattern", str():
                found[key] = value.replace(r"\Z", "$")
            case "description", str():
                found[key] = inspect.cleandoc(value).replace("``", "`")
            case _:
                found[key] = _for_toml(value)
    return found
