"""How fast answers are accepted at full durability, and how fast a backlog drains to a real broker (QoS 1).

Usage: python benchmarks/delivery.py [--events 20000] [--outage]
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from publishing import Broker, change, settings

from edge.config import OutboxConfig
from edge.messages import Topics
from edge.outbox import Outbox
from edge.publisher import Publisher

TOPICS = Topics("bench", "porch")
_AT_ONCE = 2000
_LIVE = 200


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--outage", action="store_true", help="also the outage script, twice 26 seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Broker(Path(folder)) as broker:
        outbox = Outbox.open(Path(folder) / "outbox.sqlite", OutboxConfig())
        _accept(outbox, arguments.events)
        _drain(outbox, broker, arguments.events)
        outbox.close()
    if arguments.outage:
        for options in ([], ["--kill"]):
            subprocess.run([sys.executable, str(Path(__file__).with_name("outage.py")), *options], check=True)
    return 0


def _accept(outbox: Outbox, events: int) -> None:
    changes = [change(TOPICS, f"label {number}", f"watch{number % 4}") for number in range(events)]
    gc.collect()
    gc.freeze()
    worst_s = 0.0
    began_s = time.perf_counter()
    for number, posts in enumerate(changes):
        put_s = time.perf_counter()
        outbox.put(*posts)
        worst_s = max(worst_s, time.perf_counter() - put_s)
        if number % _AT_ONCE == _AT_ONCE - 1:
            assert outbox.flush(60)
    assert outbox.flush(60)
    took_s = time.perf_counter() - began_s
    print(f"accepted {events / took_s:,.0f} changes/s (a state and an event each), slowest put {worst_s * 1e3:.2f} ms")
    single_s = []
    for number in range(_LIVE):
        put_s = time.perf_counter()
        outbox.put(*change(TOPICS, f"single {number}"))
        assert outbox.flush(60)
        single_s.append(time.perf_counter() - put_s)
    print(f"one alone is on the disk after {_percentiles_ms(single_s)}")


def _drain(outbox: Outbox, broker: Broker, events: int) -> None:
    publisher = Publisher(outbox, settings(broker.port), TOPICS)
    pending = outbox.stats().pending
    cpu_s, began_s = sum(os.times()[:2]), time.perf_counter()
    publisher.start()
    while outbox.stats().pending:
        time.sleep(0.005)
    took_s, cpu_s = time.perf_counter() - began_s, sum(os.times()[:2]) - cpu_s
    print(f"drained {pending / took_s:,.0f} events/s in QoS 1, {cpu_s / pending * 1e6:.0f} us of CPU each")
    live_s = []
    for number in range(_LIVE):
        delivered = outbox.stats().delivered + outbox.stats().pending
        committed = outbox.stats().committed
        put_s = time.perf_counter()
        outbox.put(*change(TOPICS, f"live {number}"))
        while outbox.stats().committed < committed + 2 or outbox.stats().pending:
            time.sleep(0.0002)
        live_s.append(time.perf_counter() - put_s)
        assert outbox.stats().delivered >= delivered
    print(f"from put to the broker's acknowledgement {_percentiles_ms(live_s)}")
    publisher.stop()
    assert events <= outbox.stats().delivered


def _percentiles_ms(times_s: list[float]) -> str:
    ordered = sorted(times_s)
    p50, p95, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
