"""What can be wrong between us and the broker, in words that say what to do about it."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paho.mqtt.client import WebsocketConnectionError

if TYPE_CHECKING:
    from edge.config import MqttConfig


def where(config: MqttConfig) -> str:
    """Name the broker."""
    return f"the broker at {config.host}:{config.port}"


def not_allowed(config: MqttConfig, what: str, topic: str, reason: str) -> str:
    """The broker lets us in, and no further."""
    return (
        f"{where(config)} does not let this device {what} {topic} ({reason}): "
        f"see its access rules for {config.username or 'those without a user name'}"
    )


def unreachable(config: MqttConfig, error: OSError, now_s: float) -> str:
    """No TCP connection, or no TLS or WebSocket over it; ``now_s`` is what the wall clock says."""
    match error:
        case ssl.SSLError():
            return _no_tls(config, error, now_s)
        case WebsocketConnectionError():
            return (
                f"{where(config)} does not speak WebSocket there ({error}): check mqtt.transport, "
                "mqtt.websocket_path and mqtt.port"
            )
        case socket.gaierror():
            return f"{where(config)}: its name is not known ({error.strerror}): check mqtt.host and the name service"
        case ConnectionRefusedError():
            return f"{where(config)}: nothing listens there: start it, or check mqtt.host and mqtt.port"
        case TimeoutError():
            return f"{where(config)}: no answer within {config.connect_timeout_s:g} s: check mqtt.host and the network"
        case _:
            wish = (
                "that it speaks TLS there" if isinstance(error, ConnectionResetError) and config.tls else "the network"
            )
            return f"{where(config)}: {error.strerror or error}: check mqtt.host and {wish}"


def _untrusted(config: MqttConfig, error: ssl.SSLCertVerificationError, now_s: float) -> str:
    """Its certificate does not prove that it is the one we look for (codes: X509_V_ERR_… of OpenSSL's x509_vfy.h)."""
    clock = f"this device's clock says {datetime.fromtimestamp(now_s, UTC):%Y-%m-%d %H:%M} UTC"
    match error.verify_code:
        case 9:
            return (
                f"{where(config)}: its certificate is not valid yet; {clock}: if that is wrong, set it (a device "
                "without a battery for its clock needs a time server)"
            )
        case 10:
            return f"{where(config)}: its certificate has expired; {clock}: if that is right, renew the certificate"
        case 62 | 64:
            return f"{where(config)}: its certificate is for another name: put the right one into mqtt.host"
        case _:
            return (
                f"{where(config)}: its certificate is not signed by whom we trust ({error.verify_message}): it may be "
                "another one; check mqtt.host, and that mqtt.tls.ca_file is the certificate of its authority"
            )


def _no_tls(config: MqttConfig, error: ssl.SSLError, now_s: float) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(config, error, now_s)
    if error.reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST"}:
        return f"{where(config)} does not speak TLS there: check mqtt.port (8883 is usual), or leave out [mqtt.tls]"
    return f"{where(config)}: no encrypted connection ({error.reason or error}): check [mqtt.tls], and its log"


def silent(config: MqttConfig, patience_s: float) -> str:
    """A TCP connection, but no answer."""
    question = "is it a broker, and is it well?" if config.tls else "is it a broker, without TLS, and is it well?"
    return f"{where(config)} did not answer within {patience_s:g} s: {question}"


def hung_up(config: MqttConfig) -> str:
    """A TCP connection that ended before any answer."""
    if config.tls is None:
        return f"{where(config)} hung up before it answered: its log says why; does it want TLS there ([mqtt.tls])?"
    wish = "it may not know" if config.tls.cert_file else "it may want"
    return f"{where(config)} hung up before it answered: its log says why; {wish} our certificate (mqtt.tls.cert_file)"


def refused(config: MqttConfig, version: str, code: int, reason: str) -> str:
    """The broker did not let us in."""
    who = f"user {config.username!r}" if config.username is not None else "a client without a name"
    match code:
        case 134 | 135:
            return f"{where(config)} refuses {who} ({reason}): check mqtt.username and mqtt.password_file"
        case 132:
            return f"{where(config)} does not speak MQTT {version}: set mqtt.version"
        case 133:
            return f"{where(config)} refuses the client id ({reason}): check mqtt.client_id or device.id"
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
