"""``sightpost run``: the daemon."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="look, decide and publish until stopped",
        description="Run the appliance: cameras, watches, outbox and MQTT, until SIGTERM or Ctrl-C. "
        "SIGHUP has the configuration read anew.",
        epilog="example: sightpost run --config /etc/sightpost/edge.toml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped."""
    gc.disable()  # loading makes no garbage, and searching for some takes a seventh of its time
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # starting them takes longer than all that NumPy does here
    from edge.zygote import warm_up

    warm_up()  # what cameras are forked from loads OpenCV while this process loads the rest
    import logging

    from edge.config import load_config

    config = load_config(arguments.config)
    # The journal stamps lines itself; a person at a terminal wants to see the time.
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=arguments.log_level.upper(), format=f"{stamp}%(levelname)s %(message)s", stream=sys.stderr
    )
    from edge.daemon import Daemon, heed_signals
    from edge.health import Notifier

    daemon = Daemon(config, Notifier(os.environ), read=lambda: load_config(arguments.config))
    heed_signals(daemon)
    gc.freeze()  # what is loaded stays
    gc.enable()
    daemon.run()
    return 0
