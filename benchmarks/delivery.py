"""How fast answers are accepted at full durability, and how fast a backlog drains to a real broker (QoS 1).

Beside it the loop that one would write first: publish, wait for the acknowledgement, delete, commit. Usage:

    python benchmarks/delivery.py [--events 20000] [--backlog 1000000] [--outage]

On a computer that does other things, too, believe the processor time and the ratio rather than the rates.
"""

from __future__ import annotations

import argparse
import gc
import os
import sqlite3
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

TOPICS = Topics("bench", "porch")
_AT_ONCE = 2000
_LIVE = 200
_NAIVE = 2000


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--backlog", type=int, default=0, help="also drain a backlog of so many, and watch the memory")
    parser.add_argument("--outage", action="store_true", help="also the outage script, twice 26 seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".delivery-") as folder, Broker(Path(folder)) as broker:
        outbox = Outbox.open(Path(folder) / "outbox.sqlite", OutboxConfig())
        _accept(outbox, arguments.events)
        rate_hz = _drain(outbox, broker)
        naive_hz = _naive(Path(folder), broker)
        print(f"the naive loop drains {naive_hz:,.0f} events/s: ours is {rate_hz / naive_hz:.1f} times as fast")
        outbox.close()
        if arguments.backlog:
            _backlog(Path(folder), broker, arguments.backlog)
    if arguments.outage:
        for options in ([], ["--kill"]):
            subprocess.run([sys.executable, str(Path(__file__).with_name("outage.py")), *options], check=True)
    return 0


def _accept(outbox: Outbox, events: int) -> None:
    changes = [change(TOPICS, f"label {number}", f"watch{number % 4}") for number in range(events)]
    gc.collect()
    gc.freeze()
    worst_s = 0.0
    cpu_s, began_s = _cpu_s(), time.perf_counter()
    for number, posts in enumerate(changes):
        put_s = time.perf_counter()
        outbox.put(*posts)
        worst_s = max(worst_s, time.perf_counter() - put_s)
        if number % _AT_ONCE == _AT_ONCE - 1:
            assert outbox.flush(60)
    assert outbox.flush(60)
    took_s, cpu_s = time.perf_counter() - began_s, _cpu_s() - cpu_s
    print(
        f"accepted {events / took_s:,.0f} changes/s (a state and an event each), {cpu_s / events * 1e6:.0f} us of CPU "
        f"each, slowest put {worst_s * 1e3:.2f} ms"
    )
    single_s = []
    for number in range(_LIVE):
        put_s = time.perf_counter()
        outbox.put(*change(TOPICS, f"single {number}"))
        assert outbox.flush(60)
        single_s.append(time.perf_counter() - put_s)
    print(f"one alone is on the disk after {_percentiles_ms(single_s)}")


def _drain(outbox: Outbox, broker: Broker) -> float:
    publisher = Publisher(outbox, settings(broker.port), TOPICS)
    pending = outbox.stats().pending
    cpu_s, began_s = _cpu_s(), time.perf_counter()
    publisher.start()
    while outbox.stats().pending:
        time.sleep(0.005)
    took_s, cpu_s = time.perf_counter() - began_s, _cpu_s() - cpu_s
    publisher.stop()
    print(f"drained {pending / took_s:,.0f} events/s in QoS 1, {cpu_s / pending * 1e6:.0f} us of CPU each")
    return pending / took_s


def _naive(folder: Path, broker: Broker) -> float:
    """Drain a table as one would at first."""
    database = sqlite3.connect(folder / "naive.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE queue(number INTEGER PRIMARY KEY, payload BLOB)")
    payload = msgspec.json.encode(change(TOPICS, "label")[1].message)
    database.executemany("INSERT INTO queue(payload) VALUES(?)", [(payload,)] * _NAIVE)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "naive")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    began_s = time.perf_counter()
    while row := database.execute("SELECT number, payload FROM queue ORDER BY number LIMIT 1").fetchone():
        client.publish("bench/naive/event", row[1], qos=1).wait_for_publish(10)
        database.execute("DELETE FROM queue WHERE number = ?", (row[0],))
    took_s = time.perf_counter() - began_s
    client.disconnect()
    client.loop_stop()
    database.close()
    return _NAIVE / took_s


def _backlog(folder: Path, broker: Broker, count: int) -> None:
    outbox = Outbox.open(folder / "backlog.sqlite", OutboxConfig(max_bytes=10_000_000_000))
    for number in range(count):
        outbox.put(change(TOPICS, "label", f"watch{number % 4}")[1])
        if number % _AT_ONCE == _AT_ONCE - 1:
            assert outbox.flush(60)
    assert outbox.flush(60)
    pending = outbox.stats().pending
    size_mb = outbox.stats().pending_bytes / 1e6
    print(f"a backlog of {pending:,} events, {size_mb:.0f} MB; this process: {_rss_mb():.0f} MB")
    publisher = Publisher(outbox, settings(broker.port), TOPICS)
    cpu_s, began_s = _cpu_s(), time.perf_counter()
    publisher.start()
    left = pending
    while outbox.stats().pending:
        time.sleep(0.02)
        if outbox.stats().pending < left - count // 10:
            left = outbox.stats().pending
            print(f"  {left:>9,} left, {_rss_mb():.0f} MB", flush=True)
    took_s, cpu_s = time.perf_counter() - began_s, _cpu_s() - cpu_s
    print(f"drained in {took_s:.0f} s, {pending / took_s:,.0f} events/s, {cpu_s / pending * 1e6:.0f} us of CPU each")
    publisher.stop()
    outbox.close()


def _cpu_s() -> float:
    return sum(os.times()[:2])


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _percentiles_ms(times_s: list[float]) -> str:
    ordered = sorted(times_s)
    p50, p95, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
