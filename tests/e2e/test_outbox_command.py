"""The person in the field, with a USB stick and the real command."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import COMMANDS
from delivery import TOPICS, change

from edge.config import OutboxConfig
from edge.messages import Clock, gap
from edge.outbox import Outbox
from edge.record import Post

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        """
        [device]
        id = "porch"
        state_dir = "state"
        [cameras.yard]
        source = "scene:gate"
        [models.gate]
        file = "gate.tflite"
        [watches.gate]
        camera = "yard"
        model = "gate"
        """
    )
    return path


@pytest.fixture
def outbox(config: Path) -> Iterator[Outbox]:
    """What a running daemon has open."""
    opened = reopened(config)
    yield opened
    opened.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def reopened(config: Path) -> Outbox:
    def announce(loss: Any) -> Post:
        return gap(TOPICS, loss, Clock(quality="unknown", boot_id="", monotonic_s=0.0))

    return Outbox.open(config.parent / "state" / "outbox.sqlite", OutboxConfig(), announce=announce)


def fill(outbox: Outbox, count: int = 30) -> list[str]:
    for number in range(count):
        outbox.put(*change(f"label {number}"))
    assert outbox.flush(10)
    return [f"label {number}" for number in range(count)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_status_counts_while_the_daemon_runs(run: Run, config: Path, outbox: Outbox) -> None:
    fill(outbox)
    said = run("sightpost", "outbox", "status", "--config", config, "--json")
    assert said.returncode == 0, said.stderr
    status = json.loads(said.stdout)
    assert status["in_use"] is True
    assert status["ledger"]["pending"] == 30
    assert status["epoch"] == outbox.epoch
    outbox.close()
    words = run("sightpost", "outbox", "status", "--config", config).stdout
    assert "no daemon" in words
    assert "30 events" in words


def test_export_while_the_daemon_runs_changes_nothing(run: Run, config: Path, outbox: Outbox, stick: Path) -> None:
    labels = fill(outbox, 1200)
    said = run("sightpost", "outbox", "export", "--config", config, "--to", stick)
    assert said.returncode == 0, said.stderr
    [path] = stick.iterdir()
    exported = lines(path)
    assert [line["payload"]["label"] for line in exported] == labels
    assert {line["topic"] for line in exported} == {TOPICS.event("gate")}
    assert all(line["id"] == line["payload"]["id"] for line in exported)
    assert outbox.stats().pending == 1200


def test_what_is_marked_as_delivered_is_not_sent_any_more(run: Run, config: Path, outbox: Outbox, stick: Path) -> None:
    fill(outbox, 1200)
    arguments = ("sightpost", "outbox", "export", "--config", config, "--to", stick / "day.jsonl", "--mark-delivered")
    refused = run(*arguments)
    assert refused.returncode == 74
    assert "stop it first" in refused.stderr
    assert list(stick.iterdir()) == []
    outbox.close()
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settled"] == 1200
    again = reopened(config)
    assert again.stats().pending == 0
    assert again.stats().delivered == 1200
    assert sum(again.stats().dropped.values()) == 0
    again.close()
    assert len(lines(stick / "day.jsonl")) == 1200


def test_an_export_never_overwrites_and_leaves_nothing_half_done(
    run: Run, config: Path, outbox: Outbox, stick: Path
) -> None:
    fill(outbox)
    outbox.close()
    (stick / "day.jsonl").write_text("precious")
    there = run("sightpost", "outbox", "export", "--config", config, "--to", stick / "day.jsonl", "--mark-delivered")
    assert there.returncode == 74
    assert "already there" in there.stderr
    assert (stick / "day.jsonl").read_text() == "precious"
    nowhere = run("sightpost", "outbox", "export", "--config", config, "--to", stick / "no" / "x", "--mark-delivered")
    assert nowhere.returncode == 74
    full = in_shell(f"ulimit -f 8; exec '{sightpost()}' outbox export --config '{config}' --to '{stick}/x'")
    assert full.returncode != 0
    assert [path.name for path in stick.iterdir()] == ["day.jsonl"]
    again = reopened(config)
    assert again.stats().pending == 30
    again.close()


def sightpost() -> Path:
    return COMMANDS / "sightpost"


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)


def test_a_purge_is_asked_for_twice_and_told_to_subscribers(run: Run, config: Path, outbox: Outbox) -> None:
    fill(outbox)
    outbox.close()
    asked = run("sightpost", "outbox", "purge", "--config", config)
    assert asked.returncode == 64
    assert "--yes" in asked.stderr
    done = run("sightpost", "outbox", "purge", "--config", config, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"removed": 30}
    again = reopened(config)
    again.put(*change("afterwards"))
    assert again.flush(10)
    payloads = [json.loads(record.payload) for record in again.events(None, limit=10)]
    told, event = sorted(payloads, key=lambda payload: "label" in payload)
    assert (told["cause"], told["count"], told["watches"]) == ("purged", 30, ["gate"])
    assert event["sequence"] == 31
    again.close()


def test_dead_letters_can_be_carried_away_and_removed(run: Run, config: Path, outbox: Outbox, stick: Path) -> None:
    outbox.put(Post("sightpost/porch/gate/event", b"\xff\x00 no JSON"))
    fill(outbox, 1)
    for record in outbox.events(None, limit=10):
        outbox.refused(record, "Not authorized")
    outbox.close()
    letters = stick / "letters.jsonl"
    done = run(
        "sightpost", "outbox", "export", "--config", config, "--to", letters, "--dead-letters", "--mark-delivered"
    )
    assert done.returncode == 0, done.stderr
    first, second = lines(letters)
    assert first["payload_base64"]
    assert second["payload"]["label"] == "label 0"
    assert second["reason"] == "Not authorized"
    status = json.loads(run("sightpost", "outbox", "status", "--config", config, "--json").stdout)
    assert (status["dead_letters"], status["ledger"]["refused"]) == (0, 2)


def test_where_there_is_no_outbox_the_message_says_so(run: Run, config: Path, stick: Path) -> None:
    for action in (("status",), ("export", "--to", stick), ("purge", "--yes")):
        said = run("sightpost", "outbox", *action, "--config", config)
        assert said.returncode == 74
        assert "no outbox yet" in said.stderr
        assert len(said.stderr.splitlines()) == 1
    assert not (config.parent / "state").exists()


def test_a_file_that_is_no_outbox_is_named(run: Run, config: Path) -> None:
    (config.parent / "state").mkdir()
    with sqlite3.connect(config.parent / "state" / "outbox.sqlite") as connection:
        connection.execute("CREATE TABLE other(x)")
    connection.close()
    said = run("sightpost", "outbox", "status", "--config", config)
    assert said.returncode == 74
    assert "layout" in said.stderr
