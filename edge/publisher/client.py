"""paho's client, but for what it makes of servers that do not do as they should while it connects."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.client import WebsocketConnectionError

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike


class Client(mqtt.Client):
    """Closes what it opened if TLS or WebSocket over it fail, or take longer than a connection may."""

    _opened: socket.socket | None = None
    _patience: threading.Timer | None = None

    def _create_socket(self) -> SocketLike:
        try:
            return super()._create_socket()
        except BaseException as error:
            if self._opened is not None:
                self._opened.close()
            if isinstance(error, UnicodeError | LookupError):  # of a header that is none
                raise WebsocketConnectionError("what it answers is no handshake") from error
            raise
        finally:
            if self._patience is not None:
                self._patience.cancel()

    def _create_socket_connection(self) -> socket.socket:
        self._opened = super()._create_socket_connection()
        self._patience = threading.Timer(2 * self.connect_timeout, self._give_up)  # paho waits for each byte anew
        self._patience.daemon = True
        self._patience.start()
        return self._opened

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context or ssl.create_default_context()
        tcp_sock.settimeout(self.connect_timeout)
        encrypted = context.wrap_socket(tcp_sock, server_hostname=self.host)
        self._opened = encrypted
        return encrypted

    def _give_up(self) -> None:
        if self._opened is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._opened, socket.SHUT_RDWR)  # under TLS, too
