"""Pictures for the next training: which moments are kept, and the thread that keeps them.

They lie in ``samples/<watch>/`` of the state directory, each with what was made of it beside it, as JSON.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
from collections import Counter, deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cv2
import msgspec

from edge.durable import replace_file
from edge.messages import SCORE_DIGITS
from edge.throttle import Throttle
from edge.value import Value
from edge.watch.outcome import Answer

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from edge.config import SamplesConfig
    from edge.frame import Image
    from edge.model import Prediction
    from edge.watch.outcome import Embedded

logger = logging.getLogger(__name__)

SAMPLE_FORMAT = 1
FOLDER = "samples"
WAITING_MAX = 4
"""Pictures in memory that the disk has not taken yet; more are dropped and counted."""
CLOSE_TIMEOUT_S = 3.0
JPEG_QUALITY = 95


def reasons(answer: Answer, prediction: Prediction, config: SamplesConfig, chance: float) -> list[str]:
    """Why a look is worth keeping; nothing where it is not.

    Args:
        answer: with a frame.
        prediction: of that answer.
        config: of the watch.
        chance: a random number in 0…1.
    """
    found = []
    if config.changed and answer.changed and answer.previous is not None:
        found.append("changed")
    if not prediction.known or not prediction.score >= config.uncertain:
        found.append("uncertain")
    if chance < config.random:
        found.append("random")
    return found


class Sample(Value, frozen=True):
    """A picture on its way to the disk: ``(H, W, 3) uint8 BGR``, its name, and what goes beside it."""

    watch: str
    name: str
    image: Image
    fields: dict[str, Any]
    config: SamplesConfig


class Sampler:
    """Chooses on the observer's thread, and keeps in a thread of its own, so that no look waits for the disk.

    Args:
        state_dir: the folder ``samples`` is made in it.
        rng: for what is chosen by chance.
    """

    def __init__(self, state_dir: Path, rng: random.Random) -> None:
        self._rng = rng
        self._folder = state_dir / FOLDER
        self._taken_s: dict[str, float] = {}
        self._lost: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._queue: queue.Queue[Sample | None] = queue.Queue(WAITING_MAX)
        self._shelves: dict[str, Shelf] = {}
        self._throttle = Throttle()
        self._thread: threading.Thread | None = None

    def take(self, answer: Answer | Embedded) -> None:
        """Keep the picture of an answer, if it is worth it; while its frame can be seen."""
        config = answer.watch.config.samples
        if config is None or not isinstance(answer, Answer) or answer.frame is None or answer.prediction is None:
            return
        why = reasons(answer, answer.prediction, config, self._rng.random())
        name, clock_s = answer.watch.name, answer.frame.clock_s
        since_s = clock_s - self._taken_s.get(name, -math.inf)  # below 0: another camera, whose clock began later
        is_early = 0.0 <= since_s < config.interval_s and "changed" not in why
        if not why or is_early:
            return
        self._taken_s[name] = clock_s
        if self._queue.full():  # only this thread fills it
            self._lost[name] += 1
            return
        taken = datetime.fromtimestamp(answer.frame.captured_at_s, UTC)
        picture = answer.watch.region.cut(answer.frame.image).copy()
        fields = _fields(answer, answer.prediction, why, taken)
        file_name = f"{taken:%Y%m%dT%H%M%S}.{taken.microsecond // 1000:03}Z-{answer.frame.number}"
        self._queue.put_nowait(Sample(name, file_name, picture, fields, config))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="samples", daemon=True)
            self._thread.start()

    def counts(self, watch: str) -> tuple[int, int]:
        """How many pictures were kept of a watch since the start, and how many could not be."""
        return self._kept[watch], self._lost[watch] + self._failed[watch]

    def close(self) -> None:
        """Keep what waits, and end; a disk that hangs is not waited for."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
            self._thread.join(CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        while (sample := self._queue.get()) is not None:
            try:
                shelf = self._shelves.get(sample.watch)
                if shelf is None:
                    shelf = self._shelves[sample.watch] = Shelf(self._folder / sample.watch)
                shelf.keep(sample)
                self._kept[sample.watch] += 1
            except OSError as error:
                self._failed[sample.watch] += 1
                if self._throttle.allows(sample.watch):
                    logger.warning(
                        "samples of watch %s cannot be kept in %s: %s; free some space there, or leave out "
                        "watches.%s.samples",
                        sample.watch, self._folder / sample.watch, error.strerror or error, sample.watch,
                    )  # fmt: skip


class Shelf:
    """One watch's folder, within its limits: the oldest pictures go.

    Args:
        folder: made with the first picture.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = sorted(folder.glob("*.jpg"))  # by their names, which begin with the time
        self._kept = deque((path.stem, _size(path) + _size(path.with_suffix(".json"))) for path in found)
        self._bytes = sum(size for _, size in self._kept)

    def keep(self, sample: Sample) -> None:
        """Write a picture and what goes beside it, and remove the oldest ones that are too many.

        Raises:
            OSError: the disk does not take it.
        """
        done, encoded = cv2.imencode(".jpg", sample.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            height, width = sample.image.shape[:2]
            raise OSError(f"a picture has {width}x{height} pixels, more than a JPEG can hold")
        picture = encoded.tobytes()
        text = msgspec.json.format(msgspec.json.encode(sample.fields))
        size = len(picture) + len(text)
        if size > sample.config.max_bytes:
            raise OSError(f"a picture has {size} bytes, more than max_bytes allows")
        while self._kept and (
            len(self._kept) >= sample.config.max_count or self._bytes + size > sample.config.max_bytes
        ):
            name, gone = self._kept.popleft()
            self._bytes -= gone
            for suffix in (".jpg", ".json"):
                (self._folder / f"{name}{suffix}").unlink(missing_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)  # each time: a person may have taken it away to train with
        beside = self._folder / f"{sample.name}.json"
        replace_file(beside, text)
        try:
            replace_file(beside.with_suffix(".jpg"), picture)
        except OSError:
            beside.unlink(missing_ok=True)  # or a full disk would be filled with what belongs to no picture
            raise
        self._kept.append((sample.name, size))
        self._bytes += size


def _fields(answer: Answer, prediction: Prediction, why: list[str], taken: datetime) -> dict[str, Any]:
    model = answer.watch.model
    scores = zip(prediction.labels, prediction.scores, strict=True)
    is_several = answer.watch.kind == "multilabel" and prediction.known
    return {
        "format": SAMPLE_FORMAT,
        "watch": answer.watch.name,
        "camera": answer.watch.config.camera,
        "why": why,
        "label": prediction.label,
        "labels": list(prediction.chosen or ()) if is_several else [prediction.label],
        "score": round(prediction.score, SCORE_DIGITS),
        "scores": {label: round(float(score), SCORE_DIGITS) for label, score in scores},
        "state": answer.label,
        "previous": answer.previous,
        "captured_at": taken.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "model": {"name": model.name, "version": model.version},
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
