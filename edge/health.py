"""Telling systemd how we are: ready, alive, stopping (the sd_notify protocol: datagrams to ``$NOTIFY_SOCKET``)."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

_TIMEOUT_S = 1.0


class Notifier:
    """Speaks to systemd where it listens, and says nothing elsewhere.

    Args:
        environment: usually ``os.environ``.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._throttle = Throttle()
        own = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_us = int(environment.get("WATCHDOG_USEC", "0")) if own else 0

    @property
    def watchdog_s(self) -> float | None:
        """How often a sign of life is due (half of what systemd allows); ``None`` where nobody watches."""
        return self._watchdog_us / 2e6 if self._watchdog_us else None

    def ready(self) -> None:
        """Everything has started."""
        self._send("READY=1")

    def reloading(self, monotonic_s: float) -> None:
        """The configuration is read anew; ``ready`` says when that is over."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_s * 1e6:.0f}")

    def alive(self) -> None:
        """All threads make progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """A stop was asked for and is under way."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the NUL byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_TIMEOUT_S)
            try:
                channel.sendto(message.encode(), address)
            except OSError as error:  # whatever systemd does then, looking and publishing go on
                what = message.split(maxsplit=1)[0]
                if self._throttle.allows(what):
                    logger.warning("systemd does not hear %s at %s: %s", what, self._address, error.strerror or error)
