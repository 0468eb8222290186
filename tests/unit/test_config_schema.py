"""The schema for editors and the program that reads the file agree; and whatever is wrong, its key is named."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemas import problems

from edge.cli import main
from edge.config import Config, parse_config
from edge.config.schema import config_schema
from edge.errors import ConfigError
from edge.strict import shown

SCHEMA = config_schema()
FULL: dict[str, Any] = {
    "device": {"id": "porch", "state_dir": "state"},
    "mqtt": {"host": "broker", "port": 1883, "username": "porch", "tls": {"ca_file": "ca.pem"}, "keepalive_s": 30},
    "outbox": {"max_bytes": 1_000_000, "max_age_s": 60.0, "commit_wait_s": 0.01},
    "home_assistant": {"prefix": "homeassistant"},
    "commands": {"allow": ["look"], "per_minute": 10},
    "cameras": {"yard": {"source": "rtsp://camera/stream", "rate_hz": 5.0}, "road": {"source": 0}},
    "models": {"gate": {"file": "gate.tflite", "input": {"scaling": "0..1"}}},
    "watches": {"gate": {"camera": "yard", "model": "gate", "roi": [0.1, 0.1, 0.9, 0.9], "hold_s": 1.0, "top": 3}},
}
JUNK = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=5),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3), st.dates(),
)  # fmt: skip


def places(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a configuration, tables before what is in them."""
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def with_change(path: tuple[str, ...], change: str, value: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(json.dumps(FULL))
    inside = raw
    for key in path[:-1]:
        inside = inside[key]
    if change == "replace":
        inside[path[-1]] = value
    elif change == "remove":
        del inside[path[-1]]
    else:
        inside[str(value)] = 1
    return raw


def test_the_whole_example_is_right() -> None:
    assert problems(FULL, SCHEMA) == []
    assert isinstance(parse_config(FULL, where="edge.toml", base=Path("/")), Config)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(places(FULL))), st.sampled_from(["replace", "remove", "add"]), JUNK)
def test_what_the_schema_refuses_the_program_refuses_by_its_key(path: tuple[str, ...], change: str, value: Any) -> None:
    raw = with_change(path, change, value)
    wrong = problems(raw, SCHEMA)
    try:
        parse_config(raw, where="edge.toml", base=Path("/"))
    except ConfigError as error:
        message = str(error)
        assert "\n" not in message
        # Who refers to what is gone is named, instead of what is gone.
        assert message.removeprefix("edge.toml: ").startswith((path[0], "watches", shown(str(value)))), message
    else:
        assert wrong == []


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("deploy/*.toml")), ids=lambda path: path.name)
def test_the_configurations_that_come_along_are_right(path: Path) -> None:
    assert problems(tomllib.loads(path.read_text()), SCHEMA) == []


def test_the_example_shows_every_key_and_all_that_it_shows_is_right() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "edge.toml").read_text()
    uncommented = tomllib.loads(re.sub(r"(?m)^#(?=[a-z\[])", "", text))
    assert problems(uncommented, SCHEMA) == []
    shown_keys = {path[-1] for path in places(uncommented)}
    assert {key for table in SCHEMA["$defs"].values() for key in table["properties"]} - shown_keys == set()


def test_it_holds_nothing_that_other_languages_or_toml_do_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text) == json.loads(json.dumps(SCHEMA))
    assert "\\\\Z" not in text
    assert "null" not in text
