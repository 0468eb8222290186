"""What we prove ourselves with, and whom we believe: password, certificates, keys. Read anew for each connection."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.config import MqttConfig, TlsConfig

PREFIX = "credential:"
"""``credential:NAME`` stands for a file that systemd hands to the service, by LoadCredential= or its like."""


def locate(name: str, key: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Find the file that the configuration names at ``key``.

    Raises:
        BrokerError: it is a credential, and systemd has not handed one over.
    """
    if not name.startswith(PREFIX):
        return Path(name)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise BrokerError(
            f"{key}: {name}: only systemd hands out credentials: name a file, or run as a service with LoadCredential="
        )
    return Path(folder) / name.removeprefix(PREFIX)


def read_password(config: MqttConfig) -> str | None:
    """Read the password, if there is one.

    Raises:
        BrokerError: there is a file to read and it cannot be read.
    """
    if config.password_file is None:
        return None
    path = locate(config.password_file, "mqtt.password_file")
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BrokerError(f"{path}: cannot read the broker's password ({reason}): see mqtt.password_file") from error


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """Make what a connection is encrypted with: TLS 1.2 or newer, the broker's certificate and name are checked.

    Raises:
        BrokerError: a file cannot be read, or holds something else than it should.
    """
    try:
        ca_file = None if tls.ca_file is None else _readable(locate(tls.ca_file, "mqtt.tls.ca_file"))
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except ssl.SSLError as error:
        raise BrokerError(f"{tls.ca_file}: holds no certificate in PEM form: see mqtt.tls.ca_file") from error
    if tls.cert_file is None:
        return context
    cert_file = _readable(locate(tls.cert_file, "mqtt.tls.cert_file"))
    key_file = cert_file if tls.key_file is None else _readable(locate(tls.key_file, "mqtt.tls.key_file"))
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


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise BrokerError(f"{path}: cannot read it ({error.strerror}): see mqtt.tls") from error
    return path
