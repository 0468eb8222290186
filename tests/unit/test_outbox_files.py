"""Outbox files that are damaged, out of place, or in use by somebody else."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import eventually
from outboxes import CONFIG, events, happened, outbox, path, texts

from edge.errors import OutboxError
from edge.outbox import Outbox

__all__ = ["outbox", "path"]  # fixtures


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database, " * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 40_000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 999").connection.close(),
        lambda path: sqlite3.connect(path).execute("DROP TABLE meta").connection.close(),
    ],
    ids=["garbage", "overwritten", "truncated", "from the future", "a table is gone"],
)
@pytest.mark.parametrize("ended", ["well", "by a crash"])
def test_a_damaged_file_is_set_aside_and_a_fresh_one_begun(
    path: Path, damage: Callable[[Path], object], ended: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox.open(path, CONFIG)
    for number in range(50):
        outbox.put(happened(f"{number}" * 20))
    epoch = outbox.epoch
    outbox.close()
    if ended == "by a crash":
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE meta SET value = '0' WHERE name = 'clean'")
        connection.close()
    damage(path)
    damaged = path.read_bytes()
    again = Outbox.open(path, CONFIG)
    [aside] = path.parent.glob("outbox.sqlite3.damaged-*Z")
    assert aside.read_bytes() == damaged
    assert aside.name in caplog.text
    assert again.epoch != epoch
    again.put(happened("goes on"))
    [record] = events(again)
    assert json.loads(record.payload)["sequence"] == 1
    again.close()


def test_damage_that_shows_while_running_is_set_aside_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox.open(path, CONFIG)
    for number in range(500):
        outbox.put(happened(f"{number}" * 100))
    assert outbox.flush(10)
    epoch = outbox.epoch
    outbox.close()
    content = path.read_bytes()
    path.write_bytes(content[: 4096 * 20] + b"\xa5" * (len(content) - 4096 * 20))
    again = Outbox.open(path, CONFIG)  # it ended well, so that it is not checked now
    assert again.epoch == epoch

    def noticed() -> bool:
        again.events(None, limit=1000)
        again.flush(10)
        return again.epoch != epoch

    eventually(noticed, 5)
    assert list(path.parent.glob("outbox.sqlite3.damaged-*Z"))
    again.put(happened("goes on"))
    assert "goes on" in texts(events(again))
    assert again.stats().failure is None
    again.close()


def test_settlements_of_a_lost_store_mean_nothing_to_the_next(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("old"))
    [old] = events(outbox)
    outbox.close()
    path.write_bytes(b"garbage " * 1000)
    again = Outbox.open(path, CONFIG)
    again.put(happened("new"))
    [new] = events(again)
    assert new.number == old.number
    again.delivered(old)
    again.flush(10)
    assert texts(again.events(old, limit=10)) == ["new"]
    again.close()


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    for number in range(5):
        Outbox.open(path, CONFIG).close()
        path.write_bytes(b"%d garbage " % number * 1000)
    Outbox.open(path, CONFIG).close()
    asides = path.parent.glob("outbox.sqlite3.damaged-*Z")
    assert sorted(aside.read_bytes()[:1] for aside in asides) == [b"3", b"4"]


def test_where_nothing_can_be_stored_the_message_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="cannot write here"):
        Outbox.open(tmp_path / "file" / "outbox.sqlite3", CONFIG)
    (tmp_path / "outbox.sqlite3").mkdir()
    with pytest.raises(OutboxError, match="cannot be written") as refusal:
        Outbox.open(tmp_path / "outbox.sqlite3", CONFIG)
    assert refusal.value.exit_code == 74


def test_a_second_process_is_kept_out(outbox: Outbox, path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom edge.config import OutboxConfig\nfrom edge.outbox import Outbox\n"
        "Outbox.open(pathlib.Path(sys.argv[1]), OutboxConfig())"
    )
    second = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert "another sightpost is using it" in second.stderr
    outbox.put(happened("unharmed"))
    assert texts(events(outbox)) == ["unharmed"]


def test_a_closed_outbox_takes_nothing(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("in time"))
    outbox.close()
    outbox.close()
    with pytest.raises(OutboxError, match="closed"):
        outbox.put(happened("too late"))
    again = Outbox.open(path, CONFIG)
    assert texts(events(again)) == ["in time"]
    again.close()


@pytest.mark.parametrize(
    "flipped",
    [
        (b"CREATE TABLE events", b"CREATE T\xffBLE events"),
        (b"last_batch", b"last_b\xfftch"),
        (b"pending_bytes", b"pend\xfeng_bytes"),
    ],
)
def test_a_byte_that_is_no_text_is_damage_and_keeps_nobody_from_starting(
    path: Path, flipped: tuple[bytes, bytes]
) -> None:
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("before"))
    outbox.close()
    content = path.read_bytes()
    assert flipped[0] in content
    path.write_bytes(content.replace(*flipped))
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("after"))
    assert texts(events(outbox)) == ["after"]
    outbox.close()


@pytest.mark.parametrize(
    "nonsense", ["priority = 77", "payload = 'text'", "topic = CAST(x'ff67' AS TEXT)", "clock_s = 'x'"]
)
def test_a_row_that_is_no_record_does_not_hold_up_what_comes_after_it(path: Path, nonsense: str) -> None:
    outbox = Outbox.open(path, CONFIG, announce=lambda loss: happened(f"{loss.cause}"))
    outbox.put(happened("before"))
    outbox.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE events SET {nonsense}")  # noqa: S608  constants
    connection.close()
    outbox = Outbox.open(path, CONFIG, announce=lambda loss: happened(f"{loss.cause}"))
    eventually(lambda: outbox.events(None, limit=9) and texts(outbox.events(None, limit=9)) == ["damaged"])
    outbox.put(happened("after"))
    assert texts(events(outbox)) == ["damaged", "after"]
    outbox.close()


def test_a_time_that_is_none_is_damage_to_whoever_comes_upon_it_first(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("before"))
    outbox.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET clock_s = 'x'")
    connection.close()
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("after"))
    assert texts(events(outbox)) == ["after"]
    assert sum(outbox.stats().dropped.values()) == 0
    outbox.close()
