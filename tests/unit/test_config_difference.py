"""What a changed configuration restarts, and what it leaves alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config, parse_config
from edge.config.difference import Difference, difference

BASE: dict[str, Any] = {
    "device": {"id": "porch"},
    "cameras": {"yard": {"source": 0}, "road": {"source": 1}},
    "models": {"gate": {"file": "gate.tflite"}, "bin": {"file": "bin.tflite"}},
    "watches": {
        "gate": {"camera": "yard", "model": "gate"},
        "bin": {"camera": "yard", "model": "bin"},
        "bus": {"camera": "road", "model": "bin"},
    },
}


def config(**changes: Any) -> Config:
    """The base, with keys changed: ``cameras__yard__source=2``; ``None`` takes one away."""
    raw: dict[str, Any] = copy.deepcopy(BASE)
    for path, value in changes.items():
        *tables, key = path.split("__")
        inside = raw
        for table in tables:
            inside = inside.setdefault(table, {})
        if value is None:
            del inside[key]
        else:
            inside[key] = value
    return parse_config(raw, where="edge.toml", base=Path("/"))


def changed(**changes: Any) -> Difference:
    return difference(config(), config(**changes))


def test_what_is_the_same_changes_nothing() -> None:
    assert changed() == Difference()
    assert changed().words == "nothing"


def test_a_watch_that_changed_begins_anew_alone() -> None:
    found = changed(watches__gate__hold_s=3.0)
    assert found == Difference(watches=frozenset({"gate"}))
    assert found.words == "watches.gate"


def test_a_camera_that_changed_takes_its_watches_with_it() -> None:
    assert changed(cameras__yard__source=5) == Difference(
        cameras=frozenset({"yard"}), watches=frozenset({"gate", "bin"})
    )


def test_a_model_that_changed_takes_its_watches_with_it() -> None:
    expected = Difference(models=frozenset({"bin"}), watches=frozenset({"bin", "bus"}))
    assert changed(models__bin__file="other.tflite") == expected
    assert difference(config(), config(), replaced={"bin"}) == expected


def test_what_is_new_and_what_is_gone_is_named() -> None:
    found = changed(watches__bus=None, cameras__road=None, watches__door={"camera": "yard", "model": "gate"})
    assert found == Difference(cameras=frozenset({"road"}), watches=frozenset({"bus", "door"}))


@pytest.mark.parametrize(
    "change", [{"mqtt__port": 1884}, {"mqtt__tls": {}}, {"home_assistant": {}}, {"sparkplug": {"group_id": "plant"}}]
)
def test_another_broker_or_dialect_is_another_connection_and_no_more(change: dict[str, Any]) -> None:
    assert changed(**change) == Difference(connection=True)


def test_sparkplug_is_born_again_where_its_birth_names_something_else() -> None:
    plant = {"sparkplug": {"group_id": "plant"}}
    more = config(**plant, watches__door={"camera": "yard", "model": "gate"})
    assert difference(config(**plant), more).connection
    assert not difference(config(**plant), config(**plant, watches__gate__hold_s=3.0)).connection


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"device__id": "door"}, "device.id"),
        ({"device__state_dir": "elsewhere"}, "device.state_dir"),
        ({"outbox": {"max_bytes": 1_000_000}}, "outbox.max_bytes"),
        ({"mqtt__topic_prefix": "plant"}, "mqtt.topic_prefix"),
    ],
)
def test_who_the_device_is_and_where_it_keeps_its_store_takes_a_restart(change: dict[str, Any], key: str) -> None:
    assert changed(**change).restart == key
