"""``sightpost``: the device's command line. Each command lies in a module of its own, imported only when it is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

from edge import __version__
from edge.cli.frame import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    "run",
    "replay",
    "classify",
    "embed",
    "check",
    "roi",
    "teach",
    "samples",
    "bench",
    "outbox",
    "listen",
    "tell",
    "schema",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code tells how it went (see ``edge.errors``)."""
    words = sys.argv[1:] if argv is None else argv
    return run_command(build_parser(words[0] if words else ""), argv)


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The command line: of one command, which starts sooner for it, or of all where it names none."""
    parser = argparse.ArgumentParser(
        prog="sightpost",
        description="A camera, a model of your own pictures, and MQTT.",
        epilog="example: sightpost classify photo.jpg --model gate.tflite",
    )
    parser.add_argument("--version", action="version", version=f"sightpost {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (command,) if command in COMMANDS else COMMANDS:
        importlib.import_module(f"edge.cli.{name}").add_to(commands)
    return parser
