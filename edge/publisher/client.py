"""paho's client, but for sockets that it leaves open when it does not get through with them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt

if TYPE_CHECKING:
    import socket

    from paho.mqtt.client import SocketLike


class Client(mqtt.Client):
    """Closes what it opened if TLS or WebSocket over it fail."""

    _opened: socket.socket | None = None

    def _create_socket(self) -> SocketLike:
        try:
            return super()._create_socket()
        except BaseException:
            if self._opened is not None:
                self._opened.close()
            raise

    def _create_socket_connection(self) -> socket.socket:
        self._opened = super()._create_socket_connection()
        return self._opened

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context or ssl.create_default_context()
        tcp_sock.settimeout(self.connect_timeout)
        encrypted = context.wrap_socket(tcp_sock, server_hostname=self.host)
        self._opened = encrypted
        return encrypted
