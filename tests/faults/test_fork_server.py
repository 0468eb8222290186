"""What cameras are forked from dies, hangs or runs short: cameras come nevertheless, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brokers import eventually
from watching import Watcher, pid_of

from edge import zygote as zygotes
from edge.camera import Camera, process
from edge.config import CameraConfig
from edge.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator


def state_of(pid: int) -> str:
    """``T`` is stopped, ``Z`` dead and not waited for; nothing where there is no such process."""
    status = Path(f"/proc/{pid}/stat")
    return status.read_text().rpartition(")")[2].split()[0] if status.exists() else ""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zygote]:
    """One that has been asked for nothing yet, in place of the program's own."""
    zygote = Zygote()
    monkeypatch.setattr(process, "zygote", lambda: zygote)
    yield zygote
    zygote.stop()


NO_OPENCV = """
import time
from edge.camera import Camera
from edge.config import CameraConfig

with Camera("yard", CameraConfig(source="scene:gate")) as camera:
    camera.start()
    end_s = time.monotonic() + 30
    while camera.status.last_error is None and time.monotonic() < end_s:
        camera.receive()
        time.sleep(0.01)
    print(camera.status.state, camera.status.last_error)
"""


def test_a_camera_that_has_nothing_to_be_forked_from_says_so(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise RuntimeError('as with an OpenCV that cannot be loaded')\n")
    (tmp_path / "program.py").write_text(NO_OPENCV)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert "camera yard: the decoder died (what it is forked from has died)" in done.stdout
    assert "as with an OpenCV" in done.stderr


def test_a_list_of_processes_shows_which_camera_is_which() -> None:
    with Camera("north-gate", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        shown = Path(f"/proc/{pid_of(camera)}/comm")
        eventually(lambda: shown.read_text().strip() == "camera-north-gate"[:15])


def test_it_is_started_again_when_it_has_died(fresh: Zygote) -> None:
    for _ in range(2):
        with Camera("yard", CameraConfig(source="scene:gate")) as camera:
            camera.start()
            Watcher(camera).until(lambda: camera.status.state == "live")
            os.kill(fresh.pid, signal.SIGKILL)
            time.sleep(0.1)
            assert camera.status.state == "live", "what was forked from it goes on"


@pytest.mark.parametrize("parent_dies", [True, False], ids=["what it is forked from is dead", "alive"])
def test_a_decoder_that_cannot_run_is_ended_all_the_same(fresh: Zygote, *, parent_dies: bool) -> None:
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        Watcher(camera).until(lambda: camera.status.state == "live")
        decoder = pid_of(camera)
        if parent_dies:
            os.kill(fresh.pid, signal.SIGKILL)
        os.kill(decoder, signal.SIGSTOP)
        eventually(lambda: state_of(decoder) == "T")
    eventually(lambda: state_of(decoder) in {"", "Z"})


def test_one_that_hangs_is_replaced_and_holds_up_nobody(fresh: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_HUNG_S", 0.5)
    fresh.warm_up()
    hung = fresh.pid
    os.kill(hung, signal.SIGSTOP)
    began_s = time.monotonic()
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
    for _ in range(400):  # more than a socket takes
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            fresh.fork(b"", theirs).kill(1.0)
        if fresh.pid != hung:
            break
    assert time.monotonic() - began_s < 5
    time.sleep(0.6)
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        Watcher(camera).until(lambda: camera.status.state == "live")
    assert fresh.pid != hung
    assert not state_of(hung)


def test_signals_to_the_whole_group_are_for_the_daemon_alone(fresh: Zygote) -> None:
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        decoder = pid_of(camera)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(fresh.pid, each)
            os.kill(decoder, each)
        Watcher(camera).until(lambda: camera.status.delivered > 3)
        assert (pid_of(camera), camera.status.last_error) == (decoder, None)


def test_it_takes_along_no_descriptor_of_others_and_outlives_odd_deaths(fresh: Zygote) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003  that is its signature
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        decoder = pid_of(camera)
        os.close(writing)
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b"", "somebody holds the other end"
        os.close(reading)
        os.kill(decoder, signal.SIGRTMIN + 1)
        Watcher(camera).until(lambda: camera.status.last_error is not None)
        assert camera.status.last_error == f"camera yard: the decoder died (signal {signal.SIGRTMIN + 1})"
        assert state_of(fresh.pid) in {"S", "R"}


def test_a_request_that_makes_no_sense_ends_with_a_reason_and_nothing_else_does(
    fresh: Zygote, capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        forked = fresh.fork(b"nonsense", theirs)
        assert forked.pid
        assert forked.end(10.0) == "exit code 1"
        forked.kill(1.0)
    assert "msgspec" in capfd.readouterr().err
    assert state_of(fresh.pid) in {"S", "R"}


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_nothing_is_left_behind_by_many_cameras_that_came_and_went(fresh: Zygote) -> None:
    with Camera("yard", CameraConfig(source="scene:gate")) as camera:
        camera.start()
        assert camera.pid
    parent = fresh.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    eventually(lambda: not children.read_text())
    time.sleep(0.2)
    before = descriptors_of(os.getpid()), descriptors_of(parent)
    for _ in range(20):
        with Camera("yard", CameraConfig(source="scene:gate")) as camera:
            camera.start()
    eventually(lambda: not children.read_text())
    eventually(lambda: (descriptors_of(os.getpid()), descriptors_of(parent)) == before)
