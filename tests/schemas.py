"""Just enough of JSON Schema (2020-12) to hold messages against ours; a keyword that it does not know is an error."""

from __future__ import annotations

import re
from typing import Any

_KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "anyOf", "enum", "items"}
_KNOWN |= {"required", "properties", "additionalProperties", "propertyNames", "minProperties", "default"}
_KNOWN |= {"minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern"}
_KNOWN |= {"minItems", "maxItems", "prefixItems"}
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
    if "anyOf" in schema:
        fits = any(not problems(value, each, root, at) for each in schema["anyOf"])
        return [] if fits else [f"{at}: {value!r} is none of what it may be"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    found = [f"{at}: {value!r:.80} is {rule}" for rule in _broken_limits(value, schema)]
    if isinstance(value, list):
        found += _of_array(value, schema, root, at)
    elif isinstance(value, dict):
        found += _of_object(value, schema, root, at)
    return found


def _broken_limits(value: Any, schema: dict[str, Any]) -> list[str]:
    size = len(value) if isinstance(value, str | list | dict) else value
    low, high = (
        {str: ("minLength", "maxLength"), list: ("minItems", "maxItems"), dict: ("minProperties", "maxProperties")}
    ).get(type(value), ("minimum", "maximum"))
    broken = []
    if low in schema and not size >= schema[low]:
        broken.append(f"less than {schema[low]}")
    if high in schema and not size <= schema[high]:
        broken.append(f"more than {schema[high]}")
    if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
        broken.append(f"not more than {schema['exclusiveMinimum']}")
    if "pattern" in schema and not re.search(re.sub(r"\$$", r"\\Z", schema["pattern"]), value):
        broken.append(f"not as {schema['pattern']}")
    return broken


def _of_array(value: list[Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    first = schema.get("prefixItems", [])
    rest = schema.get("items") or {}
    return [
        text
        for index, item in enumerate(value)
        for text in problems(item, first[index] if index < len(first) else rest, root, f"{at}[{index}]")
    ]


def _of_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    found = [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name, member in value.items():
        wanted = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        found += problems(name, schema.get("propertyNames", {}), root, f"{at}: the name")
        if wanted is None or wanted is False:
            found.append(f"{at}: {name} is not documented")
        else:
            found += problems(member, wanted, root, f"{at}.{name}")
    return found
