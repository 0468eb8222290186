"""The table ``[commands]``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.config.values import PositiveSeconds, Section

CommandName = Literal["look", "snapshot", "pause", "resume", "interval", "teach", "reload"]


class CommandsConfig(Section, frozen=True, kw_only=True):
    """``[commands]``: what this device may be told to do over MQTT; nothing, unless it stands in ``allow``.

    Of more than ``per_minute`` commands the rest is refused. One that is not done within ``timeout_s`` is given up.
    """

    allow: tuple[CommandName, ...] = ()
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=6000)] = 60
    timeout_s: PositiveSeconds = 10.0
