"""What kind of source a configuration names, and that no message gives its credentials away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import CameraConfig
from edge.config.source import Kind, kind_of, redacted, split_glob
from edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

URLISH = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (0, Kind.DEVICE),
        ("/dev/video2", Kind.DEVICE),
        ("/dev/v4l/by-id/usb-camera", Kind.DEVICE),
        ("/dev/shm/clip.mp4", Kind.VIDEO),  # noqa: S108  a place like any other
        ("/dev/shm/newest.jpg", Kind.PICTURES),  # noqa: S108  likewise
        ("rtsp://10.0.0.2/stream", Kind.STREAM),
        ("https://10.0.0.2/video.mjpg", Kind.STREAM),
        ("http://user:p%C3%A4ss@[fe80::1%25eth0]:8080/a?b=c", Kind.STREAM),
        ("udp://@239.0.0.1:1234", Kind.STREAM),
        ("srt://:9000?mode=listener", Kind.STREAM),
        ("scene:gate", Kind.SCENE),
        ("gst:videotestsrc ! appsink", Kind.PIPELINE),
        ("pictures/*.jpg", Kind.PICTURES),
        ("door.JPG", Kind.PICTURES),
        ("/somewhere/clip.mp4", Kind.VIDEO),
        ("clip.mp4", Kind.VIDEO),
    ],
)
def test_sources_are_told_apart_by_their_address(source: str | int, kind: Kind) -> None:
    assert kind_of(source) is kind


def test_a_folder_is_told_from_a_video(tmp_path: Path) -> None:
    assert kind_of(str(tmp_path)) is Kind.PICTURES


def test_a_pattern_begins_where_no_folder_bears_its_name(tmp_path: Path) -> None:
    (tmp_path / "yard [1]").mkdir()
    assert split_glob(str(tmp_path / "yard [1]" / "*" / "a?.jpg")) == (tmp_path / "yard [1]", "*/a?.jpg")
    assert split_glob(str(tmp_path / "*.jpg")) == (tmp_path, "*.jpg")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("scene:moon", "no scene 'moon'; known are: gate"),
        ("rtsp:10.0.0.2", "a URL begins with rtsp://"),
        ("rtsp:///live", "a URL begins with rtsp:// and a host"),
        ("HTTP://10.0.0.2/", "write http in small letters"),
        ("htp://10.0.0.2/", "did you mean 'http'"),
        ("file:///etc/passwd", "file is no kind of source"),
        ("concat:a.ts|b.ts", "concat is no kind of source"),
        ("rtsp://10.0.0.2:99999/live", "rtsp://10.0.0.2:99999/live: no address: a port is a number up to 65535"),
        ("http://10.0.0.2:port/", "no address: a port is a number"),
        ("http://[fe80::1/", "an IPv6 address stands in .brackets"),
        ("http://:80/", "there is no host in it"),
        ("http://10.0.0.2/garage left.jpg", "spaces and letters beyond ASCII are percent-encoded"),
        ("http://10.0.0.2/küche.jpg", "spaces and letters beyond ASCII are percent-encoded"),
    ],
)
def test_an_impossible_address_is_refused_with_what_would_be_right(source: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        kind_of(source)


@pytest.mark.parametrize("password", ["s/cret", "s#cret", "s?cret", "secret\u2100", "[secret"])
def test_a_password_that_would_be_mistaken_for_something_else_is_refused_without_naming_it(password: str) -> None:
    with pytest.raises(ConfigError, match="percent-encoded") as caught:
        kind_of(f"rtsp://user:{password}@10.0.0.2/live")
    assert "cret" not in str(caught.value)


def test_only_what_can_wait_is_a_recording() -> None:
    assert CameraConfig(source="clip.mp4", pace="fast").is_recording
    assert CameraConfig(source="scene:gate", pace="fast").is_recording
    assert not CameraConfig(source="clip.mp4").is_recording
    assert not CameraConfig(source="rtsp://host/", pace="fast").is_recording


def test_a_missing_device_may_come_back_but_a_missing_file_does_not() -> None:
    assert CameraConfig(source="/dev/video0").is_replaceable
    assert CameraConfig(source="http://host/").is_replaceable
    assert not CameraConfig(source="clip.mp4").is_replaceable


def test_a_path_that_cannot_be_looked_at_is_left_to_the_one_who_opens_it() -> None:
    assert kind_of("a" * 300) is Kind.VIDEO  # no file system takes so long a name


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:secret@10.0.0.2:554/live/1", "rtsp://***@10.0.0.2:554/live/1"),
        ("rtsp://user:s/cr@t@10.0.0.2/live", "rtsp://***@10.0.0.2/live"),
        ("http://10.0.0.2/snap.cgi?user=me&password=secret", "http://10.0.0.2/snap.cgi?***"),
        ("http://10.0.0.2/snap.cgi?mail=a@b&password=secret", "http://***"),
        ("http://10.0.0.2/video.mjpg", "http://10.0.0.2/video.mjpg"),
        ("/srv/clips/a@b.mp4", "/srv/clips/a@b.mp4"),
        ("gst:rtspsrc user-pw=secret location=rtsp://host ! appsink", "gst:rtspsrc …"),
        (3, "camera 3"),
    ],
)
def test_messages_name_a_source_without_its_secrets(source: str | int, shown: str) -> None:
    assert redacted(source) == shown


@given(user=URLISH, password=URLISH, query=URLISH)
def test_no_password_survives_redaction(user: str, password: str, query: str) -> None:
    shown = redacted(f"rtsp://{user}:{password}@host.example/live?key={query}")
    assert shown in {"rtsp://***@host.example/live?***", "rtsp://***"}
