"""Just enough of JSON Schema (2020-12) to hold messages against ours; a keyword that it does not know is an error."""

from __future__ import annotations

from typing import Any

_KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "anyOf", "enum", "items"}
_KNOWN |= {"required", "properties", "additionalProperties"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> list[str]:
    """What is wrong with a value; fields that the schema does not know are wrong, too."""
    root = schema if root is None else root
    assert schema.keys() <= _KNOWN, f"teach this validator {schema.keys() - _KNOWN}"
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{at}: {value!r} is no {kind}"]
    if "anyOf" in schema and all(problems(value, each, root, at) for each in schema["anyOf"]):
        return [f"{at}: {value!r} is none of what it may be"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list) and "items" in schema:
        return [
            text for index, item in enumerate(value) for text in problems(item, schema["items"], root, f"{at}[{index}]")
        ]
    return _of_object(value, schema, root, at) if kind == "object" else []


def _of_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    found = [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name, member in value.items():
        wanted = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if wanted is None:
            found.append(f"{at}: {name} is not documented")
        else:
            found += problems(member, wanted, root, f"{at}.{name}")
    return found
