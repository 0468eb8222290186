"""``sightpost replay``: what watches would have said of a recording, every frame of it."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec import structs

from edge.cli.frame import print_json
from edge.cli.options import add_model_options, load_model, parse_roi
from edge.config import CameraConfig, WatchConfig
from edge.errors import UsageError, one_line
from edge.strict import convert, is_utf8, nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from edge.cli.options import Commands
    from edge.watch.outcome import Answer
    from edge.watch.watch import Watch

_OPTIONS = {
    "model": None,
    "labels": None,
    "input": None,
    "roi": None,
    "interval_s": 0.0,
    "hold_s": 0.0,
    "hold_frames": 1,
    "min_score": 0.0,
}
"""Those that describe a watch, and what they are where nobody gives them."""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help="answer for a recording, every frame",
        description="Run a video file or picture folder through the same path as a camera and print the events: for a "
        "model, or for the watches of a configuration, whose regions, cadence and rules are so tried on what was seen.",
        epilog="example: sightpost replay yard.mp4 --config edge.toml --watch gate",
    )
    parser.add_argument("clip", metavar="CLIP", help="video file or folder of pictures")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take watches and models from a configuration")
    parser.add_argument(
        "--watch", action="append", metavar="NAME", help="with --config: this one of its watches; may be repeated"
    )
    add_model_options(parser, required=False)
    parser.add_argument("--roi", type=parse_roi, metavar="L,T,R,B", help="look at a part only, as fractions")
    parser.add_argument(
        "--interval-s", type=float, default=0.0, metavar="S", help="look every S seconds (default: 0, every frame)"
    )
    parser.add_argument(
        "--hold-s", type=float, default=0.0, metavar="S", help="an answer must hold this long (default: 0)"
    )
    parser.add_argument(
        "--hold-frames", type=int, default=1, metavar="N", help="… and this many answers in a row (default: 1)"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="P", help="below it the answer is unknown (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per event, and one for the summary")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replay a recording."""
    from edge import camera as cameras
    from edge.observer import Lookout, Observer

    if not arguments.clip:
        raise UsageError("CLIP is empty; give a video file or a folder of pictures")
    if re.search(r"[\x00-\x1f\x7f]", arguments.clip) or not is_utf8(arguments.clip):
        raise UsageError(f"{arguments.clip}: has control characters in its name, or is not UTF-8; rename it")
    camera_config = CameraConfig(source=arguments.clip, pace="fast")
    if arguments.clip.startswith("scene:") or not camera_config.is_recording:
        raise UsageError(f"{arguments.clip}: not a recording; replay takes a video file or a folder of pictures")
    cameras.warm_up()
    watches = _configured(arguments) if arguments.config else [_described(arguments)]
    report = Report(time.perf_counter, as_json=arguments.json, several=len(watches) > 1)
    with cameras.Camera("replay", camera_config) as camera:
        camera.start()
        with Observer(
            [Lookout(camera, watches, recorded=True)],
            on_answer=lambda answer: report.add(cast("Answer", answer)),
            on_status=lambda *_: None,
            clock=time.monotonic,
        ) as observer:
            observer.run()
        report.finish(frames=camera.status.delivered, damaged=camera.status.damaged)
    return 0


def _described(arguments: argparse.Namespace) -> Watch:
    """The watch that the options describe."""
    from edge.watch.watch import Watch

    if arguments.model is None:
        raise UsageError("give --model FILE, or --config FILE for the watches of a configuration")
    if arguments.watch:
        raise UsageError("--watch: names a watch of a configuration; give that with --config FILE")
    watch = Watch("replay", _watch_config(arguments), load_model(arguments))
    if watch.embeds:
        raise UsageError(f"{arguments.model}: gives feature vectors, no classes; use embed for pictures")
    return watch


