"""Starting a real RTSP server for a test; where Debian's packages are absent, the test is skipped with one line."""

from __future__ import annotations

import functools
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON = "/usr/bin/python3"  # Debian's, which has gi
_SCRIPT = Path(__file__).parent / "rtsp_server.py"
_NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
_NEEDS += "assert all(Gst.ElementFactory.find(name) for name in ('videotestsrc', 'x264enc', 'rtph264pay'))"

ENCODER = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25"


def moving(width_px: int = 640, height_px: int = 360, rate_hz: str = "25/1") -> str:
    """A pipeline of colour bars with a box of noise, which is never the same, in H.264."""
    size = f"video/x-raw,width={width_px},height={height_px},framerate={rate_hz}"
    return f"videotestsrc is-live=true pattern=smpte ! {size} ! {ENCODER}"


@functools.cache
def _is_installed() -> bool:
    if not Path(_PYTHON).exists():
        return False
    return subprocess.run([_PYTHON, "-c", _NEEDS], capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def rtsp_server(port: int, pipeline: str, *credentials: str) -> Iterator[subprocess.Popen[str]]:
    """Serve a pipeline at ``rtsp://127.0.0.1:PORT/live`` until the block ends; it may be killed or stopped before."""
    if not _is_installed():
        pytest.skip(
            "no RTSP server: install python3-gi gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins (make system)"
        )
    command = [_PYTHON, str(_SCRIPT), str(port), pipeline, *credentials]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield server
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()
