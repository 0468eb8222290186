"""What a device does while nothing happens: processor time of a static scene, by cadence. See ``--help``.

A camera shows one picture, with a camera's noise, at 720p and 25 frames a second, from a file that is played in its own
time. Printed in per cent of one core: the daemon (observer, model, outbox, publisher) and the decoding process apart.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from device import DATA, LABELS, MODELS
from processes import cpu_s, family, running
from publishing import Broker
from rich.console import Console
from rich.table import Table

PICTURE = DATA / "pictures" / "burger.jpg"
WARM_UP_S = 4.0
CADENCES = {
    "every frame": "interval_s = 0",
    "every second": "interval_s = 1",
    "on motion, every frame watched": 'cadence = "motion"\ninterval_s = 0',
    "on motion, five a second watched": 'cadence = "motion"\ninterval_s = 0.2',
}


def main() -> None:
    """Run each cadence for so long, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    table = Table(title=f"% of one core, {arguments.seconds:g} s each")
    for heading in ("cadence", "daemon", "decoding"):
        table.add_column(heading, justify="left" if heading == "cadence" else "right")
    with tempfile.TemporaryDirectory() as folder:
        clip = static_clip(Path(folder) / "static.mp4")
        broker = Broker(Path(folder))
        broker.start()
        try:
            for cadence, keys in CADENCES.items():
                daemon, decoding = shares(clip, keys, broker.port, arguments.seconds)
                table.add_row(cadence, f"{daemon:.1f}", f"{decoding:.1f}")
        finally:
            broker.stop()
    Console().print(table)


def static_clip(path: Path) -> Path:
    """Ten seconds of one picture."""
    looks = "scale=1280:720,noise=alls=6:allf=t"
    command = ["ffmpeg", "-v", "error", "-loop", "1", "-r", "25", "-i", str(PICTURE), "-t", "10", "-vf", looks]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryfast", "-crf", "24", "-g", "25", str(path)]
    subprocess.run(command, check=True)
    return path


def shares(clip: Path, keys: str, port: int, seconds: float) -> tuple[float, float]:
    """Per cent of one core that the daemon and its other processes took."""
    tables = (
        f'[cameras.c]\nsource = "{clip}"\nloop = true\n'
        f'[models.m]\nfile = "{MODELS["V2 1.0 224"]}"\nlabels = "{LABELS}"\nthreads = 1\n'
        f'[watches.w]\ncamera = "c"\nmodel = "m"\n{keys}\n'
    )
    with running(tables, port) as run:
        time.sleep(WARM_UP_S)
        daemon, *others = family(run.process.pid)
        before = cpu_s([daemon]), cpu_s(others)
        time.sleep(seconds)
        spent = cpu_s([daemon]) - before[0], cpu_s(others) - before[1]
    return 100 * spent[0] / seconds, 100 * spent[1] / seconds


if __name__ == "__main__":
    main()
