"""Streams of a real RTSP server and of HTTP cameras that hang, die, lie, or show nothing worth an answer."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import threading
import time
import zlib
from contextlib import ExitStack, suppress
from multiprocessing import Process
from pathlib import Path

import pytest
from rtsp import ENCODER, moving, rtsp_server
from watching import Watcher, free_port, waited_s

from edge.camera import Camera
from edge.config import CameraConfig

OTHER = CameraConfig(source="scene:gate", rate_hz=20, width_px=320, height_px=180)
RAW = "video/x-raw,width=640,height=360,framerate=25/1"


def stream(port: int, **settings: object) -> CameraConfig:
    timeouts = {"open_timeout_s": 4.0, "read_timeout_s": 2.0, "stale_after_s": 1.5}
    return CameraConfig(source=f"rtsp://127.0.0.1:{port}/live", **(timeouts | settings))  # type: ignore[arg-type]


def test_an_rtsp_server_that_is_killed_and_started_again_is_found_and_asks_for_its_password(tmp_path: Path) -> None:
    port = free_port()
    secret = tmp_path / "secret"
    secret.write_text("p@ss/w?rd\n")
    config = stream(port, username="viewer", password_file=str(secret))
    with ExitStack() as stack, Camera("rtsp", config) as camera:
        server = stack.enter_context(rtsp_server(port, moving(), "viewer", "p@ss/w?rd"))
        camera.start()
        watcher = Watcher(camera)
        watcher.until_more(camera, 10)
        assert camera.status.state == "live"
        decoder = Path(f"/proc/{camera.pid}")
        for place in ("cmdline", "environ"):
            assert b"ss/w" not in (decoder / place).read_bytes()
            assert b"ss%2Fw" not in (decoder / place).read_bytes()
        server.kill()
        server.wait()
        watcher.until(lambda: camera.status.state == "stale" and camera.status.restarts >= 1)
        stack.enter_context(rtsp_server(port, moving(320, 180), "viewer", "p@ss/w?rd"))
        began_s = time.monotonic() - waited_s()
        watcher.until_more(camera, 5)
        assert time.monotonic() - waited_s() - began_s < 10 + 2  # and the server's own start
        assert (camera.status.state, camera.status.width_px) == ("live", 320)
        assert "w?rd" not in str(camera.status)
        assert "w%3Frd" not in str(camera.status)


def test_a_stream_that_does_not_open_says_why(tmp_path: Path) -> None:
    def reason(port: int, path: str = "live", word: str = "right") -> str:
        (tmp_path / "secret").write_text(word)
        config = CameraConfig(
            source=f"rtsp://127.0.0.1:{port}/{path}", username="viewer", password_file=str(tmp_path / "secret")
        )
        with Camera("rtsp", config) as camera:
            camera.start()
            Watcher(camera).until(lambda: camera.status.last_error)
            assert camera.status.last_error is not None
            return camera.status.last_error.partition("cannot be opened: ")[2]

    port = free_port()
    assert reason(port) == "Connection refused; is it on, and are address and port in source right?"
    with rtsp_server(port, moving(), "viewer", "right"):
        assert reason(port, word="wr-ng") == "it answers 401; see username and password_file"
        assert reason(port, "lvie") == "it answers 404; see the path in source"


def test_a_wrong_password_is_shown_to_an_rtsp_camera_once_each_attempt(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong")
    callers = 0

    def refuse(server: socket.socket) -> None:
        nonlocal callers
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            callers += 1
            with caller:
                for number in itertools.count(1):
                    if not caller.recv(4096):
                        break
                    no = f'RTSP/1.0 401 Unauthorized\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm="yard"\r\n\r\n'
                    caller.sendall(no.encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        config = stream(server.getsockname()[1], username="viewer", password_file=str(tmp_path / "secret"))
        with Camera("rtsp", config) as camera:
            camera.start()
            Watcher(camera).until(lambda: camera.status.last_error)
            assert camera.status.last_error is not None
            assert "it answers 401" in camera.status.last_error
            assert callers == 1
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_an_rtsp_server_that_hangs_is_noticed_and_found_again_while_another_camera_keeps_its_pace() -> None:
    port = free_port()
    with rtsp_server(port, moving()) as server, Camera("rtsp", stream(port)) as camera, Camera("other", OTHER) as other:
        camera.start()
        other.start()
        watcher = Watcher(camera, other)
        watcher.until_more(camera, 10)
        watcher.longest_s = 0.0
        began_s, excused_s = time.monotonic(), -waited_s()
        server.send_signal(signal.SIGSTOP)
        watcher.until(lambda: camera.status.state == "stale" and camera.status.last_error is not None)
        assert time.monotonic() - began_s < 10 + excused_s + waited_s()
        server.send_signal(signal.SIGCONT)
        watcher.until_more(camera, 10)
        assert camera.status.state == "live"
        assert other.status.restarts == 0
        assert watcher.longest_s < 0.5 + excused_s + waited_s()


@pytest.mark.slow
def test_udp_delivers_as_tcp_does() -> None:
    port = free_port()
    with rtsp_server(port, moving()), Camera("rtsp", stream(port, transport="udp")) as camera:
        camera.start()
        Watcher(camera).until_more(camera, 25)
        assert camera.status.last_error is None


@pytest.mark.slow
def test_a_camera_that_delivers_a_frame_now_and_then_is_stale_between_them_and_is_left_connected() -> None:
    port = free_port()
    config = stream(port, open_timeout_s=20.0, read_timeout_s=15.0, stale_after_s=0.8)
    every_frame_stands_alone = moving(rate_hz="1/2").replace("key-int-max=25", "key-int-max=1")
    with rtsp_server(port, every_frame_stands_alone), Camera("slow", config) as camera:
        camera.start()
        watcher = Watcher(camera)
        watcher.until(lambda: watcher.states["slow"].count("stale") >= 2 and "live" in watcher.states["slow"])
        assert camera.status.restarts == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "state"),
    [
        ("black", "dark"),
        ("smpte75", "frozen"),
        ("solid-color foreground-color=0xff808080", "covered"),
        ("smpte", "live"),  # has a box of noise
    ],
)
def test_a_stream_that_shows_nothing_worth_an_answer_is_known_within_ten_seconds(pattern: str, state: str) -> None:
    port = free_port()
    pipeline = f"videotestsrc is-live=true pattern={pattern} ! {RAW} ! {ENCODER}"
    with rtsp_server(port, pipeline), Camera("rtsp", stream(port)) as camera:
        camera.start()
        watcher = Watcher(camera)
        watcher.until_more(camera, 1)
        began_s, excused_s = time.monotonic(), -waited_s()
        if state == "live":
            watcher.until(lambda: time.monotonic() - began_s > 12)
            assert watcher.states["rtsp"][-1] == "live"
        else:
            watcher.until(lambda: camera.status.state == state)
            assert time.monotonic() - began_s < 10 + excused_s + waited_s()


class Proxy:
    """A TCP connection that damages what goes through it towards the client, while it is told to."""

    def __init__(self, port: int) -> None:
        self.damaging = threading.Event()
        self.damaged = 0
        self._target = port
        self._rng = random.Random(6)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, hostile: bool) -> None:
        with source, target, suppress(OSError):
            while data := bytearray(source.recv(4096)):
                if hostile and self.damaging.is_set() and len(data) > 500:
                    for _ in range(3):
                        data[self._rng.randrange(100, len(data))] ^= 1 << self._rng.randrange(8)
                    self.damaged += 1
                target.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.slow
def test_a_stream_with_flipped_bits_takes_no_other_camera_down_and_is_fine_afterwards() -> None:
    port = free_port()
    with rtsp_server(port, moving()), ExitStack() as stack:
        proxy = Proxy(port)
        stack.callback(proxy.close)
        camera = stack.enter_context(Camera("rtsp", stream(proxy.port)))
        other = stack.enter_context(Camera("other", OTHER))
        camera.start()
        other.start()
        watcher = Watcher(camera, other)
        watcher.until_more(camera, 10)
        proxy.damaging.set()
        watcher.until(lambda: proxy.damaged > 150)
        proxy.damaging.clear()
        began_s = time.monotonic() - waited_s()
        watcher.until_more(camera, 50)
        assert time.monotonic() - waited_s() - began_s < 15
        assert camera.status.state == "live"
        assert other.status.restarts == 0


def png_bomb() -> bytes:
    """A PNG of a few kilobytes that would be 400 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (20_000).to_bytes(4, "big") * 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + b"\x01\x00\x00\x00\x00")
        + chunk(b"IDAT", zlib.compress(bytes(2500)))
    )


