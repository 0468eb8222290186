from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_config, parse_config
from edge.errors import ConfigError

FULL = """
[device]
id = "gate-1"
state_dir = "state"

[mqtt]
host = "broker.lan"
port = 8883
version = "5"
topic_prefix = "home/eyes"
username = "gate"
password_file = "secret"
keepalive_s = 20
connect_timeout_s = 3
reconnect_max_s = 60
max_inflight = 5

[outbox]
max_bytes = 1000000
max_age_s = 3600
commit_wait_s = 0.01

[cameras.yard]
source = "rtsp://camera.lan/stream"
stale_after_s = 3.5

[cameras.film]
source = "films/yard.mp4"
pace = "fast"
loop = true
width_px = 640
height_px = 480
rate_hz = 12.5

[models.gate]
file = "gate.tflite"

[models.foreign]
file = "/opt/foreign.tflite"
labels = "foreign.txt"
threads = 2
runtime = "litert"
input = { color = "bgr", scaling = "-1..1", resize = "crop" }

[watches.gate]
camera = "yard"
model = "gate"
roi = [0.25, 0, 1, 0.5]
interval_s = 0
hold_s = 2
hold_frames = 3
min_score = 0.6
top = 2
"""

SMALLEST: dict[str, Any] = {
    "device": {"id": "gate-1"},
    "cameras": {"yard": {"source": 0}},
    "models": {"gate": {"file": "gate.tflite"}},
    "watches": {"gate": {"camera": "yard", "model": "gate"}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The smallest configuration with one key set."""
    raw = copy.deepcopy(SMALLEST)
    *tables, key = path.split("/")
    table = raw
    for name in tables:
        table = table.setdefault(name, {})
    table[key] = value
    return raw


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, where="sightpost.toml", base=Path("/etc/sightpost"))
    return str(caught.value)


def refusal_of(text: bytes, folder: Path) -> str:
    path = folder / "sightpost.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


class TestReading:
    def test_every_key_is_taken_as_written(self, tmp_path: Path) -> None:
        path = tmp_path / "sightpost.toml"
        path.write_text(FULL)
        config = load_config(path)
        assert config.device.id == "gate-1"
        assert (config.mqtt.host, config.mqtt.port, config.mqtt.version) == ("broker.lan", 8883, "5")
        assert config.mqtt.topic_prefix == "home/eyes"
        assert (config.mqtt.keepalive_s, config.mqtt.connect_timeout_s, config.mqtt.max_inflight) == (20, 3.0, 5)
        assert (config.outbox.max_bytes, config.outbox.max_age_s, config.outbox.commit_wait_s) == (1000000, 3600, 0.01)
        film = config.cameras["film"]
        assert (film.pace, film.loop, film.width_px, film.height_px, film.rate_hz) == ("fast", True, 640, 480, 12.5)
        assert config.cameras["yard"].stale_after_s == 3.5
        foreign = config.models["foreign"]
        assert (foreign.threads, foreign.runtime) == (2, "litert")
        assert foreign.input is not None
        assert (foreign.input.color, foreign.input.scaling, foreign.input.resize) == ("bgr", "-1..1", "crop")
        watch = config.watches["gate"]
        assert watch.roi == (0.25, 0.0, 1.0, 0.5)
        assert (watch.interval_s, watch.hold_s, watch.hold_frames, watch.min_score, watch.top) == (0, 2, 3, 0.6, 2)

    def test_few_keys_are_enough(self) -> None:
        config = parse_config(SMALLEST, where="x", base=Path("/etc"))
        assert config.mqtt.host == "localhost"
        assert config.watches["gate"].roi == (0.0, 0.0, 1.0, 1.0)

    def test_relative_paths_are_seen_from_the_folder_of_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "sightpost.toml").write_text(FULL)
        monkeypatch.chdir(tmp_path)
        config = load_config(Path("there/sightpost.toml"))
        folder = tmp_path / "there"
        assert config.device.state_dir == str(folder / "state")
        assert config.mqtt.password_file == str(folder / "secret")
        assert config.cameras["film"].source == str(folder / "films/yard.mp4")
        assert config.models["gate"].file == str(folder / "gate.tflite")
        assert config.models["foreign"].file == "/opt/foreign.tflite"
        assert config.models["foreign"].labels == str(folder / "foreign.txt")

    @pytest.mark.parametrize("source", [0, 7, "rtsp://user:pass@camera/stream?a=b", "http://camera/x", "scene:gate"])
    def test_a_source_that_is_no_path_stays_as_it_is(self, source: str | int) -> None:
        assert parse_config(changed("cameras/yard/source", source), where="x", base=Path("/etc")).cameras[
            "yard"
        ].source == source  # fmt: skip

    def test_a_device_keeps_its_absolute_path(self) -> None:
        config = parse_config(changed("cameras/yard/source", "/dev/video2"), where="x", base=Path("/etc"))
        assert config.cameras["yard"].source == "/dev/video2"

    def test_optional_paths_stay_absent(self) -> None:
        config = parse_config(SMALLEST, where="x", base=Path("/etc"))
        assert config.mqtt.password_file is None
        assert config.models["gate"].labels is None


class TestFilesThatCannotBeRead:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read the configuration: No such file"):
            load_config(tmp_path / "absent.toml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read the configuration: Is a directory"):
            load_config(tmp_path)

    def test_what_is_no_utf8_text(self, tmp_path: Path) -> None:
        assert "UTF-8" in refusal_of(b"[device]\nid = '\xff\xfe'", tmp_path)

    def test_what_is_no_toml_names_the_line(self, tmp_path: Path) -> None:
        assert "line 3" in refusal_of(b"[device]\nid = 'a'\nthis is no toml\n", tmp_path)

    def test_a_key_given_twice(self, tmp_path: Path) -> None:
        assert "not valid TOML" in refusal_of(b"[device]\nid = 'a'\nid = 'b'\n", tmp_path)

    def test_an_empty_file_says_what_is_needed(self, tmp_path: Path) -> None:
        assert "device.id: this key is required" in refusal_of(b"", tmp_path)

    def test_nesting_without_end(self, tmp_path: Path) -> None:
        assert "not valid TOML" in refusal_of(b"a = " + b"[" * 5000, tmp_path)

    def test_a_number_of_thousands_of_digits(self, tmp_path: Path) -> None:
        assert "not valid TOML" in refusal_of(b"a = " + b"9" * 5000, tmp_path)

    def test_the_mark_that_windows_editors_begin_a_file_with_is_no_error(self, tmp_path: Path) -> None:
        path = tmp_path / "sightpost.toml"
        path.write_text(FULL, encoding="utf-8-sig")
        assert load_config(path).device.id == "gate-1"


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "hint"),
        [
            ("camera", "did you mean 'cameras'?"),
            ("mqttt", "did you mean 'mqtt'?"),
            ("mqtt/prot", "did you mean 'port'?"),
            ("device/identity", "did you mean 'id'?"),
            ("cameras/yard/read_timeout", "did you mean 'read_timeout_s'?"),
            ("models/gate/thread", "did you mean 'threads'?"),
            ("models/gate/input/colour", "did you mean 'color'?"),
            ("watches/gate/hold", "did you mean 'hold_s'?"),
            ("outbox/zzz", "known are: commit_wait_s, max_age_s, max_bytes"),
        ],
    )
    def test_an_unknown_key_is_named_with_its_path_and_the_nearest_right_one(self, path: str, hint: str) -> None:
        message = refusal(changed(path, {}))
        assert message.startswith(f"sightpost.toml: {path.replace('/', '.')}: unknown ")
        # "identity" is not near enough to "id": the choice is listed instead.
        assert hint in message or ("known are" in message and "'id'" in hint)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("device", 3),
            ("device/id", 3),
            ("device/id", ""),
            ("device/id", "a b"),
            ("device/id", "a/b"),
            ("device/id", "-a"),
            ("device/id", "a" * 65),
            ("device/id", "gate\n"),
            ("device/state_dir", ""),
            ("mqtt", []),
            ("mqtt/host", ""),
            ("mqtt/host", "mqtt://broker.local"),
            ("mqtt/host", "two words"),
            ("mqtt/host", "broker..local"),
            ("mqtt/host", "a" * 64),
            ("mqtt/port", 0),
            ("mqtt/port", 65536),
            ("mqtt/port", "1883"),
            ("mqtt/port", 1883.0),
            ("mqtt/port", True),
            ("mqtt/version", 5),
            ("mqtt/version", "3.1"),
            ("mqtt/topic_prefix", "a/#"),
            ("mqtt/topic_prefix", "/a"),
            ("mqtt/topic_prefix", "a//b"),
            ("mqtt/topic_prefix", "a\n"),
            ("mqtt/topic_prefix", ""),
            ("mqtt/password_file", ""),
            ("mqtt/keepalive_s", 4),
            ("mqtt/connect_timeout_s", 0),
            ("mqtt/reconnect_max_s", -1),
            ("mqtt/max_inflight", 0),
            ("outbox/max_bytes", 65_535),
            ("outbox/max_bytes", 10**30),
            ("outbox/max_age_s", math.nan),
            ("outbox/commit_wait_s", 1.1),
            ("cameras/yard/source", ""),
            ("cameras/yard/source", -1),
            ("cameras/yard/source", 64),
            ("cameras/yard/source", 1.5),
            ("cameras/yard/source", True),
            ("cameras/yard/pace", "slow"),
            ("cameras/yard/loop", 1),
            ("cameras/yard/width_px", 15),
            ("cameras/yard/rate_hz", 0),
            ("cameras/yard/read_timeout_s", math.inf),
            ("models/gate/file", ""),
            ("models/gate/file", "gate\0.tflite"),
            ("models/gate/file", "a" * 5000),
            ("models/gate/labels", ""),
            ("models/gate/threads", 0),
            ("models/gate/runtime", "tensorflow"),
            ("models/gate/input/color", "hsv"),
            ("models/gate/input/scaling", "0..2"),
            ("models/gate/input/height_px", 0),
            ("watches/gate/camera", 3),
            ("watches/gate/interval_s", -0.1),
            ("watches/gate/hold_frames", 0),
            ("watches/gate/min_score", 1.01),
            ("watches/gate/min_score", math.nan),
            ("watches/gate/top", 0),
            ("watches/gate/roi", [0, 0, 1]),
        ],
    )
    def test_a_wrong_type_or_value_is_named_with_its_path(self, path: str, value: object) -> None:
        assert refusal(changed(path, value)).startswith(f"sightpost.toml: {path.replace('/', '.')}: ")

    @pytest.mark.parametrize(
        ("roi", "at"),
        [
            ([0.5, 0, 0.5, 1], "roi: "),
            ([0.6, 0, 0.5, 1], "roi: "),
            ([0, 0.9, 1, 0.1], "roi: "),
            ([0, 0, 1, 1.5], "roi[3]: "),
            ([-0.1, 0, 1, 1], "roi[0]: "),
            ([0, math.nan, 1, 1], "roi[1]: "),
            (["left", 0, 1, 1], "roi[0]: "),
        ],
    )
    def test_a_region_that_is_empty_or_outside(self, roi: list[float], at: str) -> None:
        assert refusal(changed("watches/gate/roi", roi)).startswith(f"sightpost.toml: watches.gate.{at}")

    @pytest.mark.parametrize("path", ["device/id", "watches/gate/camera", "watches/gate/model", "models/gate/file"])
    def test_a_key_that_must_be_there(self, path: str) -> None:
        raw = copy.deepcopy(SMALLEST)
        *tables, key = path.split("/")
        table = raw
        for name in tables:
            table = table[name]
        del table[key]
        assert refusal(raw) == f"sightpost.toml: {path.replace('/', '.')}: this key is required"

    @pytest.mark.parametrize("table", ["cameras", "models", "watches"])
    @pytest.mark.parametrize("value", [None, {}, [], 3, [{"source": 0}]])
    def test_at_least_one_camera_model_and_watch(self, table: str, value: object) -> None:
        raw = {**SMALLEST, table: value}
        if value is None:
            del raw[table]
        assert refusal(raw) == f"sightpost.toml: {table}: name at least one, as a table [{table}.NAME]"

    @pytest.mark.parametrize("name", ["a b", "", "ä", "a/b", "+", "-a", "a" * 65, "a\n", "a.b"])
    @pytest.mark.parametrize("table", ["cameras", "models", "watches"])
    def test_a_name_that_is_not_safe_in_a_topic(self, table: str, name: str) -> None:
        raw = {**SMALLEST, table: {name: next(iter(SMALLEST[table].values()))}}
        message = refusal(raw)
        assert message.startswith(f"sightpost.toml: {table}.")
        assert "not a name that can be used" in message
        assert message.isprintable()

    @pytest.mark.parametrize(("key", "table"), [("camera", "yard"), ("model", "gate")])
    def test_a_watch_of_something_that_does_not_exist(self, key: str, table: str) -> None:
        message = refusal(changed(f"watches/gate/{key}", f"{table}s"))
        assert message == (
            f"sightpost.toml: watches.gate.{key}: there is no {key} '{table}s'; did you mean '{table}'?"
        )  # fmt: skip

    def test_a_camera_may_have_no_watch(self) -> None:
        parse_config(changed("cameras/spare", {"source": 1}), where="x", base=Path("/"))

    def test_a_table_name_with_a_line_break_makes_a_message_of_one_line(self) -> None:
        assert refusal({**SMALLEST, "a\nb": 1}).isprintable()

    @pytest.mark.parametrize("key", ["a\nb", "a - at b", "a` - at `$.b"])
    def test_a_key_of_any_characters_is_named_in_one_line(self, key: str) -> None:
        message = refusal({**SMALLEST, "mqtt": {key: 1}})
        assert message.startswith((f"sightpost.toml: mqtt.{key}: unknown", f"sightpost.toml: mqtt.{key!r}: unknown"))
        assert message.isprintable()


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.datetimes(),
        st.sampled_from([0, 1, 0.5, "yard", "gate", "rgb", "5", "auto", "x.tflite"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text("abfilmodesrc_", max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = sorted(
    {
        "device", "device/id", "device/state_dir", "mqtt", "mqtt/host", "mqtt/port", "mqtt/version", "mqtt/username",
        "mqtt/topic_prefix", "mqtt/password_file", "outbox", "outbox/max_bytes", "outbox/max_age_s", "cameras",
        "cameras/yard", "cameras/yard/source", "cameras/yard/pace", "cameras/yard/rate_hz", "models", "models/gate",
        "models/gate/file", "models/gate/input", "models/gate/input/color", "models/gate/input/height_px",
        "models/gate/labels", "watches", "watches/gate", "watches/gate/camera", "watches/gate/model",
        "watches/gate/roi", "watches/gate/min_score", "watches/gate/interval_s", "unheard", "mqtt/unheard",
        "watches/gate/unheard", "models/gate/input/unheard", "cameras/bad name",
    }
)  # fmt: skip


@given(st.sampled_from(PLACES), VALUES)
def test_whatever_is_written_is_loaded_or_refused_by_its_path(place: str, value: object) -> None:
    raw = changed(place, value)
    try:
        config = parse_config(raw, where="sightpost.toml", base=Path("/etc/sightpost"))
    except ConfigError as error:
        message = str(error)
        # The key itself, one inside it, or one beside it that is missing; or a reference that lost its target.
        table = place.partition("/")[0]
        assert re.match(rf"sightpost\.toml: ({table}|watches)[.:\[]", message), message
        assert message.isprintable(), message
    else:
        assert config.watches
        assert all(watch.camera in config.cameras for watch in config.watches.values())
        assert all(watch.model in config.models for watch in config.watches.values())
