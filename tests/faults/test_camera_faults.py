"""Cameras and decoders that die, hang or answer nothing: mended without a person, the other cameras keep their pace."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from watching import Watcher, free_port, pid_of, waited_s

from edge.camera import Camera, recorded_frames
from edge.config import CameraConfig
from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.frame import Frame

GATE = CameraConfig(source="scene:gate", rate_hz=20, read_timeout_s=2, open_timeout_s=20, stale_after_s=1.0)


@pytest.mark.parametrize(
    ("injected", "complaint"),
    [
        (signal.SIGKILL, "the decoder died (SIGKILL)"),
        (signal.SIGSEGV, "the decoder died (SIGSEGV)"),
        (signal.SIGSTOP, "the decoder hangs: nothing heard of it for 4 s"),
    ],
)
def test_a_decoder_that_dies_or_hangs_is_replaced_and_the_other_camera_keeps_its_pace(
    injected: signal.Signals, complaint: str
) -> None:
    with Camera("victim", GATE, rng=random.Random(0)) as victim, Camera("other", GATE) as other:
        victim.start()
        other.start()
        watcher = Watcher(victim, other)
        watcher.until_more(victim, 3)
        watcher.until_more(other, 3)
        old = pid_of(victim)
        others_before = len(watcher.frames["other"])
        started_s, waited_before_s = time.monotonic(), waited_s()
        os.kill(old, injected)
        watcher.until(lambda: victim.status.restarts == 1)
        watcher.until_more(victim, 3)
        took_s = time.monotonic() - started_s
        excused_s = waited_s() - waited_before_s
        status = victim.status
        assert status.state == "live"
        assert status.last_error == f"camera victim: {complaint}"
        assert took_s < 10 + excused_s
        assert pid_of(victim) != old
        assert not Path(f"/proc/{old}").exists()
        numbers = [frame.number for frame in watcher.frames["victim"]]
        assert numbers == sorted(set(numbers))
        assert len(watcher.frames["other"]) - others_before > 0.7 * 20 * (took_s - excused_s)
        assert other.status.restarts == 0


def slow_jpeg() -> bytes:
    """A megabyte that takes minutes to decode: a progressive picture whose last refinement is sent again and again."""
    picture = np.full((4000, 4000, 3), 128, np.uint8)
    whole = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last_refinement = whole[whole.rindex(b"\xff\xc4") : -2]
    return whole[:-2] + 20_000 * last_refinement + whole[-2:]


@pytest.mark.slow
def test_a_picture_that_hangs_its_decoder_holds_up_a_hot_folder_no_longer_than_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(slow_jpeg())
    os.utime(tmp_path / "a.jpg", (1, 1))
    fine = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "b.jpg"), fine)
    config = CameraConfig(source=str(tmp_path), hot="move", open_timeout_s=1, read_timeout_s=1)
    with Camera("inbox", config) as camera:
        camera.start()
        watcher = Watcher(camera)
        watcher.until_more(camera, 1)
        assert camera.status.restarts == 2
        watcher.until(lambda: camera.status.damaged == 1)
        assert (tmp_path / "damaged" / "a.jpg").exists()


def test_a_recording_whose_decoder_dies_fails_instead_of_ending_early_or_beginning_again() -> None:
    config = CameraConfig(source="scene:gate", pace="fast", width_px=64, height_px=48)
    with Camera("clip", config) as camera:
        camera.start()
        frames = recorded_frames(camera)
        next(frames)
        os.kill(pid_of(camera), signal.SIGKILL)
        with pytest.raises(CameraError, match=r"camera clip: the decoder died \(SIGKILL\)"):
            list(frames)
        assert camera.status.state == "failed"


def test_a_frame_in_use_survives_the_death_of_its_decoder() -> None:
    with Camera("gate", GATE) as camera:
        camera.start()
        watcher = Watcher(camera)
        camera.request()
        held: list[Frame] = []
        deadline_s = time.monotonic() + 20
        while not held and time.monotonic() < deadline_s:
            wait([camera.connection] if camera.connection else [], timeout=0.05)
            held = camera.receive()
        copy = held[0].image.copy()
        os.kill(pid_of(camera), signal.SIGKILL)
        watcher.until_more(camera, 8)
        assert (held[0].image == copy).all()
        camera.release(held[0])
        watcher.until_more(camera, 8)


def test_an_interrupt_from_the_terminal_does_not_kill_the_decoder() -> None:
    with Camera("gate", GATE) as camera:
        camera.start()
        watcher = Watcher(camera)
        watcher.until_more(camera, 2)
        os.kill(pid_of(camera), signal.SIGINT)
        watcher.until_more(camera, 20)
        assert camera.status.restarts == 0


MJPEG_SERVER = """
import itertools, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import cv2, numpy as np

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for number in itertools.count():
            width_px = int(sys.argv[2])
            picture = cv2.imencode(".jpg", np.full((96, width_px, 3), number % 256, np.uint8))[1].tobytes()
            head = "--next\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(picture)
            self.wfile.write(head.encode() + picture + b"\\r\\n")
            time.sleep(0.04)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def mjpeg_server(port: int, width_px: int = 128) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MJPEG_SERVER, str(port), str(width_px)], stderr=subprocess.DEVNULL)


