"""Strict reading of what a person wrote: a wrong key or type is refused by its path, with the nearest right key."""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_S = TypeVar("_S", bound="msgspec.Struct")


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """Parse a TOML file; ``what`` names its purpose in messages.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {what}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the {what} is not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def convert(raw: object, section: type[_S], *, path: str, where: str) -> _S:
    """Turn one parsed table into its struct.

    Args:
        raw: what the TOML parser gave.
        section: the struct; it and its nested ones forbid unknown fields.
        path: the table's dotted path, empty for the whole file.
        where: the file's name, for messages.

    Raises:
        ConfigError: a key is unknown, missing, of a wrong type or value.
    """
    try:
        return msgspec.convert(raw, section, strict=True)
    except msgspec.ValidationError as error:
        what, _, inner = str(error).partition(" - at ")
    inner = inner.strip("`").removeprefix("$")
    at = (path + inner).lstrip(".")
    unknown = re.search(r"unknown field `(.+)`", what)
    if unknown:
        hint = nearest(unknown[1], _field_names(section, inner))
        raise ConfigError(f"{where}: {_join(at, unknown[1])}: unknown key; {hint}")
    missing = re.search(r"missing required field `(.+)`", what)
    if missing:
        raise ConfigError(f"{where}: {_join(at, missing[1])}: this key is required")
    raise ConfigError(f"{where}: {at or 'the file'}: {what[:1].lower()}{what[1:]}")


def nearest(given: str, known: Iterable[str]) -> str:
    """``did you mean …?``, or what there is to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(names)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _field_names(section: type[msgspec.Struct], inner: str) -> list[str]:
    """The keys of the struct that lies at ``.name.name`` below a section."""
    for name in re.findall(r"\.(\w+)", inner):
        hint = typing.get_type_hints(section)[name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        section = next(member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct))
    return [field.name for field in msgspec.structs.fields(section)]
