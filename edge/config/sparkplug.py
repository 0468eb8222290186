"""The table ``[sparkplug]``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge.config.values import Section

SparkplugId = Annotated[str, msgspec.Meta(pattern=r"^[^+/#\x00-\x1f\x7f]{1,128}\Z")]
"""A level of a Sparkplug topic: anything but what MQTT reserves."""


class SparkplugConfig(Section, frozen=True, kw_only=True):
    """``[sparkplug]``: where this table stands, the device is an edge node of Sparkplug B.

    ``node_id`` is the device's id unless given. With ``primary_host_id`` it speaks only while that host application is
    online; what happens meanwhile is kept and told later, as historical.
    """

    group_id: SparkplugId
    node_id: SparkplugId | None = None
    primary_host_id: SparkplugId | None = None
