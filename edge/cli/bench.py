"""``sightpost bench``: how fast a model is on this device, and with how many threads."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.cli.options import parse_input, seconds
from edge.errors import SightpostError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from edge.cli.options import Commands
    from edge.config import ModelConfig
    from edge.measured import Measurement, Setting

_BAR = 24


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="measure models on this device, and choose their threads",
        description="Run models as fast as they go, with several numbers of threads and interpreters, and say what is "
        "best here. With --config, the daemon uses what was found for models that say neither threads nor workers.",
        epilog="example: sightpost bench --config /etc/sightpost/edge.toml",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="measure every model of a configuration, and keep it")
    what.add_argument("--model", type=Path, metavar="FILE", help="measure one model file, and keep nothing")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="with --model: labels of a file that names none")
    parser.add_argument(
        "--input", metavar="KEY=VALUE,...", help="with --model: of a file without a card, as in classify"
    )
    parser.add_argument(
        "--seconds", type=seconds(0.001, 60), default=1.0, metavar="S", help="for each setting (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per model")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure each model, and keep the choice where a configuration was given."""
    from edge.config import ModelConfig, load_config
    from edge.measured import choose, keep

    if arguments.config is not None and (arguments.labels is not None or arguments.input is not None):
        raise UsageError("--labels and --input go with --model; a configuration has keys for them")
    config = load_config(arguments.config) if arguments.config is not None else None
    if config is not None:
        models = config.models
    else:
        labels = str(arguments.labels) if arguments.labels else None
        spec = parse_input(arguments.input) if arguments.input else None
        models = {arguments.model.stem: ModelConfig(file=str(arguments.model), labels=labels, input=spec)}
    chosen: dict[str, Setting] = {}
    for name, model in models.items():
        measurements = list(_measurements(model, arguments.seconds))
        best = choose(measurements)
        chosen[name] = best.setting
        if arguments.json:
            print(json.dumps(_as_json(name, measurements, best)), flush=True)
        else:
            _show(name, measurements, best)
    if config is not None:
        state_dir = Path(config.device.state_dir)
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            keep(state_dir, chosen)
        except OSError as error:
            raise SightpostError(f"{state_dir}: the choice cannot be kept there: {error.strerror or error}") from error
    return 0


def _measurements(config: ModelConfig, duration_s: float) -> Iterator[Measurement]:
    from edge.lineup import load_model
    from edge.measured import measure, settings
    from edge.model_trial import try_stranger

    try_stranger(config)
    for setting in settings(len(os.sched_getaffinity(0))):
        exact = msgspec.structs.replace(config, threads=setting.threads, workers=setting.workers)
        yield measure(load_model(exact), setting, duration_s=duration_s, clock=time.perf_counter)


def _show(name: str, measurements: list[Measurement], best: Measurement) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=name, title_justify="left")
    for heading in ("threads", "workers", "answers/s", "ms each"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    fastest_hz = max(measurement.rate_hz for measurement in measurements)
    for measurement in measurements:
        setting = measurement.setting
        bar = "█" * max(1, round(_BAR * measurement.rate_hz / fastest_hz))
        note = " ← best" if measurement is best else ""
        figures = (f"{measurement.rate_hz:.0f}", f"{measurement.latency_ms:.2f}")
        table.add_row(str(setting.threads), str(setting.workers), *figures, bar + note)
    Console().print(table)


def _as_json(name: str, measurements: list[Measurement], best: Measurement) -> dict[str, object]:
    def row(measurement: Measurement) -> dict[str, object]:
        figures = {"rate_hz": round(measurement.rate_hz, 1), "latency_ms": round(measurement.latency_ms, 3)}
        return {**msgspec.structs.asdict(measurement.setting), **figures}

    return {"model": name, "measured": [row(measurement) for measurement in measurements], "best": row(best)}
