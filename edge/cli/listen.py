"""``sightpost listen``: what a device says, for people."""

from __future__ import annotations

import argparse
import base64
import itertools
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.cli.frame import print_json
from edge.cli.options import device_id, whole
from edge.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.cli.options import Commands
    from edge.config import Config
    from edge.messages import Topics
    from edge.publisher.session import Heard

_EXAMPLES = """examples:
  sightpost listen --config /etc/sightpost/edge.toml
  sightpost listen --config edge.toml --device porch
  sightpost listen --config edge.toml --json | jq .payload.label"""
COUNT_MAX = 10**9
_PAUSE_S = 1.0
_TICK_S = 1.0


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "listen",
        help="print what a device says over MQTT",
        description="Connect to the broker of a configuration and print what the device says, until Ctrl-C.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument(
        "--device", type=device_id, metavar="ID", help="another device of the same broker (default: device.id)"
    )
    parser.add_argument("--count", type=whole(1, COUNT_MAX), metavar="N", help="end after so many messages")
    parser.add_argument("--json", action="store_true", help="raw: one JSON object for each message")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Listen until interrupted; a broker that goes away is waited for, one that was never there is an error."""
    from edge.config import load_config
    from edge.messages import Topics
    from edge.spoken import line

    config = load_config(arguments.config)
    topics = Topics(config.mqtt.topic_prefix, arguments.device or config.device.id)
    messages = _messages(config, topics)
    for heard in messages if arguments.count is None else itertools.islice(messages, arguments.count):
        if arguments.json:
            print_json(_raw(heard))
        else:
            print(line(topics, heard.topic, heard.payload, retained=heard.retained), flush=True)
    return 0


def _messages(config: Config, topics: Topics) -> Iterator[Heard]:
    from edge.publisher import advice
    from edge.publisher.connector import Connector
    from edge.waker import Waker

    waker = Waker()
    connector = Connector(config.mqtt, f"sightpost-listen-{random.randrange(16**8):08x}", waker)  # noqa: S311  no secret
    before = False
    try:
        while True:
            try:
                session = connector.connect(will=None)
                before = True
                try:
                    session.subscribe(f"{topics.prefix}/{topics.device}/#")
                    while True:
                        session.step(_TICK_S)
                        for denied in session.denied():
                            before = False  # waiting would not help
                            raise BrokerError(advice.not_allowed(config.mqtt, "hear", denied, "subscription refused"))
                        yield from session.heard()
                finally:
                    session.abort()
            except BrokerError as error:
                if not before:
                    raise
                print(f"{error}; waiting for it", file=sys.stderr, flush=True)
                time.sleep(_PAUSE_S)
    finally:
        waker.close()


def _raw(heard: Heard) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(heard.payload)
    except (ValueError, RecursionError):
        payload = None
    fields = {"topic": heard.topic, "retained": heard.retained, "payload": payload}
    if payload is None and heard.payload:
        fields["payload_base64"] = base64.b64encode(heard.payload).decode("ascii")
    return fields
