"""Frames of real sources through a real decoding process: every one where all count, the newest where they do not."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.camera import Camera, recorded_frames
from edge.camera.ring import SLOTS
from edge.camera.scene import STORY_SEED, GateScene
from edge.config import CameraConfig
from edge.errors import ConfigError
from edge.preprocess import read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.frame import Frame

DATA = Path(os.environ.get("SIGHTPOST_DATA", Path(__file__).parents[3] / "shared" / "data"))
CLIP = DATA / "clips" / "bottle-detection_first810.mp4"
CLIP_FRAMES, CLIP_RATE_HZ = 810, 29.833
needs_clips = pytest.mark.skipif(not CLIP.exists(), reason=f"no real clips in {DATA}; set SIGHTPOST_DATA")


def until(condition: Callable[[], bool], camera: Camera, *, timeout_s: float = 90.0) -> list[Frame]:
    """Serve a camera as the daemon does until a condition holds; the frames that came meanwhile."""
    frames: list[Frame] = []
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, camera.status
        wait([camera.connection] if camera.connection else [], timeout=0.02)
        frames += camera.receive()
        camera.tick(time.monotonic())
    return frames


def waited_s() -> float:
    """Seconds since boot for which a busy machine made somebody wait, as the kernel counts them: no fault of ours."""
    kinds = [Path("/proc/pressure") / kind for kind in ("cpu", "memory", "io")]
    some = [kind.read_text().split("\n")[0] for kind in kinds if kind.exists()]
    return sum(int(line.rpartition("total=")[2]) for line in some) / 1e6


def next_frame(camera: Camera, *, timeout_s: float = 90.0) -> Frame:
    camera.request()
    before = camera.status.delivered
    return until(lambda: camera.status.delivered > before, camera, timeout_s=timeout_s)[0]


@needs_clips
@pytest.mark.real_data
def test_every_frame_of_a_clip_arrives_once_in_order_and_unchanged() -> None:
    plain = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    with Camera("clip", CameraConfig(source=str(CLIP), pace="fast")) as camera:
        camera.start()
        numbers = []
        for frame in recorded_frames(camera):
            decoded, expected = plain.read()
            assert decoded
            assert np.array_equal(frame.image, expected)
            assert frame.clock_s == pytest.approx(plain.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            numbers.append(frame.number)
        assert not plain.read()[0]
        assert numbers == list(range(CLIP_FRAMES))
        status = camera.status
    assert (status.state, status.grabbed, status.delivered, status.skipped) == ("ended", CLIP_FRAMES, CLIP_FRAMES, 0)
    assert (status.width_px, status.height_px) == (640, 360)


@needs_clips
@pytest.mark.real_data
def test_a_recording_waits_for_its_reader() -> None:
    with Camera("clip", CameraConfig(source=str(CLIP), pace="fast")) as camera:
        camera.start()
        camera.request(2)
        camera.request(2)  # asking twice is asking once
        frames = until(lambda: camera.status.grabbed == 3, camera)
        assert [frame.number for frame in frames] == [0, 1]
        copies = [frame.image.copy() for frame in frames]
        time.sleep(0.3)
        assert camera.receive() == []
        assert (camera.status.grabbed, camera.status.skipped) == (3, 0)
        assert all(np.array_equal(frame.image, copy) for frame, copy in zip(frames, copies, strict=True))


@needs_clips
@pytest.mark.real_data
def test_slots_that_are_held_are_never_written() -> None:
    with Camera("clip", CameraConfig(source=str(CLIP), pace="fast")) as camera:
        camera.start()
        camera.request(100)
        held = until(lambda: camera.status.delivered == SLOTS, camera)
        copies = [frame.image.copy() for frame in held]
        camera.release(held[1])
        assert next_frame(camera).number == SLOTS
        camera.request(100)
        assert all(np.array_equal(held[kept].image, copies[kept]) for kept in range(SLOTS) if kept != 1)


@needs_clips
@pytest.mark.real_data
def test_a_recording_at_real_pace_is_played_as_it_was_filmed_whether_or_not_anybody_looks() -> None:
    with Camera("clip", CameraConfig(source=str(CLIP))) as camera:
        camera.start()
        first = next_frame(camera)
        excused_s = -waited_s()
        camera.release(first)
        until(lambda: camera.status.skipped >= 20, camera)
        later = next_frame(camera)
        excused_s += waited_s()
        filmed_s, played_s = (later.number - first.number) / CLIP_RATE_HZ, later.clock_s - first.clock_s
        assert filmed_s - 0.1 - excused_s < played_s < filmed_s + 0.1 + excused_s
        assert played_s == pytest.approx(later.captured_at_s - first.captured_at_s, abs=0.05)


@needs_clips
@pytest.mark.real_data
def test_a_looped_recording_goes_on_with_growing_numbers_and_times() -> None:
    clip = DATA / "clips" / "car-detection_first245.mp4"
    with Camera("clip", CameraConfig(source=str(clip), pace="fast", loop=True)) as camera:
        camera.start()
        frames = itertools.islice(recorded_frames(camera), 500)
        seen = [(frame.number, frame.clock_s, int(frame.image[::16, ::16].sum())) for frame in frames]
    assert [number for number, _, _ in seen] == list(range(500))
    steps = np.diff([clock_s for _, clock_s, _ in seen])
    assert steps.min() == pytest.approx(0.08, abs=0.001)
    assert steps.max() == pytest.approx(0.08, abs=0.001)
    assert [check for _, _, check in seen[:245]] == [check for _, _, check in seen[245:490]]


def test_the_scene_is_live_and_skips_what_nobody_asks_for() -> None:
    with Camera("gate", CameraConfig(source="scene:gate", rate_hz=50)) as camera:
        camera.start()
        assert camera.status.state == "starting"
        until(lambda: camera.status.skipped > 30, camera)
        assert (camera.status.state, camera.status.delivered) == ("live", 0)
        until(lambda: camera.status.rate_hz == pytest.approx(50, rel=0.1), camera)
        asked_s, asked_at_s = time.monotonic(), time.time()
        frame = next_frame(camera)
        assert frame.number > 30
        assert asked_s <= frame.clock_s <= time.monotonic()
        assert asked_at_s <= frame.captured_at_s <= time.time()
        assert np.array_equal(frame.image, GateScene(STORY_SEED, 50).frame(frame.number))


def test_the_scene_at_fast_pace_is_a_recording() -> None:
    config = CameraConfig(source="scene:gate", pace="fast", rate_hz=4, width_px=160, height_px=90)
    with Camera("gate", config) as camera:
        camera.start()
        frames = [(frame.number, frame.clock_s, frame.image.shape) for frame in _some(camera, 9)]
    assert frames == [(number, number / 4, (90, 160, 3)) for number in range(9)]


def _some(camera: Camera, count: int) -> Iterator[Frame]:
    return itertools.islice(recorded_frames(camera), count)


def test_pictures_of_a_folder_come_in_order_and_a_cut_one_is_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"a.jpg": (48, 64), "b.jpg": (48, 64), "c.PNG": (48, 64), "d.jpg": (120, 160), "e.jpg": (48, 64)}
    for name, (height_px, width_px) in sizes.items():
        small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        encoded = cv2.imencode(name[-4:].lower(), cv2.resize(small, (width_px, height_px)))[1].tobytes()
        (tmp_path / name).write_bytes(encoded[: len(encoded) // 2] if name == "b.jpg" else encoded)
    (tmp_path / "notes.txt").write_text("no picture")
    with Camera("folder", CameraConfig(source=str(tmp_path), pace="fast", rate_hz=2)) as camera:
        camera.start()
        seen = []
        for frame, name in zip(recorded_frames(camera), ["a.jpg", "c.PNG", "d.jpg", "e.jpg"], strict=True):
            assert np.array_equal(frame.image, read_picture(tmp_path / name))
            seen.append((frame.number, frame.clock_s))
        assert (camera.status.state, camera.status.damaged, camera.status.delivered) == ("ended", 1, 4)
        assert camera.status.last_error is None, "commands would take it for a failure"
    assert seen == [(0, 0.0), (1, 1.0), (2, 1.5), (3, 2.0)]  # the time of the picture that is missing passes


def test_frames_held_from_before_a_change_of_size_stay_as_they_were(tmp_path: Path) -> None:
    for number, size in enumerate((40, 40, 80, 80)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((size, size, 3), 10 * number + 10, np.uint8))
    with Camera("folder", CameraConfig(source=str(tmp_path), pace="fast")) as camera:
        camera.start()
        camera.request(4)
        frames = until(lambda: camera.status.state == "ended", camera)
        assert [(frame.image.shape[0], int(frame.image.max())) for frame in frames] == [
            (40, 10),
            (40, 20),
            (80, 30),
            (80, 40),
        ]
        assert camera.status.width_px == 80


def test_a_frame_can_be_looked_at_after_its_camera_was_closed() -> None:
    camera = Camera("gate", CameraConfig(source="scene:gate"))
    camera.start()
    frame = next_frame(camera)
    camera.close()
    camera.close()
    assert frame.image.mean() > 1
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 0


CORRUPT = DATA / "clips" / "CORRUPT_html_named.avi"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("missing.mp4", "cannot read the video: No such file or directory"),
        pytest.param(str(CORRUPT), "is no video that OpenCV can read", marks=[needs_clips, pytest.mark.real_data]),
        ("empty.mp4", "is no video that OpenCV can read"),
        ("empty-folder", "holds no pictures"),
        ("cut-folder", "no frame that can be read (1 damaged)"),
    ],
)
def test_what_cannot_be_opened_fails_with_one_clear_line_and_silently(
    tmp_path: Path, source: str, complaint: str
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "cut-folder").mkdir()
    encoded = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (tmp_path / "cut-folder" / "cut.jpg").write_bytes(encoded[:300])
    script = (
        "import sys\n"
        "from edge.camera import Camera, recorded_frames\n"
        "from edge.config import CameraConfig\n"
        "from edge.errors import CameraError\n"
        "with Camera('clip', CameraConfig(source=sys.argv[1], pace='fast')) as camera:\n"
        "    camera.start()\n"
        "    try:\n"
        "        print(len(list(recorded_frames(camera))), 'frames')\n"
        "    except CameraError as error:\n"
        "        print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / source)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stderr == ""
    assert complaint in ran.stdout
    assert ran.stdout.startswith("camera clip: ")
    assert ran.stdout.count("\n") == 1


def test_an_impossible_source_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="there is no scene 'moon'"):
        Camera("gate", CameraConfig(source="scene:moon"))


class MjpegHandler(BaseHTTPRequestHandler):
    """An HTTP camera: 25 pictures per second, each with its number as its grey level."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        try:
            for number in itertools.count():
                picture = cv2.imencode(".jpg", np.full((96, 128, 3), number % 256, np.uint8))[1].tobytes()
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(0.04)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mjpeg_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_http_camera_is_live_and_its_newest_frame_wins(mjpeg_port: int) -> None:
    config = CameraConfig(source=f"http://user:secret@127.0.0.1:{mjpeg_port}/video.mjpg?token=secret")
    with Camera("http", config) as camera:
        camera.start()
        first = next_frame(camera)
        shown = int(first.image.mean())
        camera.release(first)
        until(lambda: camera.status.skipped >= 25, camera)
        later = next_frame(camera)
        assert later.number >= first.number + 25
        assert int(later.image.mean()) - shown == pytest.approx(later.number - first.number, abs=4)
        assert camera.status.state == "live"


