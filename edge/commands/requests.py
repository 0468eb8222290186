"""What may be asked, and in which words: strictly, since a command that is half understood is worse than none."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated

import msgspec

from edge.config.values import Name, Seconds
from edge.errors import ConfigError, SightpostError
from edge.strict import convert, nearest
from edge.value import Value

MAX_BYTES = 4096
"""No command needs more."""

Result = dict[str, str | float | bool | int | None]
"""What comes of a command, for who asked."""


class CommandError(SightpostError):
    """A command is refused, or could not be done."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every command may carry: an ``id`` of the sender's, which the answer repeats."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class Interval(Body, frozen=True, kw_only=True):
    """How often a watch shall look, until the next start; 0 looks at every frame."""

    interval_s: Seconds


class Teach(Body, frozen=True, kw_only=True):
    """The next ``shots`` frames show ``label``."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    shots: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


BODIES: dict[str, type[Body]] = {
    "look": Body,
    "snapshot": Body,
    "pause": Body,
    "resume": Body,
    "interval": Interval,
    "teach": Teach,
    "reload": Body,
}
"""By command, what is to be said with it."""
WITHOUT_WATCH = frozenset({"reload"})
THAT_LOOK = frozenset({"look", "snapshot", "teach"})
"""Those that wait for a frame."""


class Request(Value, frozen=True):
    """A command that is well formed; ``watch`` is empty where it concerns the whole device."""

    name: str
    watch: str
    body: Body


Handler = Callable[[Request], Future[Result]]
"""Starts what is asked for. May raise ``SightpostError``, at once or in the future."""


def parse(tail: str, payload: bytes) -> Request:
    """Read a command from the end of its topic, such as ``pause/gate``, and its payload: JSON, or nothing.

    Raises:
        CommandError: it is none of ours, or malformed.
    """
    name, _, watch = tail.partition("/")
    if name not in BODIES:
        raise CommandError(f"{name[:80]!r} is no command; {nearest(name[:80], BODIES)}")
    if (name in WITHOUT_WATCH) != (watch == ""):
        wish = "concerns the whole device" if name in WITHOUT_WATCH else "needs a watch"
        raise CommandError(f"{name} {wish}: say it on cmd/{name}{'' if name in WITHOUT_WATCH else '/WATCH'}")
    if len(payload) > MAX_BYTES:
        raise CommandError(f"{name}: {len(payload)} bytes are more than the {MAX_BYTES} that a command may have")
    try:
        raw = msgspec.json.decode(payload or b"{}")
        if not isinstance(raw, dict):
            raise CommandError(f"{name}: the payload must be a JSON object, or empty")
        return Request(name, watch and msgspec.convert(watch, Name), convert(raw, BODIES[name], path="", where=name))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{name}: not understood: {error}") from error
    except ConfigError as error:
        raise CommandError(str(error)) from error
