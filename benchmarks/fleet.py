"""How many devices one broker holds: outboxes and publishers by the hundred, against the broker of deploy/broker.

The broker is mosquitto with deploy/broker/fleet.conf and fleet.acl, encrypted, each device with a certificate of its
own from certificates.sh. A reader with a lasting session hears all. Printed for each number of devices: what came each
second, how long it was on its way (from the answer to the reader), and what the broker and a device needed. Usage:

    python benchmarks/fleet.py [--devices 10 50 100 200] [--rate 1] [--seconds 20]
"""

from __future__ import annotations

import argparse
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from processes import cpu_s
from publishing import change, free_port

from edge.config import MqttConfig, OutboxConfig, TlsConfig
from edge.messages import Topics
from edge.outbox import Outbox
from edge.publisher import Publisher

if TYPE_CHECKING:
    from typing import Self

_DEPLOY = Path(__file__).parent.parent / "deploy" / "broker"
_WORKERS = 2
_START_S = 120.0


def main() -> int:
    """Measure each size of fleet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 50, 100, 200])
    parser.add_argument(
        "--rate", type=float, default=1.0, help="changes each second of each device (a state, an event)"
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        _work(*arguments.work, rate_hz=arguments.rate)
        return 0
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".fleet-") as name:
        folder = Path(name)
        print(f"certificates for {max(arguments.devices)} devices ...", flush=True)
        _certify(folder / "authority", max(arguments.devices))
        print("devices  messages/s  on their way p50  p99  broker: CPU  memory  device: CPU  memory")
        for count in arguments.devices:
            print(_measure(folder, count, arguments.rate, arguments.seconds), flush=True)
    return 0


def _certify(authority: Path, count: int) -> None:
    for command in (["init"], ["broker", "localhost", "127.0.0.1"], ["device", "dashboard"]):
        _issue(authority, *command)
    for number in range(count):
        _issue(authority, "device", f"device{number}")


def _issue(authority: Path, *command: str) -> None:
    subprocess.run([_DEPLOY / "certificates.sh", authority, *command], check=True, capture_output=True)


class Mosquitto:
    """The broker as deploy/broker configures it, but for paths and port."""

    def __init__(self, folder: Path, authority: Path) -> None:
        self.port = free_port()
        folder.mkdir()
        acl = folder / "fleet.acl"
        acl.write_bytes((_DEPLOY / "fleet.acl").read_bytes())
        acl.chmod(0o600)
        text = (_DEPLOY / "fleet.conf").read_text()
        for placed, here in (
            ("/etc/mosquitto/certs/broker", f"{authority}/localhost"),
            ("/etc/mosquitto/certs", str(authority)),
            ("/etc/mosquitto/fleet.acl", str(acl)),
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
        ):
            text = text.replace(placed, here)
        text += f"persistence_location {folder}/\n{'user root' if os.getuid() == 0 else ''}\n"
        (folder / "mosquitto.conf").write_text(text)
        self._command = ["mosquitto", "-c", str(folder / "mosquitto.conf")]

    def __enter__(self) -> Self:
        output = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, stdout=output, stderr=output)
        time.sleep(0.5)
        assert self.process.poll() is None, "mosquitto ended"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


class Dashboard:
    """A reader with a lasting session: notes how long each event was on its way, and who is online."""

    def __init__(self, port: int, authority: Path) -> None:
        self.online: set[str] = set()
        self.times_s: list[float] = []
        self.messages = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "dashboard", clean_session=False)
        context = ssl.create_default_context(cafile=authority / "ca.crt")
        context.load_cert_chain(authority / "dashboard.crt", authority / "dashboard.key")
        self._client.tls_set_context(context)
        self._client.on_connect = lambda client, *_: client.subscribe("sightpost/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now_s = time.monotonic()
        self.messages += 1
        if message.topic.endswith("/gate/event"):
            self.times_s.append(now_s - msgspec.json.decode(message.payload)["clock"]["monotonic_s"])
        elif message.topic.endswith("/status"):
            self.online.add(message.topic)


def _measure(folder: Path, count: int, rate_hz: float, seconds: float) -> str:
    place = folder / str(count)
    with Mosquitto(place, folder / "authority") as broker, Dashboard(broker.port, folder / "authority") as dashboard:
        workers = []
        for number in range(_WORKERS):
            span = f"{number * count // _WORKERS}:{(number + 1) * count // _WORKERS}"
            work = ["--work", span, str(broker.port), str(place), str(folder / "authority"), "--rate", str(rate_hz)]
            workers.append(subprocess.Popen([sys.executable, __file__, *work]))
        try:
            deadline_s = time.monotonic() + _START_S
            while len(dashboard.online) < count:
                assert time.monotonic() < deadline_s, f"only {len(dashboard.online)} of {count} are online"
                time.sleep(0.1)
            time.sleep(3)
            pids = [broker.process.pid, *(worker.pid for worker in workers)]
            before_s, heard, measured = [cpu_s([pid]) for pid in pids], dashboard.messages, len(dashboard.times_s)
            began_s = time.monotonic()
            time.sleep(seconds)
            took_s = time.monotonic() - began_s
            used_s = [cpu_s([pid]) - before for pid, before in zip(pids, before_s, strict=True)]
            times_ms = sorted(time_s * 1e3 for time_s in dashboard.times_s[measured:])
            p50, p99 = (times_ms[int(len(times_ms) * share)] for share in (0.5, 0.99))
            return (
                f"{count:>7}  {(dashboard.messages - heard) / took_s:>10,.0f}  {p50:>13,.0f} ms  {p99:,.0f} ms  "
                f"{used_s[0] / took_s:>6.1%} of a core  {_rss_mb(pids[0]):.0f} MB  "
                f"{sum(used_s[1:]) / took_s / count:>6.2%}  {sum(map(_rss_mb, pids[1:])) / count:.1f} MB"
            )
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait(60)


def _work(span: str, port: str, place: str, authority: str, *, rate_hz: float) -> None:
    """Be some of the devices, until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    first, end = map(int, span.split(":"))
    devices = []
    for number in range(first, end):
        topics = Topics("sightpost", f"device{number}")
        outbox = Outbox.open(Path(place) / f"device{number}.sqlite", OutboxConfig())
        own = f"{authority}/device{number}"
        tls = TlsConfig(ca_file=f"{authority}/ca.crt", cert_file=f"{own}.crt", key_file=f"{own}.key")
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=int(port), tls=tls), topics)
        publisher.start()
        devices.append((topics, outbox, publisher))
    turn, due_s = 0, time.monotonic()
    while not ended.wait(max(0.0, due_s - time.monotonic())):
        due_s += 1 / (rate_hz * len(devices))  # one after the other, evenly
        topics, outbox, _ = devices[turn % len(devices)]
        outbox.put(*change(topics, f"label {turn}"))
        turn += 1
    for _, outbox, publisher in devices:
        publisher.stop(0)
        outbox.close()


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
