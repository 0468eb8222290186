"""From a folder of pictures to MQTT messages, with the real commands, a real clip and a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brokers import eventually, mosquitto
from commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

CLIP = "clips/bottle-detection_first810.mp4"
# As anyone sees who looks at the clip.
TRUTH = ["full", "hand", "missing", "hand", "full", "hand", "missing", "hand", "missing"]

# The first of them trains: a minute on a desktop, several on a busy machine.
pytestmark = [pytest.mark.real_data, pytest.mark.timeout(1800)]


def test_the_trained_file_is_right_and_says_so(run: Run, shelf_model: Path, data_dir: Path) -> None:
    from edge.model_file import read_model_file

    card = read_model_file(shelf_model).card
    assert card is not None
    assert card.labels == ("full", "hand", "missing")
    for kind in ("float", "int8"):
        assert card.metrics[kind]["accuracy"] >= 0.9
    assert card.metrics["agreement"] >= 0.95
    assert card.provenance["data"]["pictures"] == {"full": 57, "hand": 43, "missing": 73}


def test_a_replay_tells_the_true_story_of_the_clip(run: Run, shelf_model: Path, data_dir: Path) -> None:
    done = run("sightpost", "replay", data_dir / CLIP, "--model", shelf_model, "--hold-s", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["label"] for line in lines[:-1]] == TRUTH
    assert lines[-1]["summary"]["frames"] == 810
    assert done.stderr == ""


def test_classify_answers_for_pictures(run: Run, shelf_model: Path, data_dir: Path) -> None:
    pictures = [next((data_dir / "datasets/shelf_bottles" / label).iterdir()) for label in ("full", "hand", "missing")]
    done = run("sightpost", "classify", *pictures, "--model", shelf_model, "--json")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ["full", "hand", "missing"]
    assert [answer["picture"] for answer in answers] == [str(path) for path in pictures]


def configuration(folder: Path, port: int, model: Path, source: str, extra: str = "") -> Path:
    path = folder / "edge.toml"
    path.write_text(
        f"""
[device]
id = "test"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
[cameras.shelf]
source = "{source}"
{extra}
[models.shelf]
file = "{model}"
[watches.bottles]
camera = "shelf"
model = "shelf"
interval_s = 0
hold_s = 0.2
"""
    )
    return path


class MosquittoSub:
    """The subscriber that everybody has."""

    def __init__(self, port: int) -> None:
        words = ["mosquitto_sub", "-p", str(port), "-t", "sightpost/#", "-q", "1", "-F", "%r %t %p"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def lines(self) -> list[tuple[bool, str, dict[str, Any]]]:
        """End it; all that it heard: retained from before, topic, payload."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=10)
        parts = [line.split(" ", 2) for line in output.splitlines()]
        return [(retained == "1", topic, json.loads(payload)) for retained, topic, payload in parts]


def test_a_camera_arrives_at_mosquitto_sub_as_true_states_and_events(
    run: Run, shelf_model: Path, data_dir: Path, tmp_path: Path
) -> None:
    with mosquitto(tmp_path) as broker:
        config = configuration(tmp_path, broker.port, shelf_model, str(data_dir / CLIP))
        checked = run("sightpost", "check", "--config", config)
        assert checked.returncode == 0, checked.stdout
        subscriber = MosquittoSub(broker.port)
        done = run("sightpost", "run", "--config", config)
        assert done.returncode == 0, done.stderr
        late = MosquittoSub(broker.port)
        eventually(lambda: _ready(late), what="the late subscriber has heard something")
        heard, heard_late = subscriber.lines(), late.lines()
    states = [payload for _, topic, payload in heard if topic == "sightpost/test/bottles/state"]
    events = [payload for _, topic, payload in heard if topic == "sightpost/test/bottles/event"]
    assert [state["label"] for state in states] == TRUTH
    assert [event["label"] for event in events] == TRUTH
    assert [event["previous"] for event in events] == [None, *TRUTH[:-1]]
    assert [event["sequence"] for event in events] == list(range(1, 10))
    assert len({payload["id"] for payload in states + events}) == 18
    assert all(0 <= event["score"] <= 1 and event["captured_at"].endswith("Z") for event in events)
    status = [payload["status"] for _, topic, payload in heard if topic == "sightpost/test/status"]
    assert status[0] == "online"
    assert status[-1] == "offline"
    retained = {topic: payload for was_retained, topic, payload in heard_late if was_retained}
    assert retained["sightpost/test/bottles/state"]["label"] == "missing"
    assert retained["sightpost/test/status"]["status"] == "offline"
    assert not any(topic.endswith("event") for topic in retained)


def _ready(subscriber: MosquittoSub) -> bool:
    import select

    assert subscriber._process.stdout is not None
    return bool(select.select([subscriber._process.stdout], [], [], 0)[0])


def test_sigterm_ends_it_in_order_and_nothing_is_lost(shelf_model: Path, data_dir: Path, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        config = configuration(tmp_path, broker.port, shelf_model, str(data_dir / CLIP), "loop = true")
        subscriber = MosquittoSub(broker.port)
        with (tmp_path / "log").open("w") as log:
            daemon = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", config], stderr=log)
        try:
            eventually(lambda: _ready(subscriber), timeout_s=30)
            eventually(lambda: "is looking" in (tmp_path / "log").read_text(), timeout_s=30)
            with pytest.raises(subprocess.TimeoutExpired):
                daemon.wait(4)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
            daemon.wait()
        heard = subscriber.lines()
    assert [payload["label"] for _, topic, payload in heard if topic.endswith("bottles/state")] == ["full"]
    assert [payload["status"] for _, topic, payload in heard if topic.endswith("test/status")][-1] == "offline"
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_answers_given_while_no_broker_is_there_arrive_later(
    shelf_model: Path, data_dir: Path, tmp_path: Path, run: Run
) -> None:
    broker = mosquitto(tmp_path)
    config = configuration(tmp_path, broker.port, shelf_model, str(data_dir / CLIP), 'pace = "fast"')
    offline = run("sightpost", "run", "--config", config)
    assert offline.returncode == 0, offline.stderr
    assert "Answers are kept" in offline.stderr
    with broker:
        subscriber = MosquittoSub(broker.port)
        again = run("sightpost", "run", "--config", config)
        assert again.returncode == 0, again.stderr
        heard = subscriber.lines()
    events = [payload for _, topic, payload in heard if topic.endswith("bottles/event")]
    assert [event["label"] for event in events] == TRUTH + TRUTH
    assert [event["sequence"] for event in events] == list(range(1, 19))
    assert all(event["replayed"] for event in events[:9])
