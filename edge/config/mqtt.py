"""``[mqtt]``: the broker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.config.values import PositiveSeconds, Section, Text, anchored
from edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class TlsConfig(Section, frozen=True, kw_only=True):
    """``[mqtt.tls]``: encrypt; empty, it trusts the authorities that the system trusts.

    ``ca_file`` is the certificate of the broker's authority; ``cert_file`` and ``key_file`` are who we are, where the
    broker wants to know. PEM files; ``credential:NAME`` takes them from systemd.
    """

    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None

    def anchored(self, base: Path) -> TlsConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(
            self,
            ca_file=anchored(self.ca_file, base),
            cert_file=anchored(self.cert_file, base),
            key_file=anchored(self.key_file, base),
        )


class MqttConfig(Section, frozen=True, kw_only=True):
    """``[mqtt]``: the broker. ``version`` is ``auto`` (5, falling back to 3.1.1), ``5`` or ``3.1.1``.

    ``client_id`` is ``sightpost-`` and the device's id unless given. ``password_file`` may be ``credential:NAME``.
    ``replay_rate_hz`` limits how many events of a backlog are sent each second; 0 sends them as fast as it goes.
    """

    host: Text = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    version: Literal["auto", "5", "3.1.1"] = "auto"
    topic_prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")] = "sightpost"
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    username: Text | None = None
    password_file: Text | None = None
    tls: TlsConfig | None = None
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*\Z")] = "/mqtt"
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30
    connect_timeout_s: PositiveSeconds = 5.0
    reconnect_max_s: PositiveSeconds = 10.0
    max_inflight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    replay_rate_hz: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 500.0

    def check(self, where: str) -> None:
        """Find what the types cannot.

        Raises:
            ConfigError: the host is no host name.
        """
        try:
            self.host.encode("idna")  # as it is done before a name is looked up
            is_name = not re.search(r"[\s/]", self.host)
        except UnicodeError:
            is_name = False
        if not is_name:
            raise ConfigError(
                f"{where}: mqtt.host: {self.host[:80]!r} is no host name; give a name or address alone, "
                "e.g. broker.local (the port goes into mqtt.port)"
            )

    def anchored(self, base: Path) -> MqttConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(
            self,
            password_file=anchored(self.password_file, base),
            tls=self.tls and self.tls.anchored(base),
        )
