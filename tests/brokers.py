"""Real MQTT brokers on free ports, a subscriber that remembers, and a gate between a client and its broker."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

T = TypeVar("T")

_AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[3]}}  # all inherit from it
    listeners["wanted"] = {"type": sys.argv[2], "bind": "127.0.0.1:" + sys.argv[1]}
    await Broker({"listeners": listeners, "plugins": anonymous}).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


def eventually(condition: Callable[[], T], timeout_s: float = 15.0, what: str = "") -> T:
    """Poll until the condition is true, and return it; fail when that takes too long."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what or condition}"
        time.sleep(0.01)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """A broker process; it may be killed and started again on the same port."""

    def __init__(self, command: list[str], port: int, *more_ports: int) -> None:
        self.port = port
        self._ports = (port, *more_ports)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._listens, what=f"{self._command[0]} listens")
        return self

    def kill(self) -> None:
        """As a crash or a power cut ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As its operator ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def suspend(self, signal_number: int) -> None:
        assert self._process is not None
        self._process.send_signal(signal_number)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command[0]} ended with {self._process.returncode}"
        return all(_listens(port) for port in self._ports)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def mosquitto(folder: Path, *settings: str, port: int | None = None, queued: bool = True) -> Broker:
    """Make (not start) a mosquitto with these settings; it lets everyone in unless they say otherwise."""
    port = port or free_port()
    lines = [f"listener {port} 127.0.0.1", *(["max_queued_messages 1000000"] if queued else []), *settings]
    if os.getuid() == 0:
        lines.append("user root")  # it could not read the test's files as somebody else
    if not any(line.startswith("allow_anonymous") for line in lines):
        lines.append("allow_anonymous true")
    path = folder / f"mosquitto-{port}.conf"
    path.write_text("\n".join(lines) + "\n")
    listeners = [int(line.split()[1]) for line in settings if line.startswith("listener ")]
    return Broker(["mosquitto", "-c", str(path)], port, *listeners)


def amqtt(transport: str = "tcp", *, plain_port: int | None = None) -> Broker:
    """Make (not start) the pure-Python broker of the demonstration, which speaks MQTT 3.1.1 only."""
    port, plain_port = free_port(), plain_port or free_port()
    command = [sys.executable, "-W", "ignore", "-c", _AMQTT, str(port), transport, str(plain_port)]
    return Broker(command, port, plain_port)


@dataclass(frozen=True)
class Received:
    topic: str
    payload: dict[str, Any]
    retain: bool


@dataclass
class Subscriber:
    """Subscribes to everything and remembers all that came; connects again and again, fast."""

    port: int
    username: str | None = None
    password: str | None = None
    host: str = "127.0.0.1"
    qos: int = 0
    received: list[Received] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._subscribed = threading.Event()
        self._client = self._new_client()
        if self.username is not None:
            self._client.username_pw_set(self.username, self.password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=self.qos)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(self.host, self.port)
        self._client.loop_start()
        self.wait_until_subscribed()
        return self

    def _new_client(self) -> mqtt.Client:
        return mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_until_subscribed(self, timeout_s: float = 15.0) -> None:
        assert self._subscribed.wait(timeout_s), "not subscribed in time"

    def on(self, topic_end: str) -> list[Received]:
        return [message for message in list(self.received) if message.topic.endswith(topic_end)]

    def payloads(self, topic_end: str) -> list[dict[str, Any]]:
        return [message.payload for message in self.on(topic_end)]

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        is_picture = message.topic.endswith("/image")
        payload = msgspec.json.decode(message.payload) if message.payload and not is_picture else {}
        self.received.append(Received(message.topic, payload, message.retain))


class Gate:
    """A TCP relay in front of a port: ``open`` lets connections through, ``shut`` cuts them, ``freeze`` hushes them."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._listener: socket.socket | None = None
        self._peers: dict[socket.socket, socket.socket] = {}
        self._frozen = False
        self._closing = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._relay, name="gate", daemon=True)
        self._thread.start()

    def open(self) -> None:
        with self._lock:
            self._frozen = False
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port))

    def shut(self) -> None:
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for peer in self._peers:
                peer.close()
            self._peers.clear()

    def freeze(self) -> None:
        """Stay connected and pass nothing on, as a router without power does."""
        with self._lock:
            self._frozen = True

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._thread.join(10)
        self.shut()

    def _relay(self) -> None:
        while not self._closing:
            with self._lock:
                sockets = [] if self._frozen else [*self._peers, *([self._listener] if self._listener else [])]
                for ready in select.select(sockets, [], [], 0)[0] if sockets else []:
                    self._pass_on(ready)
            time.sleep(0.0005)

    def _pass_on(self, ready: socket.socket) -> None:
        if ready is self._listener:
            near, _ = ready.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            except OSError:
                near.close()
                return
            self._peers |= {near: far, far: near}
            return
        if ready not in self._peers:
            return
        try:
            data = ready.recv(65536)
            if data:
                self._peers[ready].sendall(data)
                return
        except OSError:
            pass
        for one in (self._peers.pop(ready), ready):
            self._peers.pop(one, None)
            one.close()
