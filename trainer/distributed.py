"""Where training runs: on one device, on all GPUs of this machine, or on several machines at once.

A recipe says what a model is and holds on every machine; where it is trained is said beside it, with ``--distribute``
or ``SIGHTPOST_DISTRIBUTE``:

- ``none``: one device.
- ``mirrored``: all GPUs of this machine (TensorFlow's MirroredStrategy).
- ``auto``: ``mirrored`` where there are several GPUs, else ``none``.
- ``jax://HOST:PORT,RANK,COUNT``: COUNT processes, on as many machines as you like, of which this is number RANK; they
  meet at HOST:PORT, which process 0 listens on. Keras' own data parallelism on JAX does the work, because its
  MultiWorkerMirroredStrategy does not run with Keras 3 (keras issue 20585).
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

VARIABLE = "SIGHTPOST_DISTRIBUTE"
_CLUSTER = re.compile(r"jax://(\[[0-9a-fA-F:]+\]|[^\s,:\[\]]+):(\d{1,5}),(\d{1,4}),(\d{1,4})")
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to train.

    Attributes:
        kind: see the module; ``cluster`` is ``jax://…``.
        address: ``host:port`` where the processes of a cluster meet.
        rank: the number of this process, from 0; process 0 writes the model.
        count: processes in all.
    """

    kind: Literal["none", "auto", "mirrored", "cluster"] = "auto"
    address: str = ""
    rank: int = 0
    count: int = 1


def add_distribute(parser: argparse.ArgumentParser) -> None:
    """The option of every command that trains; a scheduler may set the variable instead."""
    parser.add_argument(
        "--distribute",
        default=os.environ.get(VARIABLE, "auto"),
        metavar="WHERE",
        help=f"auto, none, mirrored, or jax://HOST:PORT,RANK,COUNT on each of several machines (default: {VARIABLE}, "
        "else auto)",
    )


def parse_place(text: str) -> Place:
    """What a person wrote.

    Raises:
        UsageError: not one of the forms.
    """
    if text in ("none", "auto", "mirrored"):
        return Place(kind=text)  # type: ignore[arg-type]  # mypy does not narrow to literals by membership
    found = _CLUSTER.fullmatch(text)
    if found is None or int(found[2]) not in _PORTS:
        raise UsageError(
            f"--distribute {text}: give none, auto, mirrored, or jax://HOST:PORT,RANK,COUNT such as jax://10.0.0.5:9876,0,2"
        )
    rank, count = int(found[3]), int(found[4])
    if not rank < count:
        raise UsageError(f"--distribute {text}: of {count} processes the ranks are 0 to {count - 1}")
    return Place("cluster", f"{found[1]}:{found[2]}", rank, count)


def scope(place: Place) -> AbstractContextManager[object]:
    """Build and train networks inside, with TensorFlow.

    Raises:
        UsageError: there is nothing here to mirror on.
    """
    if place.kind in ("none", "cluster"):
        return contextlib.nullcontext()
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    if place.kind == "auto" and len(devices) <= 1:
        return contextlib.nullcontext()
    if not devices:
        devices = tf.config.list_logical_devices("CPU")
        if len(devices) == 1:
            raise UsageError("--distribute mirrored: TensorFlow sees no GPU here; leave it out to train on this CPU")
    strategy: AbstractContextManager[object] = tf.distribute.MirroredStrategy([d.name for d in devices]).scope()
    return strategy
