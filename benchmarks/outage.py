"""What an outage costs: 200 messages at 10 Hz while the broker is away from second 5 to 13, three ways side by side.

``sightpost`` is the outbox and publisher of this project, ``qos1`` and ``qos0`` are plain paho clients that publish
straight away. A subscriber with a persistent session counts. With ``--kill`` each client is killed (-9) at second 11
and started again at second 14.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from publishing import Broker, change, settings

from edge.config import OutboxConfig
from edge.messages import Topics
from edge.outbox import Outbox
from edge.publisher import Publisher

KINDS = ("sightpost", "qos1", "qos0")
COUNT, RATE_HZ = 200, 10.0
DOWN_S, KILL_S, UP_S, RESTART_S, END_S = 5.0, 11.0, 13.0, 14.0, 26.0


def main() -> int:
    """Run one client, or the whole comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill", action="store_true", help="kill the clients during the outage, too")
    parser.add_argument("--client", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client == "sightpost":
        _sightpost(arguments.port, arguments.folder, arguments.first)
    elif arguments.client:
        _plain(arguments.port, int(arguments.client[-1]), arguments.first)
    else:
        compare(kill=arguments.kill)
    return 0


def compare(*, kill: bool) -> None:
    """Print how many messages each way loses, doubles and delivers out of order."""
    came: dict[str, list[int]] = {kind: [] for kind in KINDS}
    said: dict[str, set[int]] = {kind: set() for kind in KINDS}

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        number = msgspec.json.decode(message.payload)["label"]
        came[message.topic.split("/")[1]].append(int(number))

    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder), "autosave_interval 1") as broker:
        subscriber = mqtt.Client(CallbackAPIVersion.VERSION2, "counter", clean_session=False)
        subscriber.on_message = on_message
        subscriber.on_connect = lambda client, *_: client.subscribe("outage/+/gate/event", qos=1)
        subscriber.reconnect_delay_set(1, 1)
        subscriber.connect("127.0.0.1", broker.port)
        subscriber.loop_start()
        time.sleep(1.0)
        clients = {kind: _start(kind, broker.port, Path(folder), 0) for kind in KINDS}
        for kind, client in clients.items():  # a busy computer takes a while to start them
            assert client.stdout is not None
            said[kind].add(int(client.stdout.readline()))
        began_s = time.monotonic()
        _until(began_s + DOWN_S)
        broker.stop()
        if kill:
            _until(began_s + KILL_S)
            for kind, client in clients.items():
                client.kill()
                said[kind] |= _said(client)
        _until(began_s + UP_S)
        broker.start()
        if kill:
            _until(began_s + RESTART_S)
            first = int(RESTART_S * RATE_HZ)
            clients = {kind: _start(kind, broker.port, Path(folder), first) for kind in KINDS}
        _until(began_s + END_S)
        for kind, client in clients.items():
            client.terminate()
            said[kind] |= _said(client)
        subscriber.loop_stop()
    killed = ", in which the clients are killed" if kill else ""
    print(f"outage of {UP_S - DOWN_S:.0f} s{killed}, {RATE_HZ:.0f} messages/s:")
    for kind in KINDS:
        numbers = came[kind]
        first_times = list(dict.fromkeys(numbers))
        disorder = sum(later < earlier for earlier, later in itertools.pairwise(first_times))
        lost = len(said[kind] - set(numbers))
        repeated = len(numbers) - len(first_times)
        print(
            f"  {kind:<10} of {len(said[kind]):>3} lost {lost:>3}   repeated {repeated:>3}   out of order {disorder:>3}"
        )


def _start(kind: str, port: int, folder: Path, first: int) -> subprocess.Popen[bytes]:
    options = ["--client", kind, "--port", str(port), "--folder", str(folder), "--first", str(first)]
    return subprocess.Popen([sys.executable, __file__, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _said(client: subprocess.Popen[bytes]) -> set[int]:
    """Wait for a client's end; returns the numbers that it took responsibility for."""
    lines = client.communicate()[0].splitlines(keepends=True)
    return {int(line) for line in lines if line.endswith(b"\n")}


def _until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))


def _sightpost(port: int, folder: Path, first: int) -> None:
    topics = Topics("outage", "sightpost")
    outbox = Outbox.open(folder / "outbox.sqlite", OutboxConfig())
    Publisher(outbox, settings(port), topics).start()
    began_s = time.monotonic()
    for number in range(first, COUNT):
        _until(began_s + (number - first) / RATE_HZ)
        outbox.put(*change(topics, str(number)))
        assert outbox.flush(5)
        print(number, flush=True)
    time.sleep(END_S)


def _plain(port: int, qos: int, first: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began_s = time.monotonic()
    for number in range(first, COUNT):
        _until(began_s + (number - first) / RATE_HZ)
        client.publish(f"outage/qos{qos}/gate/event", msgspec.json.encode({"label": str(number)}), qos=qos)
        print(number, flush=True)
    time.sleep(END_S)


if __name__ == "__main__":
    sys.exit(main())
