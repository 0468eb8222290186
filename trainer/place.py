"""Where training runs. A recipe holds on every machine; where it is trained is said beside it, with ``--distribute``.

- ``none``: one device.
- ``mirrored``: all GPUs of this machine (TensorFlow's ``MirroredStrategy``).
- ``auto``: ``mirrored`` where there are several GPUs, else ``none``.
- ``HOST:PORT,RANK,COUNT``: COUNT processes, on as many machines as you like, of which this is number RANK; they meet at
  HOST:PORT, where process 0 listens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge.errors import UsageError
from trainer.team import ALONE, Team

if TYPE_CHECKING:
    import argparse

_CLUSTER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:/\[\]]+):(\d{1,5}),(\d{1,4}),(\d{1,4})")
_PORTS = range(1, 65536)
_WORDS: tuple[Literal["none", "auto", "mirrored"], ...] = ("none", "auto", "mirrored")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to train, and which of the processes that train this is.

    Attributes:
        devices: of this process, as above.
        address: ``host:port`` where the processes meet; empty without others.
        rank: the number of this process; process 0 makes the model file.
        count: processes in all.
    """

    devices: Literal["none", "auto", "mirrored"] = "auto"
    address: str = ""
    rank: int = 0
    count: int = 1


def add_distribute(parser: argparse.ArgumentParser) -> None:
    """The option of a command that trains."""
    parser.add_argument(
        "--distribute",
        default="auto",
        metavar="WHERE",
        help="none, mirrored (all GPUs here), auto (mirrored where there are several), or HOST:PORT,RANK,COUNT: the "
        "same command on COUNT machines, RANK 0 on HOST (see docs/scale.md; default: auto)",
    )


def parse_place(text: str) -> Place:
    """What a person wrote.

    Raises:
        UsageError: not one of the forms.
    """
    for word in _WORDS:
        if text == word:
            return Place(word)
    found = _CLUSTER.fullmatch(text)
    if found is None or int(found[2]) not in _PORTS:
        raise UsageError(
            f"--distribute {text}: give none, mirrored, auto, or HOST:PORT,RANK,COUNT such as 10.0.0.5:9876,0,2"
        )
    rank, count = int(found[3]), int(found[4])
    if not rank < count:
        raise UsageError(f"--distribute {text}: of {count} processes the ranks are 0 to {count - 1}")
    return Place(address=f"{found[1]}:{found[2]}", rank=rank, count=count)


def local_team(place: Place) -> Team:
    """The devices of this machine that train together, with TensorFlow.

    Raises:
        UsageError: there is nothing here to mirror on.
    """
    if place.devices == "none":
        return ALONE
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    if place.devices == "auto" and len(devices) <= 1:
        return ALONE
    devices = devices or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        raise UsageError("--distribute mirrored: TensorFlow sees one device here; leave it out")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Team(devices=len(devices), scope=strategy.scope)
