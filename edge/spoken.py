"""Messages as a person reads them, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from edge.messages import Topics


def line(topics: Topics, topic: str, payload: bytes, *, retained: bool) -> str:
    """Word a message: when, what, and what limits its worth. Whatever it holds, it is one printable line."""
    name = topic.removeprefix(f"{topics.prefix}/{topics.device}/")
    try:
        fields = msgspec.json.decode(payload)
        when, what = _worded(name, fields) if isinstance(fields, dict) else ("", f"{name} {fields}")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        fields, when, what = {}, "", f"{name} {len(payload)} bytes"
    notes = _notes(fields if isinstance(fields, dict) else {}, retained=retained)
    words = f"{str(when)[:19].replace('T', ' '):<19}  {what}{notes}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


def _worded(name: str, fields: dict[str, Any]) -> tuple[str, str]:
    match name.split("/"):
        case ["status"]:
            return fields["at"], _device(fields)
        case ["gap"]:
            return fields["until"], _gap(fields)
        case ["camera", camera, "status"]:
            reason = f": {fields['reason']}" if fields["reason"] else ""
            return fields["since"], f"camera {camera} is {fields['status']}{reason}"
        case [watch, "status"]:
            return fields["at"], f"watch {watch} {_watch(fields)}"
        case [watch, "answer" | "state" | "event" | "embedding"]:
            seen = _vector(fields["embedding"]) if "embedding" in fields else f"{_change(fields)} {_answer(fields)}"
            return fields["captured_at"], f"{watch} {seen}"
        case _:
            return str(
                fields.get("captured_at", "")
            ), f"{name} {msgspec.json.encode(fields)[:200].decode(errors='replace')}"


def _change(fields: dict[str, Any]) -> str:
    if "previous" not in fields:
        return "looks like" if "state" in fields else "is"
    before = fields["previous"]
    return "begins with" if before is None else f"was {before}, becomes"


def _answer(fields: dict[str, Any]) -> str:
    score = "" if fields["score"] is None else f" ({fields['score']:.0%})"
    reason = f": {fields['reason']}" if fields.get("reason") else ""
    return f"{fields['label']}{score}{reason}"


def _vector(packed: dict[str, Any]) -> str:
    shape = "×".join(str(size) for size in packed["shape"])
    return f"gives {shape} numbers as {packed['encoding']}"


def _watch(fields: dict[str, Any]) -> str:
    words = f"rests: {fields['resting']}" if fields["resting"] else "looks"
    words += f"; {fields['looks']} looks since the start"
    return words + (f", {fields['missed']} missed" if fields["missed"] else "")


def _device(fields: dict[str, Any]) -> str:
    if fields["status"] != "online":
        return f"{fields['device']} is {fields['status']}: {fields['reason']}"
    box = fields["outbox"]
    lost = sum(box["dropped"].values())
    words = f"{fields['device']} is online: {box['pending']} waiting, {box['delivered']} delivered"
    words += f", {lost} lost" if lost else ""
    words += f", {box['refused']} refused" if box["refused"] else ""
    return words + (f"; {box['failure']}" if box["failure"] else "")


def _gap(fields: dict[str, Any]) -> str:
    count = "an unknown number of" if fields["count"] is None else fields["count"]
    of = f" of {', '.join(fields['watches'])}" if fields["watches"] else ""
    since = "" if fields["since"] is None else f" since {fields['since'][:19].replace('T', ' ')}"
    return f"{count} messages{of} are lost{since}: {fields['cause']}"


def _notes(fields: dict[str, Any], *, retained: bool) -> str:
    clock = fields.get("clock")
    clock = clock if isinstance(clock, dict) else {}
    doubtful = clock.get("quality") == "unsynchronized" and not clock.get("corrected")
    notes = {"as of earlier": retained, "replayed": fields.get("replayed"), "clock not set": doubtful}
    true = [note for note, holds in notes.items() if holds]
    return f"  [{', '.join(true)}]" if true else ""
