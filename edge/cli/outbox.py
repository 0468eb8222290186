"""``sightpost outbox``: what waits for the broker: look at it, carry it away, throw it away."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from edge.cli.options import Commands
    from edge.config import Config
    from edge.outbox.opening import OpenStore
    from edge.outbox.reader import DeadLetter, Reader
    from edge.record import Record

_EXAMPLES = """examples:
  sightpost outbox status --config /etc/sightpost/edge.toml
  sightpost outbox export --config /etc/sightpost/edge.toml --to /media/usb
  sightpost outbox export --config /etc/sightpost/edge.toml --to /media/usb --mark-delivered
  sightpost outbox purge --config /etc/sightpost/edge.toml --dead-letters --yes

status and export may be used while the daemon runs. What changes the outbox needs it stopped."""


def add_to(commands: Commands) -> None:
    """Add the command and its three actions to the parser."""
    parser = commands.add_parser(
        "outbox",
        help="see, carry away or remove what waits for the broker",
        description="What waits for the broker: look at it, carry it away on a USB stick, or remove it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "status", "how much waits, was delivered, refused, lost", status)
    export_parser = _action(actions, "export", "write what waits to a file, one JSON object per line", export)
    export_parser.add_argument(
        "--to", type=Path, required=True, metavar="PATH", help="a new file, or a folder, e.g. a USB stick"
    )
    export_parser.add_argument(
        "--mark-delivered", action="store_true", help="count as delivered what was exported: it is not sent any more"
    )
    purge_parser = _action(actions, "purge", "remove what waits; subscribers are told how much was lost", purge)
    purge_parser.add_argument("--yes", action="store_true", help="really do it")
    for each in (export_parser, purge_parser):
        each.add_argument("--dead-letters", action="store_true", help="what brokers refused, instead of what waits")


def _action(actions: Commands, name: str, what: str, run: Any) -> argparse.ArgumentParser:  # noqa: ANN401  as argparse has it
    parser = actions.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, e.g. edge.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    parser.set_defaults(run=run)
    return parser


def status(arguments: argparse.Namespace) -> int:
    """Count what is there."""
    import msgspec

    from edge.messages import utc
    from edge.outbox.inspection import summarize

    config, path = _where(arguments)
    summary = summarize(path)
    ledger = summary.ledger
    if arguments.json:
        fields = {"file": str(path), **msgspec.structs.asdict(summary), "ledger": msgspec.structs.asdict(ledger)}
        print(json.dumps(fields))
        return 0
    share = ledger.pending_bytes / config.outbox.max_bytes
    lost = [f"{count} {cause}" for cause, count in ledger.dropped().items() if count]
    print(f"{path}: {'in use by the daemon' if summary.in_use else 'no daemon is using it'}")
    print(
        f"waiting       {ledger.pending} events, {ledger.pending_bytes / 1e6:.1f} MB ({share:.0%} of what is allowed)"
    )
    print(f"oldest        {'-' if summary.oldest_s is None else utc(summary.oldest_s)}")
    print(f"delivered     {ledger.delivered} events")
    print(f"lost          {', '.join(lost) if lost else 'nothing'}")
    print(f"dead letters  {summary.dead_letters} (refused so far: {ledger.refused})")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write what waits, or the dead letters, to a file, and perhaps settle it."""
    from edge.outbox import export as exporting
    from edge.outbox.inspection import looking_into, settle

    config, path = _where(arguments)
    read: Callable[[Reader], Iterator[Record | DeadLetter]]
    read = exporting.dead_letters if arguments.dead_letters else exporting.events
    target = _target(arguments.to, config.device.id, "dead-letters" if arguments.dead_letters else "outbox")
    settled = 0
    if arguments.mark_delivered:
        with _working_on(path, config, "mark what is exported as delivered") as opened:
            exported = exporting.write(read(opened.reader), target)
            if arguments.dead_letters:
                settled = opened.store.forget_dead_letters(exported.last)
            else:
                settled = settle(opened, until=exported.last)
    else:
        with looking_into(path) as reader:
            exported = exporting.write(read(reader), target)
    if arguments.json:
        fields = {"file": str(target), "messages": exported.lines, "bytes": exported.size_bytes, "settled": settled}
        print(json.dumps(fields))
        return 0
    print(f"{target}: {exported.lines} messages, {exported.size_bytes / 1e6:.1f} MB, on the disk and read back")
    if arguments.mark_delivered:
        print(f"{settled} of them will not be sent any more")
    return 0


def purge(arguments: argparse.Namespace) -> int:
    """Remove what waits, or the dead letters."""
    from edge.outbox.inspection import purge as purge_events

    config, path = _where(arguments)
    what = "dead letters" if arguments.dead_letters else "waiting events"
    if not arguments.yes:
        raise UsageError(f"this removes the {what} for ever, unless you export them first; add --yes to do it")
    with _working_on(path, config, f"remove the {what}") as opened:
        removed = opened.store.forget_dead_letters(2**62) if arguments.dead_letters else purge_events(opened)
    if arguments.json:
        print(json.dumps({"removed": removed}))
        return 0
    print(f"{removed} {what} removed" + ("" if arguments.dead_letters else "; subscribers will be told"))
    return 0


def _where(arguments: argparse.Namespace) -> tuple[Config, Path]:
    from edge.config import load_config
    from edge.daemon import OUTBOX_FILE

    config = load_config(arguments.config)
    return config, Path(config.device.state_dir) / OUTBOX_FILE


def _working_on(path: Path, config: Config, what: str) -> AbstractContextManager[OpenStore]:
    from edge.outbox.batch import Limits, Sources
    from edge.outbox.inspection import working_on

    limits = Limits(config.outbox.max_bytes, config.outbox.max_age_s)
    return working_on(path, limits, Sources(time.time, time.monotonic, os.urandom), what=what)


def _target(to: Path, device: str, what: str) -> Path:
    return to / f"{device}-{what}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl" if os.path.isdir(to) else to  # noqa: PTH112  refusals are no
