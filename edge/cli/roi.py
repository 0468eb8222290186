"""``sightpost roi``: a picture of what the watches of a camera look at, so that a person sees what was configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.looking import frames_of, onlooker
from edge.cli.options import seconds
from edge.errors import PictureError, UsageError, one_line
from edge.strict import nearest

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from edge.cli.options import Commands
    from edge.config import CameraConfig, Config
    from edge.frame import Image
    from edge.watch.region import Region
    from edge.watch.region_drawing import Heat


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "roi",
        help="draw the regions that watches look at",
        description="Take a picture with a camera and draw the regions of its watches on it, numbered and named. With "
        "--motion look for some seconds and paint what differed from the first picture: red is at the threshold, and "
        "what lies above it is outlined.",
        epilog="example: sightpost roi --camera yard --config edge.toml --out roi.jpg",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument("--camera", required=True, metavar="NAME", help="which of its cameras")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the picture to write: .jpg or .png")
    parser.add_argument(
        "--cut", type=Path, metavar="FOLDER", help="also write what each watch sees, as FOLDER/WATCH.png"
    )
    parser.add_argument("--motion", type=seconds(0, 3600), metavar="S", help="look for S seconds, and paint what moved")
    parser.add_argument("--json", action="store_true", help="one JSON object per region")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw the regions."""
    from edge import camera as cameras
    from edge.config import load_config
    from edge.watch.region_drawing import draw_regions

    config = load_config(arguments.config)
    camera = config.cameras.get(arguments.camera)
    if camera is None:
        known = nearest(arguments.camera, list(config.cameras))
        raise UsageError(f"--camera {arguments.camera}: there is no such camera in {arguments.config}; {known}")
    regions = _regions(config, arguments.camera)
    cameras.warm_up()
    image, heats = _look(arguments.camera, camera, regions, config, for_s=arguments.motion or 0.0)
    if arguments.cut:
        for name, region in regions:
            _write(arguments.cut / f"{name}.png", region.cut(image))
    plain = image.copy()
    for heat in heats.values():
        heat.paint(image)
    _write(arguments.out, draw_regions(image, regions))
    for number, (name, region) in enumerate(regions, 1):
        _say(number, name, region, plain, heats.get(name), as_json=arguments.json)
    return 0


def _regions(config: Config, camera: str) -> list[tuple[str, Region]]:
    from edge.watch.region import Region

    found = [(name, Region.of(name, watch)) for name, watch in config.watches.items() if watch.camera == camera]
    if not found:
        raise UsageError(f"--camera {camera}: no watch looks through it, so there is nothing to draw")
    return found


def _look(
    name: str, camera_config: CameraConfig, regions: list[tuple[str, Region]], config: Config, *, for_s: float
) -> tuple[Image, dict[str, Heat]]:
    """The last frame, and what has moved up to it."""
    from edge.watch.region_drawing import Heat

    heats = {watch: Heat(region, config.watches[watch].motion) for watch, region in regions} if for_s else {}
    with onlooker(name, camera_config) as camera:
        began_s: float | None = None
        for frame in frames_of(camera, camera_config):
            began_s = frame.clock_s if began_s is None else began_s
            for heat in heats.values():
                heat.add(frame.image)
            image = frame.image.copy()
            if frame.clock_s - began_s >= for_s:
                break
    return image, heats


def _say(number: int, name: str, region: Region, image: Image, heat: Heat | None, *, as_json: bool) -> None:
    corners = region.corners_px(image)
    if as_json:
        fields: dict[str, Any] = {"number": number, "watch": name, "corners_px": corners}
        if heat is not None:
            fields |= {"moved": round(heat.area, 4), "area": heat.config.area, "opens": heat.opens}
        print(json.dumps(fields), flush=True)
        return
    words = f"{number:>3}  {name:<16} {' '.join(f'{x},{y}' for x, y in corners)} px"
    if heat is not None:
        verdict = "the gate opens" if heat.opens else "the gate stays shut"
        words += (
            f"; {100 * heat.area:.2f} % differ by more than {heat.config.threshold} levels, "
            f"{100 * heat.config.area:g} % are needed: {verdict}"
        )
    print(one_line(words), flush=True)


def _write(path: Path, image: Image) -> None:
    import cv2

    if path.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
        raise UsageError(f"{path}: give the picture a name that ends with .jpg or .png")
    done, encoded = cv2.imencode(path.suffix, image)
    if not done:
        height, width = image.shape[:2]
        raise PictureError(f"{path}: a JPEG cannot hold {width}x{height} pixels; give a name that ends with .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror or error}") from error