def _configured(arguments: argparse.Namespace) -> list[Watch]:
    """The watches of a configuration, whatever their camera: those that were named, or all that decide.

    A schedule does not count, and who looks on command looks all the time: nobody can be asked at the time of a
    recording.
    """
    from edge.config import load_config
    from edge.lineup import join
    from edge.lineup import load_model as configured
    from edge.model_trial import try_stranger

    given = [f"--{name.replace('_', '-')}" for name, usual in _OPTIONS.items() if getattr(arguments, name) != usual]
    if given:
        raise UsageError(f"{', '.join(given)}: the configuration says that; leave it out, or leave out --config")
    config = load_config(arguments.config)
    for name in arguments.watch or ():
        if name not in config.watches:
            raise UsageError(f"--watch {name}: there is no such watch; {nearest(name, config.watches)}")
    chosen = {
        name: structs.replace(watch, schedule=(), cadence="interval" if watch.cadence == "command" else watch.cadence)
        for name, watch in config.watches.items()
        if name in (arguments.watch or config.watches)
    }
    config = structs.replace(config, watches=chosen)
    models = {}
    for name in {watch.model for watch in chosen.values()}:
        try_stranger(config.models[name])
        models[name] = configured(config.models[name])
    watches = [join(name, config, models[watch.model]) for name, watch in chosen.items()]
    deciding = [watch for watch in watches if not watch.embeds]
    if not deciding or (arguments.watch and deciding != watches):
        raise UsageError(f"{arguments.config}: gives feature vectors, no classes, there; use embed for pictures")
    return deciding


def _watch_config(arguments: argparse.Namespace) -> WatchConfig:
    raw = {
        "camera": "replay",
        "model": "replay",
        "interval_s": arguments.interval_s,
        "hold_s": arguments.hold_s,
        "hold_frames": arguments.hold_frames,
        "min_score": arguments.min_score,
        "roi": list(arguments.roi or (0.0, 0.0, 1.0, 1.0)),
    }
    return convert(raw, WatchConfig, path="", where="the options")


class Report:
    """Prints events as they happen, and what it came to."""

    def __init__(self, clock: Callable[[], float], *, as_json: bool, several: bool) -> None:
        self._clock = clock
        self._as_json = as_json
        self._several = several
        self._answers = 0
        self._events = 0
        self._began_s = 0.0

    def add(self, answer: Answer) -> None:
        """Take in the answer for one frame."""
        self._answers += 1
        if self._answers == 1:
            self._began_s = self._clock()
        if not answer.changed or answer.frame is None:
            return
        self._events += 1
        name = answer.watch.name
        position_s, number = answer.frame.clock_s, answer.frame.number
        if self._as_json:
            score = None if math.isnan(answer.score) else round(answer.score, 6)  # JSON has no word for no number
            event = {"watch": name, "position_s": round(position_s, 3), "frame": number, "label": answer.label,
                     "previous": answer.previous, "score": score}  # fmt: skip
            print_json(event)
        else:
            before = f"{answer.previous} → " if answer.previous else ""
            which = f"{name}: " if self._several else ""
            shown = "" if math.isnan(answer.score) else f"  {answer.score:.2f}"
            reason = f"  ({answer.reason})" if answer.reason else ""
            line = f"{position_s:8.2f} s  frame {number:<6} {which}{before}{answer.label}{shown}{reason}"
            print(one_line(line), flush=True)

    def finish(self, *, frames: int, damaged: int) -> None:
        """Say what it came to, of so many frames that could be read."""
        elapsed_s = self._clock() - self._began_s if self._answers else 0.0
        rate_hz = (self._answers - 1) / elapsed_s if elapsed_s else 0.0
        if self._as_json:
            summary = {
                "frames": frames,
                "answers": self._answers,
                "events": self._events,
                "damaged": damaged,
                "rate_hz": round(rate_hz, 1),
            }
            print_json({"summary": summary})
            return
        left_out = f", {damaged} damaged ones left out" if damaged else ""
        print(f"{frames} frames{left_out}, {self._answers} answers, {self._events} events; {rate_hz:.0f} answers/s")
