"""Every parameter of a recipe by its name, such as ``train.learning_rate`` or ``head.hidden.units``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import ConfigError
from edge.strict import convert, nearest
from trainer.head_recipe import HeadRecipe, default_blocks
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping


def parameters(recipe: Recipe) -> dict[str, Any]:
    """All parameters and their values, by dotted name; those of the head by the names of its blocks."""
    found: dict[str, Any] = {}
    for key, value in _tree(recipe).items():
        if key == "tune":
            continue
        tables = value.items() if isinstance(value, dict) else [("", value)]
        for inner, leaf in tables:
            if key == "head":
                found |= {f"head.{inner}.{name}": entry for name, entry in leaf.items()}
            else:
                found[f"{key}.{inner}" if inner else key] = leaf
    return found


def with_parameters(recipe: Recipe, values: Mapping[str, Any], *, where: str = "the flags") -> Recipe:
    """A recipe with some parameters set, checked like a recipe file.

    A value may be a table, such as ``{"name": "resnet50"}`` for ``backbone``: its keys change, the others stay. With
    another ``kind``, a head that nobody chose is that of the new kind.

    Raises:
        ConfigError: there is no such parameter, or the value is not one for it.
    """
    kind = values.get("kind", recipe.kind)
    if kind != recipe.kind and recipe.head.blocks == default_blocks(recipe.kind):
        recipe = msgspec.structs.replace(recipe, kind=kind, head=HeadRecipe())
    known = parameters(recipe)
    tree = _tree(recipe)
    for name, value in _flat(values).items():
        if name not in known:
            raise ConfigError(f"{where}: no parameter {name!r}; {nearest(name, known)}")
        *path, last = name.split(".")
        table = tree
        for step in path:
            table = table[step]
        table[last] = value
    blocks = [{"name": name, **block} for name, block in tree["head"].items()]
    return convert({**tree, "head": {"blocks": blocks}}, Recipe, path="", where=where)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Tables among the values as dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _tree(recipe: Recipe) -> dict[str, Any]:
    """The recipe as tables, the blocks of its head by name and without it."""
    tree: dict[str, Any] = msgspec.to_builtins(recipe)
    blocks = tree["head"]["blocks"]
    tree["head"] = {block["name"]: {key: value for key, value in block.items() if key != "name"} for block in blocks}
    return tree
