"""What kind of source a configuration names, and that no message gives its credentials away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.address import Kind, is_recording, is_replaceable, kind_of, redacted
from edge.config import CameraConfig
from edge.errors import CameraError

if TYPE_CHECKING:
    from pathlib import Path

URLISH = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (0, Kind.DEVICE),
        ("/dev/video2", Kind.DEVICE),
        ("/dev/v4l/by-id/usb-camera", Kind.DEVICE),
        ("rtsp://10.0.0.2/stream", Kind.STREAM),
        ("https://10.0.0.2/video.mjpg", Kind.STREAM),
        ("scene:gate", Kind.SCENE),
        ("/somewhere/clip.mp4", Kind.VIDEO),
        ("clip.mp4", Kind.VIDEO),
    ],
)
def test_sources_are_told_apart_by_their_address(source: str | int, kind: Kind) -> None:
    assert kind_of(source) is kind


def test_a_folder_is_told_from_a_video(tmp_path: Path) -> None:
    assert kind_of(str(tmp_path)) is Kind.FOLDER


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("scene:moon", "no scene 'moon'; known are: gate"), ("rtsp:10.0.0.2", "a URL begins with rtsp://")],
)
def test_an_impossible_address_is_refused_with_what_would_be_right(source: str, complaint: str) -> None:
    with pytest.raises(CameraError, match=complaint):
        kind_of(source)


def test_only_what_can_wait_is_a_recording() -> None:
    assert is_recording(CameraConfig(source="clip.mp4", pace="fast"))
    assert is_recording(CameraConfig(source="scene:gate", pace="fast"))
    assert not is_recording(CameraConfig(source="clip.mp4"))
    assert not is_recording(CameraConfig(source="rtsp://host/", pace="fast"))


def test_a_missing_device_may_come_back_but_a_missing_file_does_not() -> None:
    assert is_replaceable(CameraConfig(source="/dev/video0"))
    assert is_replaceable(CameraConfig(source="http://host/"))
    assert not is_replaceable(CameraConfig(source="clip.mp4"))


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
        (3, "camera 3"),
    ],
)
def test_messages_name_a_source_without_its_secrets(source: str | int, shown: str) -> None:
    assert redacted(source) == shown


@given(user=URLISH, password=URLISH, query=URLISH)
def test_no_password_survives_redaction(user: str, password: str, query: str) -> None:
    shown = redacted(f"rtsp://{user}:{password}@host.example/live?key={query}")
    assert shown in {"rtsp://***@host.example/live?***", "rtsp://***"}