def test_twenty_cameras_leave_no_descriptors_no_memory_and_no_processes() -> None:
    def cycle() -> int:
        with Camera("gate", CameraConfig(source="scene:gate", width_px=64, height_px=48)) as camera:
            camera.start()
            camera.release(next_frame(camera))
            pid = camera.pid
        assert pid is not None
        return pid

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("sightpost-frames")

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    cycle()  # the fork server and its connections stay
    before = (mapped(), descriptors())
    pids = [cycle() for _ in range(20)]
    assert (mapped(), descriptors()) == before
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_decoders_are_forked_from_a_process_with_one_thread() -> None:
    """Forking a process while another of its threads holds a lock leaves the child waiting for that lock for ever."""
    script = (
        "from pathlib import Path\n"
        "from edge.camera import Camera\n"
        "from edge.config import CameraConfig\n"
        "with Camera('gate', CameraConfig(source='scene:gate')) as camera:\n"
        "    camera.start()\n"
        "    parent = Path(f'/proc/{camera.pid}/stat').read_text().rsplit(')', 1)[1].split()[1]\n"
        "    mapped = Path(f'/proc/{parent}/maps').read_text()\n"
        "    print('cv2' in mapped, 'openblas' in mapped, len(list(Path(f'/proc/{parent}/task').iterdir())))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["True", "True", "1"]


def test_a_hot_folder_is_live_while_it_is_empty_and_shows_what_arrives_once(tmp_path: Path) -> None:
    config = CameraConfig(source=str(tmp_path), hot="move")
    with Camera("inbox", config) as camera:
        camera.start()
        camera.request(2)
        until(lambda: camera.status.state == "live", camera)
        assert camera.status.delivered == 0
        for name, level in (("a.jpg", 40), ("b.jpg", 200)):
            cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), level, np.uint8))
        frames = []
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "done" / "b.jpg").exists():
            assert time.monotonic() < deadline_s, camera.status
            camera.request(2)
            wait([camera.connection] if camera.connection else [], timeout=0.05)
            for frame in camera.receive():
                frames.append(round(float(frame.image.mean())))
                camera.release(frame)
            camera.tick(time.monotonic())
        assert frames == [40, 200]
        assert camera.status.state == "live"
        assert not (tmp_path / "a.jpg").exists()


def test_a_size_for_which_there_is_no_room_is_the_cameras_fault_alone() -> None:
    """In a process of its own, for the limit is for all that it does."""
    program = (
        "import resource\n"
        "from edge.camera.ring import Ring\n"
        "from edge.errors import CameraError\n"
        "_, descriptor = Ring.create(8192, 8192)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try:\n"
        "    Ring.attach(descriptor, 8192, 8192)\n"
        "except CameraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "no room for 7 pictures of 8192x8192: Cannot allocate memory" in done.stdout
