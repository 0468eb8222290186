"""``sightpost samples``: the pictures that a watch has kept, as a table that ``sightpost-train`` reads."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.cli.frame import complain
from edge.errors import PictureError, UsageError, one_line
from edge.strict import is_utf8, nearest

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "samples",
        help="list the pictures kept for the next training",
        description="Write a table of the pictures that a watch has kept, with the model's answers as labels: "
        "correct those that are wrong, and train with it.",
        epilog="example: sightpost samples gate --config edge.toml --out samples.csv",
    )
    parser.add_argument("watch", metavar="WATCH", help="which watch")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.csv", help="the table (default: samples.csv in the folder of the pictures)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the table."""
    from edge.config import load_config
    from edge.sampling import FOLDER

    config = load_config(arguments.config)
    if arguments.watch not in config.watches:
        raise UsageError(f"{arguments.watch}: there is no such watch; {nearest(arguments.watch, list(config.watches))}")
    folder = Path(config.device.state_dir) / FOLDER / arguments.watch
    paths = _pictures(folder)
    if not paths:
        raise UsageError(f"{folder}: no pictures yet; does the watch have [watches.{arguments.watch}.samples]?")
    out = arguments.out or folder / "samples.csv"
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("path", "label"))
            for path in paths:
                table.writerow((_seen_from(out.parent, path), _label(_beside(path))))
    except OSError as error:
        raise PictureError(f"{out}: cannot be written: {error.strerror or error}") from error
    print(one_line(f"{out}: {len(paths)} pictures; correct the labels that are wrong, then train with it"))
    return 0


def _pictures(folder: Path) -> list[Path]:
    """Those that are there, whose names a table can hold."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".jpg")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PictureError(f"{folder}: cannot be read: {error.strerror or error}") from error
    strange = [path for path in found if not is_utf8(path.name)]
    for path in strange:
        complain("sightpost", f"{path}: left out: its name is not UTF-8; rename it")
    return [path for path in found if path not in strange]


def _label(fields: dict[str, Any]) -> str:
    """One or several names, or nothing where none of them is to be seen, as the trainer reads it."""
    labels = fields.get("labels")
    return "|".join(map(str, labels)) if isinstance(labels, list) else str(fields.get("label", ""))


def _beside(path: Path) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(path.with_suffix(".json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _seen_from(folder: Path, path: Path) -> str:
    try:
        return str(path.resolve().relative_to(folder.resolve()))
    except ValueError:
        return str(path.resolve())
