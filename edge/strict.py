"""Strict reading of what a person wrote: a wrong key or type is refused by its path, with the nearest right key."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_S = TypeVar("_S", bound="msgspec.Struct")


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8; a file's name or an argument of other bytes cannot."""
    return re.search("[\ud800-\udfff]", text) is None


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """Parse a TOML file; ``what`` names its purpose in messages.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {what}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the {what} is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or numbers and nesting beyond all reason
        raise ConfigError(f"{path}: not valid TOML: {' '.join(str(error).split())}") from error


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
    _refuse_unknown_keys(raw, section, path, where)
    try:
        return msgspec.convert(raw, section, strict=True)
    except msgspec.ValidationError as error:
        # Keys are known by now, so there is nothing odd in the path that the message ends with; a value may be odd.
        text = str(error)
    found = re.search(r" - at `\$([^`]*)`\Z", text)
    what, inner = (text[: found.start()], found[1]) if found else (text, "")
    at = (path + inner).lstrip(".")
    missing = re.search(r"missing required field `(.+)`", what)
    if missing:
        raise ConfigError(f"{where}: {_join(at, missing[1])}: this key is required")
    what = what.replace("`object", "`table")  # TOML's word for it
    raise ConfigError(f"{where}: {at or 'the file'}: {what[:1].lower()}{what[1:]}")


def _refuse_unknown_keys(raw: object, section: type[msgspec.Struct], path: str, where: str) -> None:
    if not isinstance(raw, dict):
        return
    for key in raw:
        if key not in section.__struct_fields__:
            hint = nearest(key, section.__struct_fields__)
            raise ConfigError(f"{where}: {_join(path, shown(key))}: unknown key; {hint}")
    nested = {key: value for key, value in raw.items() if isinstance(value, dict)}
    hints = typing.get_type_hints(section) if nested else {}  # it takes as long as all the rest
    for key, value in nested.items():
        for member in (hints[key], *typing.get_args(hints[key])):
            if isinstance(member, type) and issubclass(member, msgspec.Struct):
                _refuse_unknown_keys(value, member, _join(path, key), where)


def shown(key: str) -> str:
    """A key as a message of one line can hold it."""
    return key if key.isprintable() else repr(key)


def nearest(given: str, known: Iterable[str]) -> str:
    """``did you mean …?``, or what there is to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(names)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
