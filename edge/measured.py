"""How many threads and interpreters suit a model on this very device: measured, chosen, and kept for the daemon."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import msgspec

from edge.durable import replace_file
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge.model import Model

FILE = "measured.json"
_WARM_UP = 3
_EQUAL = 0.95
"""Rates within 5 % of the best are alike: noise, on most machines."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """``workers`` interpreters at the same time, each with ``threads`` threads."""

    threads: int = 1
    workers: int = 1


class Measurement(Value, frozen=True):
    """What a setting does: answers a second with all workers busy, and the median time of one answer meanwhile."""

    setting: Setting
    rate_hz: float
    latency_ms: float


class _Kept(msgspec.Struct, frozen=True):
    """The file: settings by the models' names in the configuration, and the machine they were measured on."""

    cores: int
    models: dict[str, Setting]


def settings(cores: int) -> Iterator[Setting]:
    """What is worth trying: every way to spend 1, 2, 4 … cores, and all of them."""
    for total in sorted({*(2**power for power in range(cores.bit_length()) if 2**power <= cores), cores}):
        for threads in range(1, total + 1):
            if total % threads == 0:
                yield Setting(threads=threads, workers=total // threads)


def measure(model: Model, setting: Setting, *, duration_s: float, clock: Callable[[], float]) -> Measurement:
    """Run all interpreters of a model at once, as fast as they go.

    Args:
        model: with as many interpreters as the setting has workers.
        setting: what the model was loaded with.
        duration_s: how long.
        clock: monotonic seconds.
    """
    import numpy as np

    side_px = (model.engine.input.shape[0], model.engine.input.shape[1], 3)
    picture = model.prepare(np.random.default_rng(1).integers(0, 256, side_px, dtype=np.uint8))
    took_s: list[list[float]] = [[] for _ in model.engines]
    barrier = threading.Barrier(len(model.engines))
    until_s = 0.0

    def run(number: int) -> None:
        nonlocal until_s
        engine, mine = model.engines[number], took_s[number]
        for _ in range(_WARM_UP):
            engine.infer(picture)
        if barrier.wait() == 0:
            until_s = clock() + duration_s
        barrier.wait()
        began_s = clock()
        while began_s < until_s:
            engine.infer(picture)
            ended_s = clock()
            mine.append(ended_s - began_s)
            began_s = ended_s

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(model.engines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = sorted(took for mine in took_s for took in mine)
    rate_hz = sum(len(mine) / sum(mine) for mine in took_s if mine)
    return Measurement(setting, rate_hz, every[len(every) // 2] * 1000)


def choose(measurements: list[Measurement]) -> Measurement:
    """The fastest; among those as fast the one that answers soonest, then the one with the fewest interpreters."""
    best_hz = max(measurement.rate_hz for measurement in measurements)
    alike = [measurement for measurement in measurements if measurement.rate_hz >= _EQUAL * best_hz]
    return min(alike, key=lambda measurement: (round(measurement.latency_ms, 2), measurement.setting.workers))


def keep(state_dir: Path, chosen: dict[str, Setting], *, cores: int | None = None) -> None:
    """Keep what was chosen for models, by their names in the configuration; what was kept of others stays.

    Raises:
        OSError: the state directory cannot be written.
    """
    cores = cores or len(os.sched_getaffinity(0))
    models = {**kept(state_dir, cores=cores), **chosen}
    content = {"cores": cores, "models": {name: msgspec.structs.asdict(setting) for name, setting in models.items()}}
    replace_file(state_dir / FILE, json.dumps(content, indent=2).encode())


def kept(state_dir: Path, *, cores: int | None = None) -> dict[str, Setting]:
    """Settings by model; none where nothing was measured, or on a machine with another number of cores."""
    try:
        found = msgspec.json.decode((state_dir / FILE).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return {}
    return found.models if found.cores == (cores or len(os.sched_getaffinity(0))) else {}
