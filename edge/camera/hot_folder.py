"""A folder in which pictures arrive: each is shown once, whole, and then moved aside or remembered.

A picture is put away only some time after the reader has done with it. One that was shown when the program ended, but
not put away, is shown again: at least once, like everything here.
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge.camera.source import Grab, Source
from edge.durable import replace_file
from edge.errors import CameraError, PictureError
from edge.preprocess import PICTURE_SUFFIXES, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.frame import Image

SCAN_S = 0.5
SETTLED_S = 1.0
"""A file that has not changed for so long has been written to its end."""
PATIENCE_S = 30.0
"""A picture that cannot be read may still be on its way: so long it must lie unchanged before it is called damaged."""
PUT_AWAY_S = 1.0
"""From the answer to putting the picture away; the outbox has committed an answer in a few hundredths of that."""
DONE, DAMAGED = "done", "damaged"
LEDGER = ".sightpost-seen"


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was found; if its size or time changes it is another picture."""

    name: str
    size_bytes: int
    modified_ns: int


class Arrivals:
    """Which files are whole: a pure decision over what is found from time to time."""

    def __init__(self) -> None:
        self._since: dict[Arrival, float] = {}

    def settled(self, found: Iterable[Arrival], now_s: float) -> list[tuple[Arrival, float]]:
        """Those that have not changed for a while, oldest first, and for how long (seconds)."""
        self._since = {arrival: self._since.get(arrival, now_s) for arrival in found}
        whole = [
            (arrival, now_s - since_s)
            for arrival, since_s in self._since.items()
            if arrival.size_bytes and now_s - since_s >= SETTLED_S
        ]
        return sorted(whole, key=lambda item: (item[0].modified_ns, item[0].name))


class HotFolder(Source):
    """Pictures as they arrive in a folder, which may have no end.

    Args:
        folder: where they arrive; sub-folders and files that begin with a dot are not looked at.
        then: ``move`` a picture to the sub-folder ``done`` (or ``damaged``), or ``leave`` it and remember in a file
            that it was seen.
        clock: monotonic seconds.
        sleep: waits seconds.

    Raises:
        CameraError: the folder is not there, or may not be written to.
    """

    live = True

    def __init__(
        self,
        folder: Path,
        then: Literal["move", "leave"],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._then = then
        self._clock = clock
        self._sleep = sleep
        self._arrivals = Arrivals()
        self._queue: deque[tuple[Arrival, float]] = deque()
        self._taken: set[Arrival] = set()
        self._shown: dict[int, Arrival] = {}
        self._answered: deque[tuple[float, Arrival]] = deque()
        self._grabbed = 0
        self._image: Image | None = None
        self._seen = self._opened()

    def grab(self) -> Grab:
        """As in ``Source``: the next whole picture; it is decoded here, as only that tells whether there is a frame."""
        self._put_away_answered()
        if not self._queue:
            self._queue.extend(self._arrivals.settled(self._found(), self._clock()))
        while self._queue:
            arrival, unchanged_s = self._queue.popleft()
            try:
                self._image = read_picture(self._folder / arrival.name)
            except PictureError:
                if unchanged_s >= PATIENCE_S:
                    self.damaged += 1
                    self._put_away(arrival, DAMAGED)
                continue
            self._taken.add(arrival)
            self._shown[self._grabbed] = arrival
            self._grabbed += 1
            return Grab.FRAME
        self._sleep(SCAN_S)
        return Grab.NOTHING

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  decoders of pictures have no buffer to give
        """As in ``Source``."""
        return self._image

    def settle(self, number: int) -> None:
        """As in ``Source``: the picture may be put away in a while."""
        if (arrival := self._shown.pop(number, None)) is not None:
            self._answered.append((self._clock(), arrival))

    def _opened(self) -> set[Arrival]:
        try:
            if self._then == "move":
                (self._folder / DONE).mkdir(exist_ok=True)
                writable = os.access(self._folder / DONE, os.W_OK) and os.access(self._folder, os.W_OK)
                if not writable:
                    raise CameraError(
                        f"{self._folder}: pictures cannot be moved out of it: give this user the right to"
                    )
                return set()
            return self._read_ledger()
        except OSError as error:
            raise CameraError(f"{self._folder}: no folder for new pictures: {error.strerror}") from error

    def _found(self) -> list[Arrival]:
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in PICTURE_SUFFIXES:
                        continue
                    facts = entry.stat()
                    arrival = Arrival(entry.name, facts.st_size, facts.st_mtime_ns)
                    if entry.is_file() and arrival not in self._taken and arrival not in self._seen:
                        found.append(arrival)
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise CameraError(f"{self._folder}: the folder has gone") from error
        except OSError as error:
            raise CameraError(f"{self._folder}: cannot list the pictures: {error.strerror}") from error
        return found

    def _put_away_answered(self) -> None:
        while self._answered and self._clock() - self._answered[0][0] >= PUT_AWAY_S:
            self._put_away(self._answered.popleft()[1], DONE)

    def _put_away(self, arrival: Arrival, where: str) -> None:
        try:
            if self._then == "move":
                _move(self._folder / arrival.name, self._folder / where)
            else:
                self._seen.add(arrival)
                with (self._folder / LEDGER).open("ab") as ledger:
                    ledger.write(msgspec.json.encode(arrival) + b"\n")
        except OSError as error:
            raise CameraError(f"{self._folder / arrival.name}: cannot be put away: {error.strerror}") from error
        self._taken.discard(arrival)

    def _read_ledger(self) -> set[Arrival]:
        """What was seen before; entries of files that have gone are left out when it is written anew."""
        path = self._folder / LEDGER
        lines = path.read_bytes().splitlines() if path.exists() else []
        seen = {arrival for line in lines if (arrival := _arrival(line)) and (self._folder / arrival.name).exists()}
        replace_file(path, b"".join(msgspec.json.encode(arrival) + b"\n" for arrival in seen))
        return seen


def _arrival(line: bytes) -> Arrival | None:
    try:
        return msgspec.json.decode(line, type=Arrival)
    except (msgspec.DecodeError, UnicodeDecodeError):  # the last line may be cut by a power failure
        return None


def _move(path: Path, folder: Path) -> None:
    """Move a file, never over another of its name; one that somebody took meanwhile is gone, and that is fine."""
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    number = 1
    while target.exists():
        target = folder / f"{path.stem}-{number}{path.suffix}"
        number += 1
    try:
        path.rename(target)
    except FileNotFoundError:
        return
