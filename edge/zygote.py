"""The process that decoding processes are forked from: multiprocessing's fork server, with OpenCV loaded.

So a new one takes milliseconds, and they share the memory of what is loaded.

This module lies here, and imports nothing more, so that it can be started before anything else is loaded.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext


def context() -> ForkServerContext:
    """What forks from it; it is started when the first process is."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["edge.camera.preload"])
    return found


def warm_up() -> None:
    """Start it, without waiting for it to have loaded OpenCV.

    Starting a camera does it too, and then waits about half a second; a daemon that has more to load calls this first.
    """
    context()
    forkserver.ensure_running()
