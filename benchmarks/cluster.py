"""A node of a broker cluster dies in mid-stream: three RabbitMQ nodes, real publishers, one lasting subscriber.

The nodes run on this computer, each with its own ports and folders, as deploy/broker/cluster configures them. While
publishers speak, one node after the other is killed (-9) and started again. Then it is counted what came, in which
order, and for how long nothing came. Needs Debian's rabbitmq-server, which need not run. Usage:

    python benchmarks/cluster.py [--publishers 10] [--kills 2]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from publishing import change, free_port

from edge.config import MqttConfig, OutboxConfig
from edge.messages import Topics
from edge.outbox import Outbox
from edge.publisher import Publisher

if TYPE_CHECKING:
    from typing import Self

_HOME = Path("/usr/lib/rabbitmq/lib")
_DEPLOY = Path(__file__).parent.parent / "deploy" / "broker" / "cluster"
_START_S, _SETTLE_S = 180.0, 120.0
_RATE_HZ = 10.0


class Node:
    """One broker of the cluster."""

    def __init__(self, folder: Path, number: int, epmd_port: int) -> None:
        self.name = f"sightpost{number}@localhost"
        self.port = free_port()
        self._folder = folder / str(number)
        self._folder.mkdir()
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(free_port()),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(_DEPLOY / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, nodes: list[Node]) -> None:
        """Write what deploy/broker/cluster says, for these nodes, ports and a network that nobody else is in."""
        text = (_DEPLOY / "rabbitmq.conf").read_text()
        for number, node in enumerate(nodes, 1):
            text = text.replace(f"rabbit@broker{number}\n", f"{node.name}\n")
        text = text.replace("tcp.default = 1883", f"tcp.default = 127.0.0.1:{self.port}")
        text = text.replace("allow_anonymous = false", "allow_anonymous = true")
        text += "listeners.tcp.default = 127.0.0.1:" + self._environment["RABBITMQ_NODE_PORT"] + "\n"
        (self._folder / "rabbitmq.conf").write_text(text)

    def start(self) -> None:
        """Start it; ``wait`` waits until it is ready."""
        command = next(_HOME.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [command], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it lets MQTT clients in."""
        deadline_s = time.monotonic() + _START_S
        while not _lets_in(self.port):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.name} does not start: " + (self._folder / "output").read_text()[-2000:])
            time.sleep(0.5)

    def kill(self) -> None:
        """End it as a crash does, with all that belongs to it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Cluster:
    """Three nodes."""

    def __init__(self, folder: Path) -> None:
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text("sightpost-benchmark")
        cookie.chmod(0o400)
        self._epmd_port = free_port()
        self.nodes = [Node(folder, number, self._epmd_port) for number in (1, 2, 3)]
        for node in self.nodes:
            node.configure(self.nodes)
        self._epmd: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)])
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait()


class Counter:
    """A subscriber with a lasting session that goes to the next node when its own dies."""

    def __init__(self, ports: list[int]) -> None:
        self.came: dict[str, list[int]] = defaultdict(list)
        self.again: set[tuple[str, int]] = set()
        self.longest_pause_s = 0.0
        self._last_s = time.monotonic()
        self._ports = ports
        self._subscribed = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._subscribed.wait(60):
            raise TimeoutError("the subscriber does not get through")
        self._last_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for port in self._ports:
                client = mqtt.Client(CallbackAPIVersion.VERSION2, "counter", clean_session=False)
                client.on_message = self._on_message
                client.on_connect = lambda client, *_: client.subscribe("bench/+/gate/event", qos=1)
                client.on_subscribe = lambda *_: self._subscribed.set()
                try:
                    client.connect("127.0.0.1", port, keepalive=10)
                except OSError:
                    time.sleep(0.2)
                    continue
                while client.loop(0.2) == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._ended.is_set():
                    pass

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now_s = time.monotonic()
        self.longest_pause_s, self._last_s = max(self.longest_pause_s, now_s - self._last_s), now_s
        payload = msgspec.json.decode(message.payload)
        self.came[payload["device"]].append(payload["sequence"])
        if message.dup:
            self.again.add((payload["device"], payload["sequence"]))


def main() -> int:
    """Kill node after node while publishers speak, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishers", type=int, default=10)
    parser.add_argument("--kills", type=int, default=2)
    arguments = parser.parse_args()
    if not next(iter(_HOME.glob("rabbitmq_server-*")), None):
        print("skipped: rabbitmq-server is not installed")
        return 0
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".cluster-") as name, Cluster(Path(name)) as cluster:
        print("three nodes are up", flush=True)
        ports = [node.port for node in cluster.nodes]
        with Counter(ports) as counter:
            said = _publish(cluster, Path(name), arguments.publishers, arguments.kills)
            deadline_s = time.monotonic() + _SETTLE_S
            while sum(len(set(each)) for each in counter.came.values()) < sum(said.values()):
                if time.monotonic() > deadline_s:
                    break
                time.sleep(0.2)
    lost = sum(len(set(range(1, count + 1)) - set(counter.came[device])) for device, count in said.items())
    repeated = sum(len(each) - len(set(each)) for each in counter.came.values())
    overtaken, again = _overtaken(counter.came, counter.again)
    print(
        f"{len(said)} publishers, {sum(said.values())} events, {arguments.kills} nodes killed: lost {lost}, "
        f"repeated {repeated}, overtaken {overtaken}; longest silence {counter.longest_pause_s:.1f} s"
    )
    print(f"of those overtaken {again} were marked by the broker as delivered again to the subscriber")
    return 1 if lost else 0


