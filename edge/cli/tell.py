"""``sightpost tell``: have a device do something now."""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.frame import print_json
from edge.cli.options import device_id, seconds
from edge.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from edge.cli.options import Commands
    from edge.config import Config
    from edge.messages import Topics

_EXAMPLES = """examples:
  sightpost tell porch look gate --config edge.toml
  sightpost tell porch interval gate interval_s=0.5 --config edge.toml
  sightpost tell porch reload --config edge.toml

The device does only what commands.allow in its own configuration says."""
_TICK_S = 1.0


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "tell",
        help="have a device do something now, over MQTT",
        description="Send a command through the broker of a configuration, wait for the answer and print it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("device", type=device_id, metavar="DEVICE", help="its device.id")
    parser.add_argument("name", metavar="COMMAND", help="look, snapshot, pause, resume, interval, teach or reload")
    parser.add_argument("words", nargs="*", metavar="WATCH | KEY=VALUE", help="which watch, and what else it takes")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="names the broker, e.g. edge.toml")
    parser.add_argument(
        "--timeout-s", type=seconds(0, 3600), default=15.0, metavar="S", help="how long to wait (default: 15)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the answer as JSON."""
    from edge.commands.requests import BODIES, WITHOUT_WATCH, CommandError, parse
    from edge.config import load_config
    from edge.messages import Topics

    config = load_config(arguments.config)
    watches = [word for word in arguments.words if "=" not in word]
    if len(watches) > 1:
        raise UsageError(f"one watch at a time, not {' and '.join(watches)}")
    body = {"id": f"tell-{random.randrange(16**12):012x}"} | dict(map(_pair, arguments.words[len(watches) :]))  # noqa: S311  no secret
    tail = "/".join((arguments.name, *watches))
    if not watches and arguments.name in BODIES.keys() - WITHOUT_WATCH:
        wanted = f"sightpost tell {arguments.device} {arguments.name} WATCH"
        raise UsageError(f"{arguments.name} needs a watch: {wanted}, and its KEY=VALUE after that")
    parse(tail, json.dumps(body).encode())  # what the device would refuse is refused here
    reply = _ask(config, Topics(config.mqtt.topic_prefix, arguments.device), tail, body, arguments.timeout_s)
    if not reply["ok"]:
        raise CommandError(f"{arguments.device}: {reply['error']}")
    print_json(reply["result"])
    return 0


def _pair(word: str) -> tuple[str, Any]:
    key, separator, value = word.partition("=")
    if not separator:
        raise UsageError(f"{word!r}: the watch comes first, then KEY=VALUE")
    if key == "label":
        return key, value  # any text, and needs no quotes even where it is a number
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def _ask(config: Config, topics: Topics, tail: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    from edge.publisher import advice
    from edge.publisher.connector import Connector
    from edge.publisher.session import Notice
    from edge.waker import Waker

    waker = Waker()
    session = Connector(config.mqtt, str(body["id"]), waker).connect(will=None)
    try:
        session.subscribe(topics.reply)
        session.publish(Notice(topics.command(tail), json.dumps(body).encode()))
        deadline_s = time.monotonic() + timeout_s
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            for ack in session.step(min(remaining_s, _TICK_S)):
                if ack.refusal is not None:
                    raise BrokerError(f"the broker does not let us tell {topics.device} anything: {ack.refusal}")
            for denied in session.denied():
                raise BrokerError(advice.not_allowed(config.mqtt, "hear", denied, "subscription refused"))
            for heard in session.heard():
                reply = _read(heard.payload)
                if reply.get("id") == body["id"]:
                    return reply
    finally:
        session.close()
        waker.close()
    raise BrokerError(
        f"{topics.device} does not answer within {timeout_s:g} s: is it online (sightpost listen), and does its "
        "configuration allow any commands?"
    )


def _read(payload: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}
