"""A folder in which pictures arrive: each is shown once, whole, and then moved aside or remembered.

A picture is put away only some time after the reader has done with it. One that was shown when the program ended, but
not put away, is shown again: at least once, like everything here.
"""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections import deque
from contextlib import suppress
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
TRYING = ".sightpost-trying"
"""Which picture is being decoded, a line for each try: one that kills or hangs whoever decodes it is still in there."""
DEADLY_TRIES = 2
"""One may have been the program's end."""
LEDGER_SLACK = 1000
"""So many lines more than twice the pictures that are there, and the ledger is written anew without the others."""


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
        whole = [(arrival, now_s - since_s) for arrival, since_s in self._since.items() if now_s - since_s >= SETTLED_S]
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
        self._scanned_at_s = -math.inf
        self._taken: set[Arrival] = set()
        self._shown: dict[int, Arrival] = {}
        self._answered: deque[tuple[float, Arrival]] = deque()
        self._grabbed = 0
        self._image: Image | None = None
        self._lines_left = 0  # until the ledger is written anew
        self._seen = self._opened()
        self._deadly = self._deadly_one()

    def grab(self) -> Grab:
        """As in ``Source``: the next whole picture; it is decoded here, as only that tells whether there is a frame."""
        self._put_away_answered()
        if not self._queue and self._clock() - self._scanned_at_s >= SCAN_S:
            self._scanned_at_s = self._clock()
            self._queue.extend(self._arrivals.settled(self._found(), self._clock()))
        if not self._queue:
            self._sleep(SCAN_S)
            return Grab.NOTHING
        arrival, unchanged_s = self._queue.popleft()
        is_deadly = arrival == self._deadly
        self._image = None if is_deadly else self._read(arrival)
        if self._image is None:
            if is_deadly or unchanged_s >= PATIENCE_S:
                self.damaged += 1
                self._put_away(arrival, DAMAGED)
            return Grab.NOTHING  # thousands of them take longer than a source may be silent
        self._taken.add(arrival)
        self._shown[self._grabbed] = arrival
        self._grabbed += 1
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  decoders of pictures have no buffer to give
        """As in ``Source``."""
        return self._image

    def settle(self, number: int) -> None:
        """As in ``Source``: the picture may be put away in a while."""
        if (arrival := self._shown.pop(number, None)) is not None:
            self._answered.append((self._clock(), arrival))

    def _opened(self) -> dict[str, Arrival]:
        try:
            if self._then == "move":
                (self._folder / DONE).mkdir(exist_ok=True)
                writable = os.access(self._folder / DONE, os.W_OK) and os.access(self._folder, os.W_OK)
                if not writable:
                    raise CameraError(
                        f"{self._folder}: pictures cannot be moved out of it: give this user the right to"
                    )
                return {}
            return self._read_ledger()
        except OSError as error:
            raise CameraError(f"{self._folder}: no folder for new pictures: {error.strerror}") from error

    def _deadly_one(self) -> Arrival | None:
        tries: list[bytes] = []
        with suppress(OSError):
            tries = (self._folder / TRYING).read_bytes().splitlines()
        return _arrival(tries[-1]) if tries and tries.count(tries[-1]) >= DEADLY_TRIES else None

    def _read(self, arrival: Arrival) -> Image | None:
        """Decode a picture; None when it cannot be."""
        path = self._folder / TRYING
        with suppress(OSError), path.open("ab") as trying:  # a full disk takes no note, and is no reason not to look
            trying.write(_line(arrival))
        image = None
        with suppress(PictureError):
            image = read_picture(self._folder / arrival.name)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return image

    def _found(self) -> list[Arrival]:
        try:
            with os.scandir(self._folder) as entries:
                names = [entry for entry in entries if _is_picture(entry.name)]
                arrivals = [arrival for entry in names if (arrival := _as_found(entry)) is not None]
        except FileNotFoundError as error:
            raise CameraError(f"{self._folder}: the folder has gone") from error
        except OSError as error:
            raise CameraError(f"{self._folder}: cannot list the pictures: {error.strerror}") from error
        return [each for each in arrivals if each not in self._taken and self._seen.get(each.name) != each]

    def _put_away_answered(self) -> None:
        while self._answered and self._clock() - self._answered[0][0] >= PUT_AWAY_S:
            self._put_away(self._answered.popleft()[1], DONE)

    def _put_away(self, arrival: Arrival, where: str) -> None:
        try:
            if self._then == "move":
                _move(self._folder / arrival.name, self._folder / where)
            else:
                self._remember(arrival)
        except OSError as error:
            raise CameraError(f"{self._folder / arrival.name}: cannot be put away: {error.strerror}") from error
        self._taken.discard(arrival)

    def _remember(self, arrival: Arrival) -> None:
        self._seen[arrival.name] = arrival
        with (self._folder / LEDGER).open("ab") as ledger:
            ledger.write(_line(arrival))
        self._lines_left -= 1
        if self._lines_left < 0:
            self._seen = self._read_ledger()

    def _read_ledger(self) -> dict[str, Arrival]:
        """What was seen before, by name; it is written anew without what has gone or was replaced since."""
        path = self._folder / LEDGER
        lines = path.read_bytes().splitlines() if path.exists() else []
        noted = {arrival.name: arrival for line in lines if (arrival := _arrival(line))}
        seen = {name: arrival for name, arrival in noted.items() if (self._folder / name).exists()}
        replace_file(path, b"".join(_line(arrival) for arrival in seen.values()))
        self._lines_left = len(seen) + LEDGER_SLACK
        return seen


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def _as_found(entry: os.DirEntry[str]) -> Arrival | None:
    """None for what is no file, or none any more: somebody took it meanwhile, or a link leads nowhere."""
    try:
        facts = entry.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) or entry.is_symlink():
            return None
        raise
    return Arrival(entry.name, facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def _line(arrival: Arrival) -> bytes:
    """Of the ledger: JSON of the standard library, for a name need not be UTF-8."""
    return json.dumps(msgspec.structs.astuple(arrival)).encode() + b"\n"


def _arrival(line: bytes) -> Arrival | None:
    try:
        return msgspec.convert(json.loads(line), Arrival)
    except (ValueError, msgspec.ValidationError):  # the last line may be cut by a power failure
        return None


def _move(path: Path, folder: Path) -> None:
    """Move a file, never over another of its name; one that somebody took meanwhile is gone, and that is fine."""
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    if target.exists():
        number = _free_number(lambda number: (folder / f"{path.stem}-{number}{path.suffix}").exists())
        target = folder / f"{path.stem}-{number}{path.suffix}"
    try:
        path.rename(target)
    except FileNotFoundError:
        return


def _free_number(is_taken: Callable[[int], bool]) -> int:
    """One that is free, after few questions: a camera that gives all its pictures one name has moved a million."""
    taken, free = 0, 1
    while is_taken(free):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (middle, free) if is_taken(middle) else (taken, middle)
    return free