def _overtaken(came: dict[str, list[int]], again: set[tuple[str, int]]) -> tuple[int, int]:
    """Count what came after a later one of its device, repeats apart; and how many of these were delivered again."""
    late = []
    for device, numbers in came.items():
        newest = 0
        for number in dict.fromkeys(numbers):
            if number < newest:
                late.append((device, number))
            newest = max(newest, number)
    return len(late), len(again & set(late))


def _publish(cluster: Cluster, folder: Path, count: int, kills: int) -> dict[str, int]:
    """Let publishers speak for ten seconds before, between and after the kills; returns how much each said."""
    addresses = [f"127.0.0.1:{node.port}" for node in cluster.nodes]
    outboxes, publishers = {}, []
    for number in range(count):
        topics = Topics("bench", f"device{number}")
        outbox = outboxes[topics] = Outbox.open(folder / f"{number}.sqlite", OutboxConfig())
        turned = addresses[number % 3 :] + addresses[: number % 3]
        host, port = turned[0].split(":")
        config = MqttConfig(host=host, port=int(port), fallback_hosts=tuple(turned[1:]), reconnect_max_s=2.0)
        publishers.append(Publisher(outbox, config, topics))
        publishers[-1].start()
    ended = threading.Event()
    speaker = threading.Thread(target=_speak, args=(outboxes, ended))
    speaker.start()
    try:
        time.sleep(10)
        for kill in range(kills):
            node = cluster.nodes[kill % 3]
            node.kill()
            print(f"{node.name} is killed", flush=True)
            time.sleep(10)
            node.start()
            node.wait()
            print(f"{node.name} is back", flush=True)
            time.sleep(10)
    finally:
        ended.set()
        speaker.join()
    deadline_s = time.monotonic() + _SETTLE_S
    while any(outbox.stats().pending for outbox in outboxes.values()) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    pending = sum(outbox.stats().pending for outbox in outboxes.values())
    if pending:
        print(f"{pending} events were never acknowledged")
    said = {topics.device: outbox.stats().committed // 2 for topics, outbox in outboxes.items()}
    for publisher, outbox in zip(publishers, outboxes.values(), strict=True):
        publisher.stop()
        outbox.close()
    return said


def _speak(outboxes: dict[Topics, Outbox], ended: threading.Event) -> None:
    while not ended.wait(1 / _RATE_HZ):
        for topics, outbox in outboxes.items():
            outbox.put(*change(topics, "open"))


def _lets_in(port: int) -> bool:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "knocker")
    let_in: list[bool] = []
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: let_in.append(reason == 0)
    try:
        client.connect("127.0.0.1", port)
        deadline_s = time.monotonic() + 2.0
        while not let_in and time.monotonic() < deadline_s and client.loop(0.2) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    except OSError:
        return False
    return let_in == [True]


if __name__ == "__main__":
    sys.exit(main())
