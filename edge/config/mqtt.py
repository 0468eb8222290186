"""``[mqtt]``: the broker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.config.values import TOPIC_PATTERN, PositiveSeconds, Section, Text, anchored
from edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_PORT_MAX = 65535


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
    ``fallback_hosts`` (``name`` or ``name:port``) are other brokers of the same cluster, for when ``host`` is away.
    """

    host: Text = "localhost"
    fallback_hosts: tuple[Text, ...] = ()
    port: Annotated[int, msgspec.Meta(ge=1, le=_PORT_MAX)] = 1883
    version: Literal["auto", "5", "3.1.1"] = "auto"
    topic_prefix: Annotated[str, msgspec.Meta(pattern=TOPIC_PATTERN)] = "sightpost"
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

    def addresses(self) -> list[tuple[str, int]]:
        """Return host and port of every broker, the preferred one first."""
        return [(self.host, self.port), *(_address(text, self.port) for text in self.fallback_hosts)]

    def check(self, where: str) -> None:
        """Find what the types cannot.

        Raises:
            ConfigError: a host is no host name, or a secret is there without whose it is, and would never be shown.
        """
        if self.password_file is not None and self.username is None:
            raise ConfigError(f"{where}: mqtt.username: is missing; password_file is of no use without it")
        if self.tls and self.tls.key_file is not None and self.tls.cert_file is None:
            raise ConfigError(f"{where}: mqtt.tls.cert_file: is missing; key_file is of no use without it")
        keys = ["host", *(f"fallback_hosts[{position}]" for position in range(len(self.fallback_hosts)))]
        for key, (host, port) in zip(keys, self.addresses(), strict=True):
            if not _is_name(host):
                before, at, name = host.rpartition("@")  # before it there may be a password
                raise ConfigError(
                    f"{where}: mqtt.{key}: {('***' * bool(before) + at + name)[:80]!r} is no host name; give a name or "
                    "address alone, e.g. broker.local (the port goes into mqtt.port"
                    f"{', a user into mqtt.username and mqtt.password_file' if at else ''})"
                )
            if not 1 <= port <= _PORT_MAX:
                raise ConfigError(f"{where}: mqtt.{key}: there is no port {port}; give 1 to {_PORT_MAX}")

    def anchored(self, base: Path) -> MqttConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(
            self,
            password_file=anchored(self.password_file, base),
            tls=self.tls and self.tls.anchored(base),
        )


def _address(text: str, port: int) -> tuple[str, int]:
    """Take ``name``, ``name:port`` or ``[address]:port`` apart; an IPv6 address alone has no port."""
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+)):(\d{1,5})", text)
    return (match[1] or match[2], int(match[3])) if match else (text, port)


def _is_name(host: str) -> bool:
    try:
        host.encode("idna")  # as it is done before a name is looked up
    except UnicodeError:
        return False
    return not re.search(r"[\s/@]", host) and host.count(":") != 1  # more of these are in an IPv6 address
