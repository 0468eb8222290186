"""Cameras that speak HTTP: streams and single pictures, their credentials, and what they do wrong."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import web
from edge.camera.source import Grab, Source
from edge.camera.sources import open_source
from edge.config import CameraConfig
from edge.errors import CameraError

Answer = Callable[[BaseHTTPRequestHandler], None]


def jpeg(level: int, width_px: int = 64) -> bytes:
    return cv2.imencode(".jpg", np.full((48, width_px, 3), level, np.uint8))[1].tobytes()


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """A camera that answers each request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield httpd.server_port
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, kind: str, body: bytes, code: int = 200, **headers: str) -> None:
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def open_at(port: int, **settings: object) -> Source:
    return open_source(CameraConfig(source=f"http://127.0.0.1:{port}/", read_timeout_s=1, **settings))  # type: ignore[arg-type]


def level_of(source: Source) -> int | None:
    """The grey level of the next picture; None when it cannot be decoded."""
    while source.grab() is Grab.NOTHING:
        pass
    image = source.retrieve(None)
    return None if image is None else int(np.rint(image.mean()))


def parts(*pictures: bytes, mark: str = "next", with_length: bool = True) -> bytes:
    body = b""
    for picture in pictures:
        length = f"Content-Length: {len(picture)}\r\n" if with_length else ""
        body += f"--{mark}\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + picture + b"\r\n"
    return body + f"--{mark}--\r\n".encode()


@pytest.mark.parametrize(
    ("boundary", "mark", "with_length"),
    [
        ("next", "next", True),
        ('"next"', "next", False),
        ("--next", "next", False),
        ("--next", "--next", False),
        ("other", "next", True),
    ],
    ids=[
        "with lengths",
        "without lengths",
        "dashes in the header",
        "dashes that belong to it",
        "another boundary than announced",
    ],
)
def test_pictures_are_cut_out_of_the_stream_however_a_camera_marks_them(
    boundary: str, mark: str, *, with_length: bool
) -> None:
    body = parts(jpeg(50), jpeg(100), jpeg(150), mark=mark, with_length=with_length)
    with server(lambda handler: send(handler, f"multipart/x-mixed-replace; boundary={boundary}", body)) as port:
        source = open_at(port)
        assert [level_of(source) for _ in range(3)] == [50, 100, 150]
        with pytest.raises(CameraError, match="stopped delivering frames: it has ended the stream"):
            source.grab()
        source.close()


def test_a_truncated_picture_and_another_size_are_no_more_than_that() -> None:
    body = parts(jpeg(50), jpeg(100)[:200], jpeg(150, width_px=320), b"no picture", jpeg(200))
    with server(lambda handler: send(handler, "multipart/x-mixed-replace; boundary=next", body)) as port:
        source = open_at(port)
        assert [level_of(source) for _ in range(5)] == [50, None, 150, None, 200]
        source.close()


def test_a_single_picture_is_fetched_again_and_again_at_the_rate() -> None:
    levels = itertools.count(10, 10)
    with server(lambda handler: send(handler, "image/jpeg", jpeg(next(levels)))) as port:
        source = open_at(port, rate_hz=10.0)
        assert source.repeats, "a camera may answer with the picture that it has"
        began_s = time.monotonic()
        seen = [level_of(source) for _ in range(6)]
        assert seen == [10, 20, 30, 40, 50, 60]
        assert time.monotonic() - began_s > 0.45


def test_what_goes_on_for_ever_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_BYTES", 100_000)

    def endless(handler: BaseHTTPRequestHandler) -> None:
        send(handler, handler.headers["Want"] or "image/jpeg", b"")
        for _ in range(1000):
            handler.wfile.write(b"x" * 1000)

    with server(endless) as port, pytest.raises(CameraError, match="more than 100,000 bytes"):
        level_of(open_at(port))


@pytest.mark.parametrize("length", ["33554433", "99999999999999999999999999"])
def test_a_picture_announced_beyond_all_reason_is_refused(length: str) -> None:
    body = f"--next\r\nContent-Length: {length}\r\n\r\n".encode()
    with server(lambda handler: send(handler, "multipart/x-mixed-replace; boundary=next", body)) as port:
        source = open_at(port)
        with pytest.raises(CameraError, match="more than 33,554,432 bytes"):
            source.grab()
        source.close()


def test_a_camera_that_stops_in_the_middle_of_a_picture_is_given_up() -> None:
    release = threading.Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        body = parts(jpeg(50), jpeg(100))[:-200]  # ends within the second picture
        send(handler, "multipart/x-mixed-replace; boundary=next", body)
        release.wait(20)

    with server(stall) as port:
        source = open_at(port)
        assert level_of(source) == 50
        began_s = time.monotonic()
        with pytest.raises(CameraError, match="stopped delivering frames: no answer in time"):
            source.grab()
        assert time.monotonic() - began_s < 10
        release.set()
        source.close()


