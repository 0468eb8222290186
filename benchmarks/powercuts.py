"""The power is cut: what a disk holds at a random moment is mounted and looked at, again and again.

The outbox lives on ext4, in an image that lies on XFS. A reflink copy of that image is what the disk holds at one
moment; what the kernel had not written yet is missing in it, as after a power cut. Each copy is mounted, which replays
ext4's journal, and the store in it opened as the daemon does it: it must be sound and hold all that was said to be safe
before the copy was begun. Takes root. Usage:

    python benchmarks/powercuts.py [--cuts 100] [--synchronous NORMAL]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from killpoints import commit_and_deliver, examine

from edge.outbox import file

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTER_BYTES, _INNER_BYTES = 700_000_000, 64_000_000
_LONGEST_S = 0.4


def main() -> int:
    """Cut so many times, and say what was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument(
        "--synchronous", choices=("FULL", "NORMAL"), default="FULL", help="NORMAL shows that losses would be found"
    )
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        _write_without_end(arguments.store, arguments.synchronous)
    if os.getuid() != 0:
        print("skipped: mounting takes root")
        return 0
    if not _can_mount():
        print("skipped: XFS cannot be mounted here")
        return 0
    problems = 0
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".powercuts-") as folder, _disks(Path(folder)) as live:
        chance = random.Random(26)  # noqa: S311  the moments need no secrecy
        for cut in range(arguments.cuts):
            for problem in _cut(Path(folder), live / str(cut), arguments.synchronous, chance.uniform(0.0, _LONGEST_S)):
                print(f"cut {cut}: {problem}")
                problems += 1
    print(f"cut {arguments.cuts} times, synchronous={arguments.synchronous}: {problems} problems (lost or corrupt)")
    return 1 if problems else 0


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".powercuts-") as name:
        image, place = Path(name) / "try.img", Path(name) / "place"
        place.mkdir()
        try:
            _make(image, 400_000_000, "mkfs.xfs", "-q", "-m", "reflink=1")
            _run("mount", "-o", "loop", image, place)
        except (OSError, subprocess.CalledProcessError):
            return False
        _run("umount", place)
    return True


def _write_without_end(folder: Path, synchronous: str) -> None:
    """What the power is taken from."""
    connect = file.connect

    def connect_so(*args: object, **options: object) -> object:
        connection = connect(*args, **options)  # type: ignore[arg-type]
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    file.connect = connect_so  # type: ignore[assignment]
    commit_and_deliver(folder, answers=1_000_000)


@contextmanager
def _disks(folder: Path) -> Iterator[Path]:
    """Mount the inner disk within the outer one; yields its root."""
    outer, live = folder / "outer", folder / "live"
    for made in (outer, live, folder / "cut"):
        made.mkdir()
    _make(folder / "outer.img", _OUTER_BYTES, "mkfs.xfs", "-q", "-m", "reflink=1")
    _run("mount", "-o", "loop", folder / "outer.img", outer)
    try:
        _make(outer / "inner.img", _INNER_BYTES, "mkfs.ext4", "-q")
        _run("mount", "-o", "loop", outer / "inner.img", live)
        try:
            yield live
        finally:
            _run("umount", live)
    finally:
        _run("umount", outer)


def _cut(folder: Path, store: Path, synchronous: str, after_s: float) -> list[str]:
    """Let it write, take a copy of the disk at some moment, and look into that; returns what is wrong."""
    store.mkdir()
    _run("sync", "-f", store)
    command = [sys.executable, __file__, "--store", str(store), "--synchronous", synchronous]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=_listen, args=(process, said))
    reader.start()
    while not any(line.startswith("safe") for line in said):
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.001)
    time.sleep(after_s)
    sure = list(said)
    copy = folder / "outer" / "cut.img"
    _run("cp", "--reflink=always", folder / "outer" / "inner.img", copy)
    process.kill()
    process.wait()
    reader.join()
    assert process.stdout is not None
    process.stdout.close()
    _run("mount", "-o", "loop", copy, folder / "cut")
    try:
        # What it said while the copy was made may be in it or not.
        return examine(folder / "cut" / store.name, sure, later=said)
    finally:
        _run("umount", folder / "cut")
        copy.unlink()
        shutil.rmtree(store)


def _listen(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stdout is not None
    for line in iter(process.stdout.readline, ""):
        if line.endswith("\n"):
            said.append(line)  # noqa: PERF401  others look at it meanwhile


def _make(image: Path, size_bytes: int, *command: str) -> None:
    image.touch()
    os.truncate(image, size_bytes)
    _run(*command, image)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
