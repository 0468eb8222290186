"""What can be wrong between us and the broker, in words that say what to do about it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BrokerError

if TYPE_CHECKING:
    from edge.config import MqttConfig


def where(config: MqttConfig) -> str:
    """Name the broker."""
    return f"the broker at {config.host}:{config.port}"


def read_password(config: MqttConfig) -> str | None:
    """Read the password, anew for each connection, so that a corrected file needs no restart.

    Raises:
        BrokerError: there is a file to read and it cannot be read.
    """
    if config.password_file is None:
        return None
    try:
        return Path(config.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BrokerError(
            f"{config.password_file}: cannot read the broker's password ({reason}): see mqtt.password_file"
        ) from error


def unreachable(config: MqttConfig, error: OSError) -> str:
    """No TCP connection."""
    match error:
        case socket.gaierror():
            return f"{where(config)}: its name is not known ({error.strerror}): check mqtt.host and the name service"
        case ConnectionRefusedError():
            return f"{where(config)}: nothing listens there: start it, or check mqtt.host and mqtt.port"
        case TimeoutError():
            return f"{where(config)}: no answer within {config.connect_timeout_s:g} s: check mqtt.host and the network"
        case _:
            return f"{where(config)}: {error.strerror or error}: check mqtt.host and the network"


def silent(config: MqttConfig, patience_s: float) -> str:
    """A TCP connection, but no answer."""
    return f"{where(config)} did not answer within {patience_s:g} s: is it a broker, and is it well?"


def hung_up(config: MqttConfig) -> str:
    """A TCP connection that ended before any answer."""
    return f"{where(config)} hung up before it answered: its log says why"


def refused(config: MqttConfig, version: str, code: int, reason: str) -> str:
    """The broker did not let us in."""
    who = f"user {config.username!r}" if config.username is not None else "a client without a name"
    match code:
        case 134 | 135:
            return f"{where(config)} refuses {who} ({reason}): check mqtt.username and mqtt.password_file"
        case 132:
            return f"{where(config)} does not speak MQTT {version}: set mqtt.version"
        case 133:
            return f"{where(config)} refuses the client id ({reason}): check device.id"
        case _:
            return f"{where(config)} refuses the connection ({reason}): its log says more"


def lost(config: MqttConfig, end: tuple[int, str] | None) -> str:
    """An open connection ended; with the broker's code and words, if it had any."""
    match end:
        case None:
            return f"{where(config)} is gone: the connection was lost"
        case (142, _):
            return f"{where(config)} serves another client with our id: give every device a device.id of its own"
        case (_, reason):
            return f"{where(config)} ended the connection: {reason}"


def short_lived(config: MqttConfig) -> str:
    """Open connections end again and again; a broker need not say that it does so for another client with our id."""
    return f"{where(config)} ends every connection after seconds: does another device have the same device.id?"


def deaf(config: MqttConfig, quiet_s: float) -> str:
    """An open connection on which nothing is acknowledged."""
    return f"{where(config)} has acknowledged nothing for {quiet_s:.0f} s: connecting anew"