def test_a_camera_that_sends_a_picture_bomb_and_rubbish_goes_on_with_its_next_picture() -> None:
    import cv2
    import numpy as np

    fine = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))[1].tobytes()
    large = cv2.imencode(".jpg", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
    bodies = itertools.cycle([fine, png_bomb(), fine[:300], b"rubbish", large])

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
                    for body in bodies:
                        client.sendall(b"--b\r\nContent-Length: %d\r\n\r\n" % len(body) + body + b"\r\n")
                        time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        config = CameraConfig(source=f"http://127.0.0.1:{listener.getsockname()[1]}/")
        with Camera("bomb", config) as camera:
            camera.start()
            watcher = Watcher(camera)
            watcher.until_more(camera, 20)
            shapes = {frame.image.shape for frame in watcher.frames["bomb"]}
            assert shapes == {(48, 64, 3), (96, 128, 3)}
            assert camera.status.damaged >= 10
            assert camera.status.restarts == 0
            peak_kib = next(
                int(line.split()[1])
                for line in Path(f"/proc/{camera.pid}/status").read_text().splitlines()
                if line.startswith("VmHWM")
            )
            assert peak_kib < 300_000


def test_a_camera_whose_pictures_cannot_be_decoded_is_stale_and_says_why_before_and_after_good_ones() -> None:
    import cv2
    import numpy as np

    fine = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))[1].tobytes()
    body = [fine[:300]]

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()  # once: it is to be left connected
            with client:
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
                while True:
                    client.sendall(b"--b\r\nContent-Length: %d\r\n\r\n" % len(body[0]) + body[0] + b"\r\n")
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        source = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        config = CameraConfig(source=source, stale_after_s=2.5, open_timeout_s=1, read_timeout_s=1)
        with Camera("rubbish", config) as camera:
            camera.start()
            watcher = Watcher(camera)
            watcher.until(lambda: camera.status.state == "stale" and camera.status.damaged > 100)
            assert camera.status.last_error == f"camera rubbish: what {source} sends cannot be decoded"
            body[0] = fine
            watcher.until_more(camera, 5)
            assert camera.status.state == "live"
            body[0] = b"rubbish"
            watcher.until(lambda: camera.status.state == "stale")
            assert "cannot be decoded" in str(camera.status.last_error)
            assert camera.status.restarts == 0