class Guard:
    """Lets in who knows the password, by Basic or Digest; keeps what it was shown."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.shown: list[str] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers["Authorization"] or ""
        self.shown.append(given)
        if given == f"Basic {base64.b64encode(b'me:s3c/r@t').decode()}" or self._is_digest(given):
            send(handler, "image/jpeg", jpeg(77))
        else:
            challenge = (
                'Basic realm="camera"' if self.scheme == "Basic" else 'Digest realm="camera", nonce="n1", qop="auth"'
            )
            send(handler, "text/html", b"", 401, WWW_Authenticate=challenge)

    def _is_digest(self, given: str) -> bool:
        fields = dict(part.strip().split("=", 1) for part in given.removeprefix("Digest ").split(",") if "=" in part)
        fields = {name: value.strip('"') for name, value in fields.items()}
        if self.scheme != "Digest" or "response" not in fields:
            return False

        def md5(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        secret = md5("me:camera:s3c/r@t")
        asked = md5(f"GET:{fields['uri']}")
        return fields["response"] == md5(f"{secret}:n1:{fields['nc']}:{fields['cnonce']}:auth:{asked}")


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_credentials_come_from_a_file_or_the_address(scheme: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3c/r@t\n")
    with server(Guard(scheme)) as port:
        assert level_of(open_at(port, username="me", password_file=str(secret))) == 77
        inside = CameraConfig(source=f"http://me:s3c%2Fr%40t@127.0.0.1:{port}/", read_timeout_s=1)
        assert level_of(open_source(inside)) == 77


SHA_256 = 'Digest realm="camera", nonce="n1", qop="auth", algorithm=SHA-256'
MD5 = 'Digest realm="camera", nonce="n1", qop="auth", algorithm="MD5"'


@pytest.mark.parametrize(
    ("offers", "hashed"),
    [
        ([MD5], "md5"),
        ([SHA_256], "sha256"),
        ([SHA_256.replace("SHA-256", "SHA-512-256"), MD5], "md5"),
        (["Negotiate", MD5], "md5"),
        (["Bearer", 'Basic realm="camera"'], None),
    ],
    ids=["MD5", "SHA-256", "a hash that is unknown, and MD5", "another scheme, and Digest", "another, and Basic"],
)
def test_of_the_ways_that_a_camera_offers_one_is_taken_that_is_known_and_passwords_are_utf_8(
    offers: list[str], hashed: str | None, tmp_path: Path
) -> None:
    name, password = "m\u00fc", "geh\u00e4im\u20ac"
    secret = tmp_path / "secret"
    secret.write_text(password, encoding="utf-8")

    def is_right(given: str) -> bool:
        if hashed is None:
            return given == f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
        fields = dict(re.findall(r'(\w+)="?([^",]*)', given.removeprefix("Digest ")))

        def digest(text: str) -> str:
            return hashlib.new(hashed, text.encode(), usedforsecurity=False).hexdigest()

        secret, asked = digest(f"{name}:camera:{password}"), digest("GET:/")
        right = digest(f"{secret}:n1:{fields['nc']}:{fields['cnonce']}:auth:{asked}")
        return fields["username"].encode("latin-1").decode() == name and fields["response"] == right

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if (given := handler.headers["Authorization"]) and is_right(given):
            send(handler, "image/jpeg", jpeg(77))
            return
        handler.send_response(401)
        for offer in offers:
            handler.send_header("WWW-Authenticate", offer)
        handler.end_headers()

    with server(answer) as port:
        assert level_of(open_at(port, username=name, password_file=str(secret))) == 77


def test_wrong_credentials_are_said_without_them(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong-one")
    guard = Guard("Digest")
    with server(guard) as port, pytest.raises(CameraError) as refusal:
        open_at(port, username="me", password_file=str(secret))
    assert len(guard.shown) == 2, "a camera locks out who tries wrong passwords again and again"
    assert (
        str(refusal.value)
        == f"http://127.0.0.1:{port}/ cannot be opened: it answers 401; see username and password_file"
    )


def test_credentials_do_not_follow_to_another_host(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3c/r@t")
    stranger = Guard("Basic")
    with server(stranger) as other:
        to_other = f"http://localhost:{other}/"
        redirect = server(lambda handler: send(handler, "text/html", b"", 302, Location=to_other))
        with redirect as port, pytest.raises(CameraError, match="it answers 401"):
            open_at(port, username="me", password_file=str(secret))
    assert stranger.shown == [""]


def test_a_camera_cannot_send_us_to_a_file() -> None:
    redirect = server(lambda handler: send(handler, "text/html", b"", 302, Location="file:///etc/hostname"))
    with redirect as port, pytest.raises(CameraError, match="it answers 302"):
        open_at(port)


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"missing: cannot read the password \(No such file or directory\)"):
        open_at(1, username="me", password_file=str(tmp_path / "missing"))
