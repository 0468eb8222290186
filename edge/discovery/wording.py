"""Labels, which may be anything, in Home Assistant's states, names and templates."""

from __future__ import annotations

from edge.errors import one_line

STATE_MAX = 255
"""Home Assistant refuses longer states."""
NAME_MAX = 60

_NO_STATE = ("", "None")
"""What Home Assistant takes for "no message" and "no value"; as labels they are shown in quotation marks."""

STATE_TEMPLATE = (
    f"{{% set label = value_json.label[:{STATE_MAX}] | trim %}}"
    "{{ '\"' ~ label ~ '\"' if label in ['', 'None'] else label }}"
)
"""Makes a state of a message; ``state`` does the same to a label."""


def state(label: str) -> str:
    """A label as Home Assistant can hold it: cut off, without space around it, never what means nothing there."""
    text = label[:STATE_MAX].strip()
    return f'"{text}"' if text in _NO_STATE else text


def name(label: str) -> str:
    """A label as part of an entity's name: one short line."""
    text = " ".join(one_line(label[:STATE_MAX]).split())
    return text if len(text) <= NAME_MAX else text[: NAME_MAX - 1] + "…"


def literal(text: str) -> str:
    """Text as a string in a template, where nothing in it can end the string or begin an expression."""
    return "'" + "".join(map(_escaped, text)) + "'"


def _escaped(letter: str) -> str:
    if letter.isascii() and (letter.isalnum() or letter in " _-+"):
        return letter
    return f"\\U{ord(letter):08x}"
