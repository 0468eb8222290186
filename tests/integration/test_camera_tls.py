"""An encrypted stream: a password is shown only to a camera that proves who it is, unless the configuration says so."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import create_server

import cv2
import pytest
from authority import Authority
from watching import Watcher

from edge.camera import Camera
from edge.camera.capture import open_stream
from edge.config import CameraConfig
from edge.errors import CameraError


class Listener:
    """A camera that answers 401 to everything, behind TLS; it keeps what it was told."""

    def __init__(self, authority: Authority, name: str) -> None:
        identity = authority.issue(name)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.cert_file, identity.key_file)
        self._socket = create_server(("127.0.0.1", 0))
        self.source = f"rtsps://me:secret@127.0.0.1:{self._socket.getsockname()[1]}/live"
        self.told = b""

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                client.settimeout(5)
                with (
                    client,
                    contextlib.suppress(OSError),
                    self._context.wrap_socket(client, server_side=True) as secure,
                ):
                    for number in range(1, 4):
                        self.told += secure.recv(4096)
                        answer = f'RTSP/1.0 401 No\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n'
                        secure.sendall(answer.encode())

    def close(self) -> None:
        self._socket.shutdown(2)
        self._socket.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@contextlib.contextmanager
def listening(authority: Authority, name: str = "localhost") -> Iterator[Listener]:
    one = Listener(authority, name)
    thread = threading.Thread(target=one.serve)
    thread.start()
    try:
        yield one
    finally:
        one.close()
        thread.join()


@pytest.fixture
def listener(authority: Authority) -> Iterator[Listener]:
    with listening(authority) as one:
        yield one


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "")
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "")
    return authority


def test_a_stranger_is_shown_no_password_and_that_is_said(listener: Listener) -> None:
    with Camera("yard", CameraConfig(source=listener.source, open_timeout_s=4)) as camera:
        camera.start()
        Watcher(camera).until(lambda: camera.status.last_error is not None)
        assert "its certificate is signed by nobody that this system trusts" in str(camera.status.last_error)
    assert listener.told == b""


@pytest.mark.skipif(cv2.__version__ < "5", reason="FFmpeg in it compares no names")
def test_nor_is_a_host_that_shows_the_certificate_of_another(trusted: Authority) -> None:
    with listening(trusted, "elsewhere.example") as other:
        source = other.source.replace("127.0.0.1", "localhost")
        with pytest.raises(CameraError, match="or is another host's"):
            open_stream(CameraConfig(source=source, open_timeout_s=4), source)
        assert other.told == b""


@pytest.mark.parametrize("verify_tls", [True, False], ids=["an authority that is trusted", "nobody is asked"])
def test_a_camera_that_is_trusted_is_shown_the_password(
    listener: Listener, trusted: Authority, monkeypatch: pytest.MonkeyPatch, *, verify_tls: bool
) -> None:
    if not verify_tls:
        monkeypatch.delenv("SSL_CERT_FILE")
    config = CameraConfig(source=listener.source, open_timeout_s=4, verify_tls=verify_tls)
    with pytest.raises(CameraError):
        open_stream(config, listener.source)
    assert b"Authorization: Basic" in listener.told
