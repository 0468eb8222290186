"""``sightpost check``: is everything that a configuration names there and fine, and what to do about what is not."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from edge import PICTURE_SUFFIXES
from edge.cli.frame import print_json
from edge.cli.looking import frames_of
from edge.errors import CameraError, OutboxError, OutboxInUseError, SightpostError, one_line
from edge.value import Value

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from edge.cli.options import Commands
    from edge.config import CameraConfig, Config
    from edge.model import Model

BROKER_TIMEOUT_S = 5.0
LABELS_SHOWN = 20


class Finding(Value, frozen=True):
    """One thing that was tried."""

    subject: str
    ok: bool
    message: str
    exit_code: int


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="try camera, model, outbox and broker",
        description="Try everything that a configuration names, and say what to do about what does not work.",
        epilog="example: sightpost check --config /etc/sightpost/edge.toml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object per finding")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check everything; the exit code is that of the first thing that is wrong."""
    from edge.config import load_config

    config = load_config(arguments.config)
    exit_code = 0
    for finding in findings(config):
        if arguments.json:
            print_json(asdict(finding))
        else:
            line = f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject:<18} {finding.message}"
            print(one_line(line), flush=True)
        exit_code = exit_code or finding.exit_code
    return exit_code


def findings(config: Config) -> Iterator[Finding]:
    """Try one thing after the other."""
    from edge import camera as cameras

    cameras.warm_up()
    size = f"{_counted(len(config.watches), 'watch', 'es')} on {_counted(len(config.cameras), 'camera')}"
    yield Finding("configuration", True, size, 0)  # noqa: FBT003  a record
    models: dict[str, Model] = {}
    for name in config.models:
        yield _try(f"models.{name}", partial(_model, name, config, models))
    for name, watch in config.watches.items():
        if watch.model in models:
            yield _try(f"watches.{name}", partial(_watch, name, config, models[watch.model]))
    yield _try("outbox", lambda: _outbox(config))
    for name in config.cameras:
        yield _try(f"cameras.{name}", lambda name=name: _camera(name, config))  # type: ignore[misc]
    yield _try("broker", lambda: _broker(config))


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"


def _try(subject: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, attempt(), 0)  # noqa: FBT003  a record
    except SightpostError as error:
        return Finding(subject, False, str(error), error.exit_code)  # noqa: FBT003  a record


def _watch(name: str, config: Config, model: Model) -> str:
    """Join the watch with its model, as the daemon does."""
    from edge.lineup import join
    from edge.watch.lessons import Lessons, lessons_path
    from edge.watch.watch import NOTHING_TAUGHT

    watch = join(name, config, model)
    if watch.embeds:
        return "gives feature vectors"
    says: str = watch.kind
    labels = watch.labels
    if watch.config.kind == "teach":
        says, labels = "taught", Lessons(lessons_path(config.device.state_dir, name), model).taught().labels
        if not labels:
            return NOTHING_TAUGHT
    more = len(labels) - LABELS_SHOWN
    shown = [*labels[:LABELS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return f"{says}: {', '.join(shown)}"


def _model(name: str, config: Config, models: dict[str, Model]) -> str:
    from edge.lineup import load_model
    from edge.model_trial import try_stranger

    try_stranger(config.models[name])
    model = models[name] = load_model(config.models[name])
    proof = (
        f"{model.file.card.golden.count} golden samples right"
        if model.file.card and model.file.card.golden
        else ("no card: nothing proves that it answers here as it did in training")
    )
    gives = "feature vectors" if model.kind == "embed" else f"{len(model.labels)} labels"
    return f"{model.name} {model.version}: {gives} on {model.engine.runtime}; {proof}"


def _outbox(config: Config) -> str:
    from edge.daemon import OUTBOX_FILE
    from edge.outbox import Outbox

    path = Path(config.device.state_dir) / OUTBOX_FILE
    try:
        is_new = not path.exists()
    except OSError as error:
        raise OutboxError(f"{path}: cannot be reached ({error.strerror}); check device.state_dir") from error
    if is_new:
        return _could_store(path, config)
    try:
        outbox = Outbox.open(path, config.outbox)
    except OutboxInUseError:
        return f"{path}: in use by a sightpost that runs"
    try:
        return f"{path}: writable, {outbox.stats().pending} events waiting"
    finally:
        outbox.close()


def _could_store(path: Path, config: Config) -> str:
    """Try it beside the place, and leave nothing behind: the daemon, perhaps another user, shall make the real one."""
    from edge.outbox import Outbox

    place = next(folder for folder in path.parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".sightpost-check-") as trial:
            Outbox.open(Path(trial) / path.name, config.outbox).close()
    except OSError as error:
        raise OutboxError(f"{place}: cannot be written ({error.strerror}); check device.state_dir") from error
    return f"{path}: can be written; it is made at the first run"


def _camera(name: str, config: Config) -> str:
    """Open the camera, wait for one frame, and see that the watches' regions fit into it."""
    from edge.camera import Camera
    from edge.watch.region import Region

    if config.cameras[name].hot is not None:
        return _hot_folder(name, config.cameras[name])
    watches = {watch: each for watch, each in config.watches.items() if each.camera == name}
    with Camera(name, config.cameras[name]) as camera:
        frame = next(frames_of(camera, config.cameras[name]), None)
        if frame is None:
            raise CameraError(f"camera {name}: the recording has no frame")
        for watch, each in watches.items():
            Region.of(watch, each).cut(frame.image)
        status = camera.status
        found = f"{status.width_px}x{status.height_px} at {status.rate_hz:.1f} frames/s"
        return "; ".join((found, *status.notes))


def _hot_folder(name: str, config: CameraConfig) -> str:
    """See that a daemon could work with it; opening it would take its pictures."""
    folder = Path(str(config.source))
    if not os.path.isdir(folder) or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):  # noqa: PTH112  refusals are no
        raise CameraError(
            f"camera {name}: {folder}: no folder that this user may write to; make it, or give the right to"
        )
    return f"{folder}: {sum(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir())} pictures wait"


def _broker(config: Config) -> str:
    """Connect, and try whether the broker lets this device say and hear what it must."""
    from edge.publisher import probe_broker
    from edge.topics import Topics

    topics = Topics(config.mqtt.topic_prefix, config.device.id)
    plain = config.sparkplug is None
    hear = [topics.command("#")] if plain and config.commands.allow else []
    version = probe_broker(config.mqtt, BROKER_TIMEOUT_S, say=topics.check if plain else None, hear=hear)
    allowed = f", may say {topics.prefix}/{topics.device}/" if plain and version == "MQTT 5" else ""
    return f"{config.mqtt.host}:{config.mqtt.port}: connected, {version}{allowed}"
