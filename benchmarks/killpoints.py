"""Killed at every write: the outbox is ended with SIGKILL at each system call that writes or syncs its files.

A process commits answers and marks some of them as delivered, one transaction after the other, and says what is safe.
strace kills it at the n-th write, sync, truncation or removal of the store's files; then the store is opened as the
daemon does it, and must be sound and hold all that was said to be safe. Usage:

    python benchmarks/killpoints.py [--points 1000] [--at fdatasync:17]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from publishing import change

from edge.messages import Topics
from edge.outbox.batch import Batch, Limits, Sources
from edge.outbox.opening import open_store
from edge.record import Draft, Stamp, uuid7

TOPICS = Topics("bench", "porch")
_LIMITS = Limits(max_bytes=10_000_000, max_age_s=1e9)
_SOURCES = Sources(time.time, time.monotonic, os.urandom)
_CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink")
_ANSWERS = 100
_KEPT = 10
"""So many answers wait undelivered at a time."""


def main() -> int:
    """Kill at so many points, spread over all that there are, and say what was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000, help="how many of the points to kill at (default 1000)")
    parser.add_argument("--at", metavar="CALL:N", help="one point only")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        commit_and_deliver(arguments.store)
        return 0
    if shutil.which("strace") is None:
        print("skipped: strace is not installed")
        return 0
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".killpoints-") as folder:
        every = all_points(Path(folder))
        points = [arguments.at] if arguments.at else spread(every, arguments.points)
        print(f"{len(every)} points in {_ANSWERS} commits and their deliveries; killing at {len(points)}", flush=True)
        with ThreadPoolExecutor(2) as pool:
            problems = [line for found in pool.map(lambda at: kill_at(at, Path(folder)), points) for line in found]
    for line in problems:
        print(line)
    print(f"killed {len(points)} times: {len(problems)} problems (lost, corrupt, doubled or out of order)")
    return 1 if problems else 0


def spread(every: list[str], count: int) -> list[str]:
    """Take so many of them, evenly; all of them where there are no more."""
    count = min(count, len(every))
    return [every[index * len(every) // count] for index in range(count)]


def commit_and_deliver(folder: Path, answers: int = _ANSWERS) -> None:
    """What is killed: says ``safe n`` when answer n is committed, ``gone n`` when n is marked as delivered."""
    opened = open_store(folder / "outbox.sqlite", _LIMITS, _SOURCES)
    os.write(1, f"epoch {opened.store.epoch}\n".encode())
    for number in range(answers):
        posts = change(TOPICS, str(number), ("gate", "bay")[number % 2])
        ids = tuple(uuid7(time.time(), os.urandom) for _ in posts)
        opened.store.commit(Batch(drafts=(Draft(posts, ids, Stamp(time.time(), time.monotonic())),)))
        os.write(1, f"safe {number}\n".encode())
        if number >= _KEPT:
            [record] = opened.reader.events(0, limit=1)
            opened.store.commit(Batch(delivered=(record,)))
            os.write(1, f"gone {number - _KEPT}\n".encode())
    opened.reader.close()
    opened.store.close()
    os.write(1, b"closed\n")


def all_points(folder: Path) -> list[str]:
    """Run it once to its end, and note what is written and synced: ``fdatasync:17`` is the 17th call of that name.

    The last few are left out: how many there are differs by a few from run to run.
    """
    store = folder / "whole"
    store.mkdir()
    log = folder / "whole.log"
    _run(store, "-o", str(log), "-e", f"trace={','.join(_CALLS)}")
    counts: Counter[str] = Counter()
    points = []
    for call in re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE):
        counts[call] += 1
        points.append(f"{call}:{counts[call]}")
    return [point for point in points if not point.startswith("pwrite64") or int(point[9:]) < counts["pwrite64"] - 20]


def kill_at(point: str, folder: Path) -> list[str]:
    """Kill it at one point; returns what is wrong afterwards."""
    call, number = point.split(":")
    store = folder / point.replace(":", "-")
    store.mkdir()
    said = _run(store, "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}")
    if "closed" in said:
        return [f"{point}: was not reached"]
    problems = [f"{point}: {problem}" for problem in examine(store, said)]
    if not problems:
        shutil.rmtree(store)
    return problems


def examine(store: Path, said: list[str], later: list[str] | None = None) -> list[str]:
    """Open a store as the daemon does, and compare it with what its writer said.

    ``later`` is what it had said after that, where the store may be a little newer than what it had ``said``.
    """
    safe = max((int(line.split()[1]) for line in said if line.startswith("safe")), default=-1)
    gone = max((int(line.split()[1]) for line in said if line.startswith("gone")), default=-1)
    gone_later = max((int(line.split()[1]) for line in later or said if line.startswith("gone")), default=-1)
    opened = open_store(store / "outbox.sqlite", _LIMITS, _SOURCES, thorough=True)
    records = opened.reader.events(0, limit=1_000_000)
    numbers = [int(_label(record.payload)) for record in records]
    ledger = opened.store.ledger
    epochs = {line.split()[1] for line in said if line.startswith("epoch")}
    problems = []
    if list(store.glob("*damaged*")):
        problems.append("the store was taken for damaged")
    if missing := set(range(gone_later + 2, safe + 1)) - set(numbers):  # one more may have gone before that was said
        problems.append(f"committed and lost: {sorted(missing)}")
    if numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
        problems.append(f"doubled or out of order: {numbers}")
    if numbers and numbers[0] <= gone:
        problems.append(f"delivered and still there: {numbers[0]}")
    if epochs - {opened.store.epoch}:
        problems.append("another epoch")
    if ledger.pending != len(records):
        problems.append(f"counts {ledger.pending}, holds {len(records)}")
    opened.reader.close()
    opened.store.close()
    return problems


def _label(payload: bytes) -> str:
    return payload.partition(b'"label":"')[2].partition(b'"')[0].decode()


def _run(store: Path, *options: str) -> list[str]:
    """Run the writer under strace, which looks only at the store's files; returns what it said."""
    files = [
        word for suffix in ("", "-wal", "-shm", "-journal") for word in ("-P", str(store / f"outbox.sqlite{suffix}"))
    ]
    # The interpreter itself, not a link or script that leads to it: strace counts for each process.
    python = str(Path(sys.executable).resolve())
    command = ["strace", "-f", "--seccomp-bpf", "-qq", *files, *options, python, __file__, "--store", str(store)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main())
