"""What may be told to a device, and that it is done once, in time, and answered."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from delivery import TOPICS
from hypothesis import given
from hypothesis import strategies as st

from edge.commands import Desk, Request, Result
from edge.commands.handlers import then
from edge.commands.requests import BODIES, CommandError, parse
from edge.config import CommandsConfig
from edge.publisher.session import Heard, Notice


class Office:
    """A desk with a clock set by hand, whose work is done by the test."""

    def __init__(self, **config: Any) -> None:
        self.now_s = 1000.0
        self.said: list[Notice] = []
        self.asked: list[tuple[Request, Future[Result]]] = []
        settings = CommandsConfig(**({"allow": tuple(BODIES)} | config))
        self.desk = Desk(settings, TOPICS, self.said.append, monotonic=lambda: self.now_s, clock=lambda: 0.0)
        self.desk.open(dict.fromkeys(BODIES, self._handle))

    def _handle(self, request: Request) -> Future[Result]:
        future: Future[Result] = Future()
        self.asked.append((request, future))
        return future

    def hear(self, tail: str, payload: bytes = b"", **properties: Any) -> None:
        self.desk.heard(Heard(f"sightpost/porch/cmd/{tail}", payload, **({"retained": False} | properties)))

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(notice.payload) for notice in self.said]


def test_a_command_is_done_and_answered_where_its_sender_wants_it() -> None:
    office = Office()
    office.hear("pause/gate", b'{"id": "7"}', response_topic="answers/me", correlation=b"\x00\x01")
    [(request, future)] = office.asked
    assert (request.name, request.watch) == ("pause", "gate")
    assert office.said == []
    future.set_result({"paused": True})
    [notice] = office.said
    assert (notice.topic, notice.correlation, notice.retain) == ("answers/me", b"\x00\x01", False)
    [answer] = office.answers()
    assert answer["ok"]
    assert (answer["command"], answer["watch"], answer["id"], answer["error"]) == ("pause", "gate", "7", None)
    assert answer["result"] == {"paused": True}


@pytest.mark.parametrize(
    "topic", ["sightpost/porch/gate/state", "sightpost/attic/cmd/reload", "answers/#", "", "a\x00b", "x" * 2000]
)
def test_an_answer_cannot_be_made_to_pass_for_something_else(topic: str) -> None:
    office = Office()
    office.hear("pause/gate", response_topic=topic, correlation=b"1")
    office.asked[0][1].set_result({})
    assert office.said[0].topic == "sightpost/porch/cmd/response"


def test_nothing_is_listened_to_unless_something_is_allowed() -> None:
    assert Office(allow=()).desk.subscriptions == ()
    assert Office(allow=("look",)).desk.subscriptions == ("sightpost/porch/cmd/#",)


def test_what_is_not_allowed_is_not_done_and_says_so() -> None:
    office = Office(allow=("look",))
    office.hear("reload", b'{"id": "a"}')
    assert office.asked == []
    [answer] = office.answers()
    assert (answer["ok"], answer["id"]) == (False, "a")
    assert "commands.allow" in answer["error"]


def test_a_retained_command_is_ignored_without_a_word() -> None:
    office = Office()
    office.hear("reload", retained=True)
    assert (office.asked, office.said) == ([], [])


def test_its_own_answers_and_other_topics_are_no_commands() -> None:
    office = Office()
    office.hear("response", b"{}")
    office.desk.heard(Heard("homeassistant/status", b"online", retained=False))
    assert (office.asked, office.said) == ([], [])


@pytest.mark.parametrize(
    "properties", [{"correlation": b"abc", "response_topic": "answers/me"}, {"payload": b'{"id": "abc"}'}]
)
def test_what_comes_twice_is_done_once_and_answered_twice(properties: dict[str, Any]) -> None:
    office = Office()
    office.hear("look/gate", **properties)
    office.hear("look/gate", **properties)
    assert len(office.asked) == 1
    office.asked[0][1].set_result({"label": "open"})
    assert len(office.said) == 1
    office.hear("look/gate", **properties)
    assert len(office.asked) == 1
    assert office.said[0] == office.said[1]
    office.hear("look/bay", **properties)
    assert len(office.asked) == 2, "the same mark on another topic is another command"


def test_commands_without_a_mark_are_all_done() -> None:
    office = Office()
    for _ in range(3):
        office.hear("look/gate")
    assert len(office.asked) == 3


def test_what_takes_too_long_is_given_up_and_said_so_once() -> None:
    office = Office(timeout_s=5.0)
    office.hear("look/gate", b'{"id": "1"}')
    office.hear("pause/gate", b'{"id": "2"}')
    office.asked[1][1].set_running_or_notify_cancel()
    office.now_s += 4.9
    office.desk.tick(office.now_s)
    assert office.said == []
    office.now_s += 0.2
    office.desk.tick(office.now_s)
    assert office.asked[0][1].cancelled()
    office.asked[1][1].set_result({})  # it was under way, and comes too late
    office.desk.tick(office.now_s)
    assert [(answer["id"], answer["ok"]) for answer in office.answers()] == [("1", False), ("2", False)]
    assert "5 s, and given up; does the camera give frames?" in office.answers()[0]["error"]


def test_what_ends_before_its_time_is_not_said_to_have_taken_too_long() -> None:
    office = Office(timeout_s=5.0)
    office.hear("look/gate", b'{"id": "1"}')
    office.asked[0][1].cancel()  # as the observer does with what was asked of a watch that is reloaded
    assert office.answers()[0]["error"] == "the watch was reloaded or has ended, and given up"


def test_what_fails_is_answered_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.hear("reload", b'{"id": "1"}')
    office.hear("reload", b'{"id": "2"}')
    office.asked[0][1].set_exception(CommandError("the file is wrong"))
    office.asked[1][1].set_exception(ZeroDivisionError())
    assert [answer["error"] for answer in office.answers()] == [
        "the file is wrong",
        "failed by a fault in the program; its log says more",
    ]
    assert "ZeroDivisionError" in caplog.text


def test_too_many_commands_are_refused_and_the_refusals_are_few(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(per_minute=10)
    for number in range(1000):
        office.hear("look/gate", b'{"id": "%d"}' % number)
    assert len(office.asked) == 10
    assert len(office.said) == 1
    assert "in a minute" in office.answers()[0]["error"]
    assert len(caplog.records) <= 2
    office.now_s += 61
    office.hear("look/gate", b'{"id": "later"}')
    assert len(office.asked) == 11


def test_before_the_device_has_started_it_says_so() -> None:
    office = Office()
    office.desk.open({})
    office.hear("look/gate")
    assert "starting" in office.answers()[0]["error"]


@pytest.mark.parametrize(
    ("tail", "payload", "message"),
    [
        ("puase/gate", b"", "did you mean 'pause'?"),
        ("pause", b"", "needs a watch: say it on cmd/pause/WATCH"),
        ("reload/gate", b"", "concerns the whole device"),
        ("pause/" + "x" * 65, b"", "pause: not understood"),
        ("pause/gate", b"[1]", "must be a JSON object"),
        ("pause/gate", b"PRESS", "not understood"),
        ("pause/gate", b"\xff\x00", "not understood"),
        ("pause/gate", b"[" * 4000, "not understood"),
        ("pause/gate", b'{"id": "%s"}' % (b"x" * 5000), "more than the 4096"),
        ("pause/gate", b'{"idd": "1"}', "pause: idd: unknown key; did you mean 'id'?"),
        ("interval/gate", b'{"interval": 1}', "interval: unknown key; did you mean 'interval_s'?"),
        ("interval/gate", b"{}", "interval_s: this key is required"),
        ("interval/gate", b'{"interval_s": "1"}', "expected `float`, got `str`"),
        ("interval/gate", b'{"interval_s": -1}', ">= 0"),
        ("interval/gate", b'{"interval_s": 1e999}', "out of range"),
        ("teach/gate", b'{"label": ""}', "length >= 1"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(tail: str, payload: bytes, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(tail, payload)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(), st.binary())
def test_whatever_is_said_is_either_a_command_or_refused(tail: str, payload: bytes) -> None:
    office = Office()
    office.hear(tail, payload)
    if tail != "response":
        assert len(office.asked) + len(office.said) == 1


def test_a_future_of_a_future_is_given_up_with_it() -> None:
    source: Future[int] = Future()
    target = then(source, lambda number: {"number": number})
    target.cancel()
    assert source.cancelled()
    other: Future[int] = Future()
    failing = then(other, lambda number: {"number": 1 // number})
    other.set_result(0)
    assert isinstance(failing.exception(), ZeroDivisionError)


def test_a_command_that_is_no_utf_8_is_refused_like_any_other_nonsense() -> None:
    office = Office()
    office.hear("pause/gate", b'{"id": "\xff"}')
    office.hear("pause/gate", b'{"\xff": 1}')
    office.hear("pause/gate", b'{"id": "7", "label": "\xff"}')
    assert office.asked == []
    assert [answer["ok"] for answer in office.answers()] == [False, False, False]
    assert "not understood" in office.answers()[0]["error"]
