"""Writing a recipe as the TOML file that ``fit`` takes."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from edge.strict import convert
from trainer.recipe import Recipe
from trainer.writing import write_durably

if TYPE_CHECKING:
    from pathlib import Path


def write_recipe(path: Path, recipe: Recipe, *, comment: str) -> None:
    """Write every parameter, so that the file keeps its meaning when defaults change; an old file is replaced at once.

    Args:
        path: the file.
        recipe: its ``[tune]`` table is left out, for it has had its say.
        comment: lines for whoever opens the file.

    Raises:
        ConfigError: the folder is missing or cannot be written.
    """
    write_durably(path, recipe_toml(recipe, comment=comment))


def recipe_toml(recipe: Recipe, *, comment: str = "") -> str:
    """A recipe as TOML text, which gives the same recipe again.

    Raises:
        ValueError: it holds a value that TOML has no words for, such as None where that is not the default.
    """
    import tomli_w

    plain = msgspec.structs.replace(recipe, tune={})
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    text = lines + tomli_w.dumps(_without_nothing(msgspec.to_builtins(plain)))
    if convert(tomllib.loads(text), Recipe, path="", where="recipe") != plain:
        raise ValueError(f"this recipe cannot be written as TOML: {plain}")
    return text


def _without_nothing(node: Any) -> Any:  # noqa: ANN401  any node of the tree
    """TOML has no null: a key that is None or an empty table is left out."""
    if isinstance(node, dict):
        return {key: _without_nothing(value) for key, value in node.items() if value is not None and value != {}}
    if isinstance(node, list | tuple):
        return [_without_nothing(value) for value in node]
    return node
