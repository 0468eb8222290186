"""``[device]`` and ``[outbox]``: who the appliance is, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.config.values import Name, Seconds, Section, Text

if TYPE_CHECKING:
    from pathlib import Path


class DeviceConfig(Section, frozen=True, kw_only=True):
    """``[device]``: who this appliance is and where it keeps its state."""

    id: Name
    state_dir: Text = "/var/lib/sightpost"

    def anchored(self, base: Path) -> DeviceConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(self, state_dir=str(base / self.state_dir))


class OutboxConfig(Section, frozen=True, kw_only=True):
    """``[outbox]``: how much is kept while the broker is away, and how far apart commits are, at the least."""

    max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=10**13)] = 256_000_000
    max_age_s: Seconds = 30 * 86_400.0
    commit_wait_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.02
