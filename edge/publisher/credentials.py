"""What we prove ourselves with, and whom we believe: password, certificates, keys. Read anew for each connection."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from edge.credentials import locate, read_secret
from edge.errors import BrokerError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import MqttConfig, TlsConfig

_PASSWORD_BYTES = 65_535


def read_password(config: MqttConfig) -> str | None:
    """Read the password, if there is one.

    Raises:
        BrokerError: there is a file to read and it cannot be read, or holds more than MQTT can carry.
    """
    if config.password_file is None:
        return None
    password = read_secret(config.password_file, "mqtt.password_file", error=BrokerError)
    if len(password.encode()) > _PASSWORD_BYTES:
        raise BrokerError(
            f"{config.password_file}: a password has at most {_PASSWORD_BYTES} bytes in MQTT; "
            "is it the right file? See mqtt.password_file"
        )
    return password


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """Make what a connection is encrypted with: TLS 1.2 or newer, the broker's certificate and name are checked.

    Raises:
        BrokerError: a file cannot be read, or holds something else than it should.
    """
    try:
        ca_file = None if tls.ca_file is None else _readable(tls.ca_file, "mqtt.tls.ca_file")
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except ssl.SSLError as error:
        raise BrokerError(f"{tls.ca_file}: holds no certificate in PEM form: see mqtt.tls.ca_file") from error
    if tls.cert_file is None:
        return context
    cert_file = _readable(tls.cert_file, "mqtt.tls.cert_file")
    key_file = cert_file if tls.key_file is None else _readable(tls.key_file, "mqtt.tls.key_file")
    try:
        # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error
        raise BrokerError(
            f"{cert_file}, {key_file}: no certificate with its key, unencrypted, in PEM form ({reason}): "
            "see mqtt.tls.cert_file and mqtt.tls.key_file"
        ) from error
    return context


def _readable(name: str, key: str) -> Path:
    path = locate(name, key, error=BrokerError)
    try:
        path.open("rb").close()
    except OSError as error:
        raise BrokerError(f"{path}: cannot read it ({error.strerror}): see {key}") from error
    return path
