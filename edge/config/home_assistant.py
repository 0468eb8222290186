"""The table ``[home_assistant]``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge.config.values import TOPIC_PATTERN, Section


class HomeAssistantConfig(Section, frozen=True, kw_only=True):
    """``[home_assistant]``: where this table stands, Home Assistant finds the device by itself, by MQTT discovery.

    ``prefix`` is the topic that Home Assistant looks for it on.
    """

    prefix: Annotated[str, msgspec.Meta(pattern=TOPIC_PATTERN)] = "homeassistant"
