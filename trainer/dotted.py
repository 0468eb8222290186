"""Any parameter of a recipe by its dotted name, such as ``train.learning_rate`` or ``head.hidden.units``.

Works on any msgspec struct: a name leads through fields, and to the tables of a list by their ``name``; the field that
holds the list may be left out (``head.hidden.units`` for ``head.blocks.hidden.units``).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from edge.errors import ConfigError
from edge.strict import convert, nearest

_S = TypeVar("_S", bound=msgspec.Struct)


def value_of(recipe: msgspec.Struct, name: str) -> Any:  # noqa: ANN401  a parameter may be of any type
    """What a parameter is set to.

    Raises:
        ConfigError: there is no such parameter.
    """
    node: Any = recipe
    for depth, part in enumerate(parts := name.split(".")):
        node = _children(node, parts, depth)[part]
    return node


def with_values(recipe: _S, values: dict[str, Any], *, where: str = "recipe") -> _S:
    """The recipe with some parameters changed, checked as strictly as one read from a file.

    A table laid over a table changes the keys it holds and leaves the others. ``where`` is for messages.

    Raises:
        ConfigError: there is no such parameter, or it cannot have that value.
    """
    changed: Any = recipe
    for name, value in values.items():
        changed = _replaced(changed, name.split("."), 0, value)
    return convert(msgspec.to_builtins(changed), type(recipe), path="", where=where)


def _replaced(node: Any, parts: list[str], depth: int, value: Any) -> Any:  # noqa: ANN401  any node of the tree
    if depth == len(parts):
        if isinstance(node, msgspec.Struct) and isinstance(value, dict):
            for key, inner in value.items():
                node = _replaced(node, [*parts, key], depth, inner)
        else:
            node = value
        return node
    part = parts[depth]
    if isinstance(node, msgspec.Struct) and part not in node.__struct_fields__:
        _children(node, parts, depth)  # refuses what is in no list either
        part = next(field for field, items in _lists(node) if part in dict(_named(items)))
        parts = [*parts[:depth], part, *parts[depth:]]
    child = _replaced(_children(node, parts, depth)[part], parts, depth + 1, value)
    if isinstance(node, msgspec.Struct):
        return msgspec.structs.replace(node, **{part: child})
    return tuple(child if key == part else item for key, item in _named(node))


def _children(node: Any, parts: list[str], depth: int) -> dict[str, Any]:  # noqa: ANN401  as above
    """The nodes below one, by the next part of the name; the part that is asked for is among them."""
    if isinstance(node, msgspec.Struct):
        found = {name: item for _, items in _lists(node) for name, item in _named(items)}
        found |= {field: getattr(node, field) for field in node.__struct_fields__}
    elif isinstance(node, tuple | list):
        found = dict(_named(node))
    else:
        found = {}
    if parts[depth] in found:
        return found
    name, above = ".".join(parts), ".".join(parts[:depth]) or "the recipe"
    hint = nearest(parts[depth], found) if found else "it is a single value"
    raise ConfigError(f"{name}: no such parameter; {above} has no {parts[depth]!r}; {hint}")


def _lists(node: msgspec.Struct) -> list[tuple[str, Any]]:
    fields = [(field, getattr(node, field)) for field in node.__struct_fields__]
    return [(field, value) for field, value in fields if isinstance(value, tuple | list)]


def _named(items: tuple[Any, ...] | list[Any]) -> list[tuple[str, Any]]:
    """Tables of a list by their name, others by their position."""
    return [(str(getattr(item, "name", None) or index), item) for index, item in enumerate(items)]
