"""Writing a recipe as the TOML file that ``fit`` takes."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from edge.strict import convert
from trainer.durable import write_text
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    write_text(path, recipe_toml(recipe, comment=comment))


def recipe_toml(recipe: Recipe, *, comment: str = "") -> str:
    """A recipe as TOML text, which gives the same recipe again.

    Raises:
        ValueError: it holds a value that TOML has no words for, such as None where that is not the default.
    """
    plain = msgspec.structs.replace(recipe, tune={})
    table = {key: value for key, value in msgspec.to_builtins(plain).items() if key != "tune"}
    text = "".join(f"# {line}\n" for line in comment.splitlines()) + toml_text(table)
    if convert(tomllib.loads(text), Recipe, path="", where="recipe") != plain:
        raise ValueError(f"this recipe cannot be written as TOML: {plain}")
    return text


def toml_text(table: Mapping[str, Any]) -> str:
    """A table as TOML, which has no null: such keys are left out."""
    import tomli_w

    def without_null(node: Any) -> Any:  # noqa: ANN401  any node of the tree
        if isinstance(node, dict):
            return {key: without_null(value) for key, value in node.items() if value is not None}
        return [without_null(each) for each in node] if isinstance(node, list | tuple) else node

    return tomli_w.dumps(without_null(dict(table)))
