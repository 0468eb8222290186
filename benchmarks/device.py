"""How near the device comes to the bare interpreter, and how far others are, in one interleaved run.

    python benchmarks/device.py                                   # the clips and models of SIGHTPOST_DATA
    python benchmarks/device.py --seconds 10 --rounds 5 --only 360p
    python benchmarks/device.py --mediapipe /path/to/venv/bin/python

``limit`` is an interpreter that does nothing else, ``limit2`` two of them in two threads. ``sightpost`` is the daemon
as installed: it decodes a looped clip, crops, resizes, answers, decides, commits every answer to the outbox and sends
it with QoS 1 to a real mosquitto, where a subscriber counts. ``naive`` is the loop of tutorials (read, resize, invoke,
publish and wait), ``plain`` a program of three threads without our guarantees, which shows what is to be had on this
machine, ``mediapipe`` its ImageClassifier. Each gets its turn in every round; figures are medians of the rounds, ratios
those of the same round. Clips of other sizes are made with ffmpeg, where that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from publishing import Broker
from rich.console import Console
from rich.table import Table

DATA = Path(os.environ.get("SIGHTPOST_DATA", Path(__file__).parents[2] / "shared" / "data"))
CLIP = DATA / "clips" / "bottle-detection_first810.mp4"
MODELS = {
    "V2 1.0 224": DATA / "models" / "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "V1 .25 128": DATA / "models" / "mobilenet_v1_0.25_128_quant.tflite",
}
LABELS = DATA / "models" / "imagenet_labels.txt"
CONTENDERS = Path(__file__).with_name("device_contenders.py")
SIZES = {"360p": None, "720p": "1280:720", "1080p": "1920:1080"}
CASES = (("V2 1.0 224", "360p"), ("V2 1.0 224", "720p"), ("V2 1.0 224", "1080p"), ("V1 .25 128", "360p"))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contender did in one round: answers a second, milliseconds of processor time for each, and memory."""

    rate_hz: float
    cpu_ms: float
    memory_mb: float


def main() -> None:
    """Run what was asked for and print a table for each clip and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each turn is (default: 6)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SIZES, help="one size of clip")
    parser.add_argument(
        "--contenders", nargs="*", default=["limit", "limit2", "sightpost", "sightpost2", "plain", "naive"]
    )
    parser.add_argument("--mediapipe", type=Path, help="a Python that has mediapipe and paho-mqtt")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    arguments = parser.parse_args()
    names = [*arguments.contenders, *(["mediapipe"] if arguments.mediapipe else [])]
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder))
        broker = Broker(Path(folder))
        broker.start()
        try:
            for model, size in CASES:
                if size in clips and arguments.only in (None, size):
                    case = [
                        {name: turn(name, MODELS[model], clips[size], broker.port, arguments) for name in names}
                        for _ in range(arguments.rounds)
                    ]
                    show(f"{model} on {size}", case, as_json=arguments.json)
        finally:
            broker.stop()


def make_clips(folder: Path) -> dict[str, Path]:
    """The clip in other sizes: H.264 with a key frame each second, and noise, which a real camera has."""
    clips = {"360p": CLIP}
    if shutil.which("ffmpeg") is None:
        print("skipped: no ffmpeg here, so there are no clips of 720p and 1080p", file=sys.stderr)
        return clips
    for size, scale in SIZES.items():
        if scale is not None:
            clips[size] = folder / f"{size}.mp4"
            command = [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                str(CLIP),
                "-t",
                "10",
                "-vf",
                f"scale={scale},noise=alls=6:allf=t",
            ]
            command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-g", "30", str(clips[size])]
            subprocess.run(command, check=True)
    return clips


def turn(name: str, model: Path, clip: Path, port: int, arguments: argparse.Namespace) -> Turn:
    """Let a contender run in a process of its own."""
    python = arguments.mediapipe if name == "mediapipe" else sys.executable
    done = subprocess.run(
        [python, CONTENDERS, name, model, LABELS, clip, str(port), str(arguments.seconds)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return Turn(**json.loads(done.stdout.splitlines()[-1]))


def show(title: str, case: list[dict[str, Turn]], *, as_json: bool) -> None:
    """Print the medians of a case, and each contender's share of the limit of its round."""
    rows = {}
    for name in case[0]:
        turns = [turns[name] for turns in case]
        row = {"rate_hz": statistics.median(turn.rate_hz for turn in turns)}
        row |= {"cpu_ms": statistics.median(turn.cpu_ms for turn in turns)}
        row |= {"memory_mb": statistics.median(turn.memory_mb for turn in turns)}
        for limit in ("limit", "limit2"):
            if limit in case[0]:
                shares = [turns[name].rate_hz / turns[limit].rate_hz for turns in case]
                row[f"of_{limit}"] = statistics.median(shares)
        rows[name] = {key: round(value, 3) for key, value in row.items()}
    if as_json:
        print(json.dumps({"case": title, "contenders": rows}), flush=True)
        return
    table = Table(title=f"{title}, {len(case)} rounds")
    for heading in ("", "answers/s", "of limit", "of limit2", "CPU ms/answer", "PSS MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in rows.items():
        figures = [
            f"{row['rate_hz']:.0f}",
            *(f"{row.get(f'of_{limit}', float('nan')):.2f}" for limit in ("limit", "limit2")),
        ]
        table.add_row(name, *figures, f"{row['cpu_ms']:.2f}", f"{row['memory_mb']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