def _spin() -> None:
    while True:
        pass


@pytest.mark.slow
def test_a_starved_decoder_skips_frames_counts_them_and_is_not_taken_for_hung() -> None:
    """In a cgroup with a twentieth of a core where one can be made; else behind programs that spin."""
    group = Path(f"/sys/fs/cgroup/cpu/sightpost-camera-{os.getpid()}")
    config = CameraConfig(source="scene:gate", rate_hz=50, width_px=1280, height_px=720, stale_after_s=5.0)
    with Camera("starved", config) as camera, ExitStack() as stack:
        camera.start()
        watcher = Watcher(camera)
        watcher.until_more(camera, 5)
        assert camera.pid is not None
        try:
            group.mkdir()
            (group / "cpu.cfs_quota_us").write_text("5000")
            (group / "cgroup.procs").write_text(str(camera.pid))
            stack.callback(group.rmdir)
            free = Path("/sys/fs/cgroup/cpu/cgroup.procs")
            stack.callback(lambda: free.write_text(str(camera.pid)) if camera.pid else None)
        except OSError:
            with suppress(OSError):
                group.rmdir()
            os.setpriority(os.PRIO_PROCESS, camera.pid, 19)
            for _ in range(2 * (os.cpu_count() or 1)):
                spinner = Process(target=_spin, daemon=True)
                spinner.start()
                stack.callback(spinner.kill)
        before, began_s = camera.status, time.monotonic()
        watcher.until(lambda: time.monotonic() - began_s > 10)
        after = camera.status
        assert after.restarts == 0
        assert after.delivered - before.delivered < 0.5 * 50 * 10, "it was not starved"
        watcher.until(lambda: camera.status.skipped - before.skipped > 100)
        watcher.until_more(camera, 1)
        assert camera.status.restarts == 0
        totals = camera.status
        assert abs(totals.grabbed - totals.delivered - totals.skipped - totals.damaged) <= 3
