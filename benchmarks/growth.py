"""What more cameras and more regions cost: answers a second, processor time for each, and how evenly they are shared.

    python benchmarks/growth.py --seconds 10

Cameras play a clip at its own rate and every frame is asked for; regions are looked at twice a second. Cost for each
answer should stay flat until the cores are full, and whatever is dropped then should be dropped evenly, as under
``overload``: eight cameras whose every frame is asked about, with a model that is too large for that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from device import CLIP, LABELS, MODELS
from processes import cpu_s, family, running
from publishing import Broker
from rich.console import Console
from rich.table import Table

WARM_UP_S = 4.0
MODEL = f'[models.model]\nfile = "{MODELS["V1 .25 128"]}"\nlabels = "{LABELS}"\n'
BIG_MODEL = f'[models.model]\nfile = "{MODELS["V2 1.0 224"]}"\nlabels = "{LABELS}"\n'


def main() -> None:
    """Measure both ways of growing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    table = Table(title="growth")
    for heading in ("", "asked/s", "answers/s", "CPU ms/answer", "cores", "fewest : most"):
        table.add_column(heading, justify="left" if not heading else "right")
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            for count in (1, 2, 4, 8):
                table.add_row(f"{count} cameras", *row(cameras(count), 30.0 * count, broker.port, arguments.seconds))
            for count in (1, 4, 16, 64):
                table.add_row(f"{count} regions", *row(regions(count), 2.0 * count, broker.port, arguments.seconds))
            overload = row(cameras(8, BIG_MODEL), 240.0, broker.port, arguments.seconds)
            table.add_row("overload", *overload)
        finally:
            broker.stop()
    Console().print(table)


def cameras(count: int, model: str = MODEL) -> str:
    """A camera each, with a watch that looks at every frame."""
    return model + "".join(
        f'[cameras.c{number}]\nsource = "{CLIP}"\nloop = true\n'
        f'[watches.w{number}]\ncamera = "c{number}"\nmodel = "model"\ninterval_s = 0\nanswers = true\n'
        for number in range(count)
    )


def regions(count: int) -> str:
    """Regions of one camera, side by side."""
    tables = BIG_MODEL + f'[cameras.c]\nsource = "{CLIP}"\nloop = true\n'
    for number in range(count):
        left, top = (number % 8) / 10, (number // 8) / 10
        tables += f'[watches.w{number}]\ncamera = "c"\nmodel = "model"\ninterval_s = 0.5\nanswers = true\n'
        tables += f"roi = [{left}, {top}, {left + 0.2:.1f}, {top + 0.2:.1f}]\n"
    return tables


def row(tables: str, asked_hz: float, port: int, seconds: float) -> list[str]:
    """Run it for so long, and say what it came to."""
    with running(tables, port) as run:
        run.wait_for_answer()
        time.sleep(WARM_UP_S)
        pids = family(run.process.pid)
        before, cpu_before_s, began_s = run.answers.copy(), cpu_s(pids), time.perf_counter()
        time.sleep(seconds)
        elapsed_s, spent_s = time.perf_counter() - began_s, cpu_s(pids) - cpu_before_s
        came = {watch: count - before[watch] for watch, count in run.answers.items()}
    total = sum(came.values())
    cost_ms = f"{spent_s * 1000 / max(total, 1):.2f}"
    shares = f"{min(came.values())} : {max(came.values())}"
    return [f"{asked_hz:.0f}", f"{total / elapsed_s:.0f}", cost_ms, f"{spent_s / elapsed_s:.2f}", shares]


if __name__ == "__main__":
    main()