def test_an_http_camera_that_is_killed_goes_stale_and_is_found_when_it_is_back_even_with_another_size() -> None:
    port = free_port()
    config = CameraConfig(
        source=f"http://user:secret@127.0.0.1:{port}/?key=secret",
        open_timeout_s=3,
        read_timeout_s=1,
        stale_after_s=1.0,
    )
    server = mjpeg_server(port)
    try:
        with Camera("http", config) as camera:
            camera.start()
            watcher = Watcher(camera)
            watcher.until_more(camera, 5)
            server.kill()
            server.wait()
            watcher.until(lambda: camera.status.state == "stale" and camera.status.restarts >= 1)
            error = camera.status.last_error or ""
            assert f"http://***@127.0.0.1:{port}/?***" in error
            assert "secret" not in error
            server = mjpeg_server(port, width_px=256)
            back_s = time.monotonic() - waited_s()
            watcher.until_more(camera, 5)
            assert time.monotonic() - waited_s() - back_s < 12  # ten, and the server's own start
            assert camera.status.state == "live"
            assert camera.status.width_px == 256
            assert watcher.frames["http"][-1].image.shape == (96, 256, 3)
    finally:
        server.kill()
        server.wait()


def test_an_http_camera_that_freezes_is_given_up_and_found_again() -> None:
    port = free_port()
    config = CameraConfig(source=f"http://127.0.0.1:{port}/", open_timeout_s=3, read_timeout_s=1, stale_after_s=1.0)
    server = mjpeg_server(port)
    try:
        with Camera("http", config) as camera:
            camera.start()
            watcher = Watcher(camera)
            watcher.until_more(camera, 5)
            server.send_signal(signal.SIGSTOP)
            watcher.until(lambda: camera.status.state == "stale" and camera.status.last_error is not None)
            server.send_signal(signal.SIGCONT)
            watcher.until_more(camera, 5, timeout_s=90)
            assert camera.status.state == "live"
    finally:
        server.kill()
        server.wait()


def test_a_camera_that_accepts_but_never_answers_delays_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        config = CameraConfig(
            source=f"http://127.0.0.1:{silent.getsockname()[1]}/", open_timeout_s=1, read_timeout_s=0.5, stale_after_s=2
        )
        with Camera("tarpit", config) as tarpit, Camera("other", GATE) as other:
            tarpit.start()
            other.start()
            watcher = Watcher(tarpit, other)
            watcher.until_more(other, 3)
            watcher.longest_s = 0.0
            excused_s = -waited_s()
            watcher.until(lambda: tarpit.status.restarts >= 2)
            excused_s += waited_s()
            assert tarpit.status.state == "stale"
            assert "cannot be opened" in (tarpit.status.last_error or "")
            assert watcher.longest_s < 0.5 + excused_s
            assert other.status.restarts == 0


def test_a_camera_that_is_not_there_is_retried_with_growing_pauses() -> None:
    config = CameraConfig(source=f"http://127.0.0.1:{free_port()}/", open_timeout_s=1, stale_after_s=0.5)
    with Camera("absent", config, rng=random.Random(0)) as camera:
        camera.start()
        watcher = Watcher(camera)
        started_s = time.monotonic()
        watcher.until(lambda: camera.status.restarts == 4)
        assert time.monotonic() - started_s > 0.25 + 0.5 + 1 + 2
        assert watcher.states["absent"] == ["starting", "stale"]


def test_a_missing_device_is_waited_for() -> None:
    with Camera("usb", CameraConfig(source="/dev/video63", stale_after_s=0.5)) as camera:
        camera.start()
        watcher = Watcher(camera)
        watcher.until(lambda: camera.status.restarts >= 2)
        assert camera.status.state == "stale"
        assert camera.status.last_error is not None
        assert camera.status.last_error.startswith("camera usb: /dev/video63 cannot be opened: not plugged in")


ORPHAN = """
import sys, time
from edge.camera import Camera
from edge.config import CameraConfig
camera = Camera("gate", CameraConfig(source=sys.argv[1], open_timeout_s=60))
camera.start()
print(camera.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("hung", [False, True], ids=["working", "hung in OpenCV"])
def test_a_decoder_ends_when_the_daemon_is_killed(*, hung: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent, ExitStack() as connections:
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/" if hung else "scene:gate"
        with subprocess.Popen([sys.executable, "-c", ORPHAN, source], stdout=subprocess.PIPE, text=True) as daemon:
            assert daemon.stdout is not None
            pid = int(daemon.stdout.readline())
            if hung:  # it has connected, and now waits a minute for an answer
                connections.enter_context(silent.accept()[0])
            assert Path(f"/proc/{pid}").exists()
            daemon.kill()
        deadline_s = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
