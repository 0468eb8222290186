"""``sightpost schema``: the configuration, described for editors."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edge.cli.frame import print_json

if TYPE_CHECKING:
    from edge.cli.options import Commands

_EXAMPLES = """example:
  sightpost schema > edge.schema.json
and as the first line of edge.toml, for editors that know Taplo (Visual Studio Code: "Even Better TOML"):
  #:schema ./edge.schema.json"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "schema",
        help="print a JSON Schema of the configuration, for editors",
        description="Print a JSON Schema of edge.toml, with which an editor completes keys and marks mistakes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print it."""
    from edge.config.schema import config_schema

    print_json(config_schema(), indent=2)
    return 0
