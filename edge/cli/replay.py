"""``sightpost replay``: what a watch would have said of a recording, every frame of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast

from edge.cli.options import add_model_options, load_model, parse_roi
from edge.config import CameraConfig, WatchConfig
from edge.errors import UsageError, one_line
from edge.strict import convert

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from edge.cli.options import Commands
    from edge.watch.outcome import Answer


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help="answer for a recording, every frame",
        description="Run a video file or picture folder through the same path as a camera and print the events.",
        epilog="example: sightpost replay yard.mp4 --model gate.tflite --hold-s 1",
    )
    parser.add_argument("clip", metavar="CLIP", help="video file or folder of pictures")
    add_model_options(parser)
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
    from edge.watch.watch import Watch

    if not arguments.clip:
        raise UsageError("CLIP is empty; give a video file or a folder of pictures")
    camera_config = CameraConfig(source=arguments.clip, pace="fast")
    if arguments.clip.startswith("scene:") or not camera_config.is_recording:
        raise UsageError(f"{arguments.clip}: not a recording; replay takes a video file or a folder of pictures")
    cameras.warm_up()
    watch = Watch("replay", _watch_config(arguments), load_model(arguments))
    if watch.embeds:
        raise UsageError(f"{arguments.model}: gives feature vectors, no classes; use embed for pictures")
    report = Report(time.perf_counter, as_json=arguments.json)
    with cameras.Camera("replay", camera_config) as camera:
        camera.start()
        lookout = Lookout(camera, [watch], recorded=True)
        with Observer(
            [lookout],
            on_answer=lambda answer: report.add(cast("Answer", answer)),
            on_status=lambda *_: None,
            clock=time.monotonic,
        ) as observer:
            observer.run()
        report.finish(skipped=camera.status.damaged)
    return 0


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

    def __init__(self, clock: Callable[[], float], *, as_json: bool) -> None:
        self._clock = clock
        self._as_json = as_json
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
        position_s, number = answer.frame.clock_s, answer.frame.number
        if self._as_json:
            event = {"position_s": round(position_s, 3), "frame": number, "label": answer.label,
                     "previous": answer.previous, "score": round(answer.score, 6)}  # fmt: skip
            print(json.dumps(event, ensure_ascii=False), flush=True)
        else:
            before = f"{answer.previous} → " if answer.previous else ""
            line = f"{position_s:8.2f} s  frame {number:<6} {before}{answer.label}  {answer.score:.2f}"
            print(one_line(line), flush=True)

    def finish(self, *, skipped: int) -> None:
        """Say what it came to."""
        elapsed_s = self._clock() - self._began_s if self._answers else 0.0
        rate_hz = (self._answers - 1) / elapsed_s if elapsed_s else 0.0
        if self._as_json:
            summary = {
                "frames": self._answers,
                "events": self._events,
                "damaged": skipped,
                "rate_hz": round(rate_hz, 1),
            }
            print(json.dumps({"summary": summary}))
            return
        damaged = f", {skipped} damaged ones left out" if skipped else ""
        print(f"{self._answers} frames, {self._events} events{damaged}; {rate_hz:.0f} frames/s")
