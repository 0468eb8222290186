"""How soon the first answer is at a subscriber after the daemon was started, and what it occupies.

python benchmarks/start.py --rounds 10
python benchmarks/start.py --install      # also the size of a device's packages (needs a registry)
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from device import CLIP, LABELS, MODELS
from processes import family, memory_mb, running
from publishing import Broker

SETTLED_S = 5.0
REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "device.txt"


def main() -> None:
    """Start it so many times and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--install", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            report(arguments.rounds, arguments.cameras, broker.port, Path(folder) / "state")
        finally:
            broker.stop()
        if arguments.install:
            everything, bytecode = install_mb(Path(folder))
            print(f"a device's packages: {everything:.0f} MB, {bytecode:.0f} of them bytecode that pip compiled")


def report(rounds: int, cameras: int, port: int, state_dir: Path) -> None:
    """Print when the first answer came, and what the processes of the last round occupied.

    The very first start is told apart: then a model without a seal is tried in a process of its own.
    """
    tables = f'[models.model]\nfile = "{MODELS["V2 1.0 224"]}"\nlabels = "{LABELS}"\n' + "".join(
        f'[cameras.c{number}]\nsource = "{CLIP}"\nloop = true\n'
        f'[watches.w{number}]\ncamera = "c{number}"\nmodel = "model"\nanswers = true\n'
        for number in range(cameras)
    )
    with running(tables, port, state_dir=state_dir) as run:
        print(f"the very first start to the first answer: {run.wait_for_answer() * 1000:.0f} ms")
    took_ms = []
    for _ in range(rounds):
        with running(tables, port, state_dir=state_dir) as run:
            took_ms.append(run.wait_for_answer() * 1000)
            if len(took_ms) == rounds:
                time.sleep(SETTLED_S)
                daemon, *others = family(run.process.pid)
                rss_mb, pss_mb = memory_mb(daemon, "Rss"), memory_mb(daemon)
                others_mb = sorted(memory_mb(pid) for pid in others)
    print(f"start to first answer: median {statistics.median(took_ms):.0f} ms, of {rounds}, {min(took_ms):.0f} at best")
    print(f"daemon with a MobileNetV2 1.0 224 loaded: RSS {rss_mb:.0f} MB, PSS {pss_mb:.0f} MB")
    print(f"its other processes ({cameras} cameras among them), PSS: {', '.join(f'{mb:.0f}' for mb in others_mb)} MB")


def install_mb(folder: Path) -> tuple[float, float]:
    """Install what a device gets, and weigh it: everything, and the bytecode."""
    target = folder / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(target)]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    sizes_mb = {path: path.stat().st_size / 1e6 for path in target.rglob("*") if path.is_file()}
    return sum(sizes_mb.values()), sum(size_mb for path, size_mb in sizes_mb.items() if path.suffix == ".pyc")


if __name__ == "__main__":
    main()
