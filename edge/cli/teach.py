"""``sightpost teach``: show a watch of kind ``teach`` what its classes look like."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.options import seconds, whole
from edge.errors import PictureError, UsageError, one_line
from edge.strict import nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from edge.cli.options import Commands
    from edge.config import Config
    from edge.frame import Image
    from edge.model import Model
    from edge.watch.lessons import Lessons

SHOTS_LIMIT = 200


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "teach",
        help="teach a watch a class by a few pictures",
        description="Take some pictures of what a watch of kind 'teach' sees, from its camera or from files, and keep "
        "their feature vectors under a label. A daemon that runs answers with it at once. Without --label it says what "
        "is known.",
        epilog="example: sightpost teach gate --label open --shots 10 --config edge.toml",
    )
    parser.add_argument("watch", metavar="WATCH", help="which watch")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--label", metavar="LABEL", help="what is to be seen")
    what.add_argument("--forget", metavar="LABEL", help="forget a label")
    parser.add_argument(
        "--shots", type=whole(1, SHOTS_LIMIT), default=10, metavar="N", help="pictures to take (default: 10)"
    )
    parser.add_argument(
        "--every-s", type=seconds(0, 3600), default=0.5, metavar="S", help="take one every S seconds (default: 0.5)"
    )
    parser.add_argument(
        "--pictures",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="picture files or folders of them, instead of the camera",
    )
    parser.add_argument("--cut", action="store_true", help="the pictures show the watch's region alone")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Teach, forget, or say what is known."""
    from edge.config import load_config
    from edge.lineup import load_model
    from edge.model_trial import try_stranger
    from edge.runtime import EMBEDDING
    from edge.watch.lessons import Lessons, lessons_path
    from edge.watch.region import Region

    _require_sense(arguments)
    config = load_config(arguments.config)
    watch = config.watches.get(arguments.watch)
    if watch is None or watch.kind != "teach":
        known = [name for name, each in config.watches.items() if each.kind == "teach"]
        hint = nearest(arguments.watch, known) if known else 'give a watch kind = "teach"'
        raise UsageError(f"{arguments.watch}: no watch of kind 'teach' in {arguments.config}; {hint}")
    try_stranger(config.models[watch.model])
    model = load_model(config.models[watch.model])
    if EMBEDDING not in model.engine.outputs:
        raise UsageError(f"{model.file.path}: gives no feature vectors; use a model of kind 'embed'")
    lessons = Lessons(lessons_path(config.device.state_dir, arguments.watch), model)
    if arguments.forget is not None:
        return _forget(lessons, arguments.forget)
    if arguments.label is None:
        return _tell(lessons)
    region = Region.of(arguments.watch, watch)
    vectors = []
    for image in _images(arguments, config, watch.camera):
        vectors.append(_vector(model, image if arguments.cut else region.cut(image)))
        if sys.stderr.isatty():
            print(f"\r{len(vectors)} of {arguments.shots}", end="", file=sys.stderr, flush=True)
    if not vectors:
        raise UsageError("there was no picture to learn from")
    count = lessons.add(arguments.label, vectors)
    print(one_line(f"{arguments.label}: {len(vectors)} pictures learnt, {count} in all"))
    return _tell(lessons)


def _require_sense(arguments: argparse.Namespace) -> None:
    from edge.watch.lessons import fault_of

    if arguments.forget is not None and arguments.pictures:
        raise UsageError("--forget takes no --pictures: all that was learnt under the label goes")
    if arguments.pictures and arguments.label is None:
        raise UsageError("--pictures: say with --label what is to be seen on them")
    if arguments.label is not None and (fault := fault_of(arguments.label)) is not None:
        raise UsageError(f"--label {arguments.label!r} {fault}; take another word")


def _images(arguments: argparse.Namespace, config: Config, camera: str) -> Iterator[Image]:
    if arguments.pictures:
        return _from_files(arguments.pictures)
    return _from_camera(config, camera, arguments.shots, arguments.every_s)


def _from_files(paths: list[Path]) -> Iterator[Image]:
    """All of them, however many; one that cannot be read is told and left out."""
    from edge.preprocess import PICTURE_SUFFIXES, read_picture

    for path in paths:
        inside = (
            sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES)
            if path.is_dir()
            else [path]
        )
        for picture in inside:
            try:
                yield read_picture(picture)
            except PictureError as error:
                print(f"sightpost: {one_line(str(error))}", file=sys.stderr)


def _from_camera(config: Config, name: str, shots: int, every_s: float) -> Iterator[Image]:
    from edge import camera as cameras
    from edge.cli.looking import frames_of, onlooker

    cameras.warm_up()
    with onlooker(name, config.cameras[name]) as camera:
        taken, next_s = 0, 0.0
        for frame in frames_of(camera, config.cameras[name]):
            if taken and frame.clock_s < next_s:
                continue
            next_s = frame.clock_s + every_s
            yield frame.image
            taken += 1
            if taken == shots:
                return


def _vector(model: Model, image: Image) -> npt.NDArray[np.float32]:
    embedding = model.predict(image).embedding
    assert embedding is not None  # noqa: S101  the model has that output
    return embedding


def _forget(lessons: Lessons, label: str) -> int:
    if not lessons.forget(label):
        known = list(lessons.shots())
        raise UsageError(
            f"--forget {label}: there is no such label; {nearest(label, known) if known else 'nothing is taught'}"
        )
    print(one_line(f"{label} is forgotten"))
    return _tell(lessons)


def _tell(lessons: Lessons) -> int:
    shots = lessons.shots()
    if not shots:
        print("nothing is taught yet")
        return 0
    print(one_line("it knows: " + ", ".join(f"{label} ({len(vectors)})" for label, vectors in shots.items())))
    if len(shots) == 1:
        print("teach it a second label: with one alone every picture is that, or unknown")
    return 0
