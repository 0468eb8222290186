from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import noise, psnr_db, smooth

from edge.errors import PictureError
from edge.preprocess import decode_picture, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.frame import Image


def encoded(image: Image, suffix: str, *options: int) -> Image:
    return cv2.imencode(suffix, image, list(options))[1].ravel()


def png(width: int, height: int, depth: int, color_type: int, row: bytes) -> bytes:
    """A PNG whose rows are all the same, made without holding it."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\0" + row) for _ in range(height)) + packer.flush()
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def with_segment(jpeg: bytes, payload: bytes) -> bytes:
    """A JPEG with an APP1 segment behind its first marker."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def exif(orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


class TestReading:
    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
    def test_lossless_pictures_come_back_as_they_were(self, tmp_path: Path, suffix: str) -> None:
        image = noise(7, 11)
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(encoded(image, suffix).tobytes())
        assert np.array_equal(read_picture(path), image)

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".jp2"])
    def test_lossy_pictures_come_back_nearly(self, tmp_path: Path, suffix: str) -> None:
        image = smooth(40, 60)
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(encoded(image, suffix).tobytes())
        assert psnr_db(read_picture(path), image) > 30

    def test_the_suffix_does_not_matter(self, tmp_path: Path) -> None:
        (tmp_path / "picture").write_bytes(encoded(noise(4, 4), ".png").tobytes())
        assert read_picture(tmp_path / "picture").shape == (4, 4, 3)

    def test_grey_becomes_three_equal_channels(self) -> None:
        grey = noise(5, 6, 1)
        image = decode_picture(encoded(grey, ".png"), name="grey.png")
        assert np.array_equal(image, np.repeat(grey, 3, axis=2))

    def test_sixteen_bits_become_eight_by_their_high_byte(self) -> None:
        deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
        image = decode_picture(encoded(np.dstack([deep] * 3), ".png"), name="deep.png")
        assert image.dtype == np.uint8
        assert np.array_equal(image[..., 0].ravel(), np.arange(256))

    def test_transparency_is_left_out(self) -> None:
        image = noise(6, 6, 4)
        assert np.array_equal(decode_picture(encoded(image, ".png"), name="alpha.png"), image[..., :3])

    def test_one_bit_becomes_black_and_white(self) -> None:
        image = decode_picture(np.frombuffer(png(8, 2, 1, 0, b"\xf0"), np.uint8), name="bits.png")
        assert image[0, :, 0].tolist() == [255] * 4 + [0] * 4

    @pytest.mark.parametrize(
        ("orientation", "turned"),
        [
            (1, lambda image: image),
            (2, lambda image: image[:, ::-1]),
            (3, lambda image: image[::-1, ::-1]),
            (4, lambda image: image[::-1]),
            (5, lambda image: image.transpose(1, 0, 2)),
            (6, lambda image: np.rot90(image, -1)),
            (7, lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
            (8, np.rot90),
        ],
    )
    def test_a_photograph_stands_upright(self, orientation: int, turned: Callable[[Image], Image]) -> None:
        jpeg = encoded(smooth(48, 64), ".jpg").tobytes()
        plain = decode_picture(np.frombuffer(jpeg, np.uint8), name="plain.jpg")
        image = decode_picture(np.frombuffer(with_segment(jpeg, exif(orientation)), np.uint8), name="exif.jpg")
        assert np.array_equal(image, turned(plain))

    @pytest.mark.parametrize(
        "name", ["Überwachung der Küche.png", "カメラ.png", "café's [1] %d.png", "a" * 196 + ".png", "\udcff\udcfe.png"]
    )
    def test_any_file_name_will_do(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(encoded(noise(4, 5), ".png").tobytes())
        assert read_picture(path).shape == (4, 5, 3)


class TestRefusedFiles:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"a shopping list\n" * 40, "is not a picture"),
            (b"<!doctype html><title>404</title>", "is not a picture"),
            (b"\xff\xd8", "cut off"),
            (b"\xff\xd8\xff\xdb\x00\x02\xff\xda\xff\xd9", "is not a picture"),
            (b"\x89PNG\r\n\x1a\n", "is not a picture"),
            (bytes(1000), "is not a picture"),
            (b"\xff" * 1000, "is not a picture"),
        ],
    )
    def test_what_is_no_picture(self, tmp_path: Path, content: bytes, reason: str) -> None:
        path = tmp_path / "frame.jpg"
        path.write_bytes(content)
        with pytest.raises(PictureError, match=reason) as caught:
            read_picture(path)
        assert str(caught.value).startswith(f"{path}: ")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match=r"absent\.jpg: cannot be read: No such file"):
            read_picture(tmp_path / "absent.jpg")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match="cannot be read: Is a directory"):
            read_picture(tmp_path)

    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".webp", ".tiff", ".ppm", ".jp2"])
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
    def test_a_picture_that_was_cut_off(self, suffix: str, kept: float) -> None:
        data = encoded(smooth(120, 160), suffix)
        with pytest.raises(PictureError):
            decode_picture(data[: int(data.size * kept)], name=f"cut{suffix}")

    def test_a_jpeg_cut_anywhere(self) -> None:
        data = encoded(smooth(24, 32), ".jpg")
        for size in range(data.size - 1):
            with pytest.raises(PictureError):
                decode_picture(data[:size], name="cut.jpg")

    def test_a_progressive_jpeg_cut_between_its_scans(self) -> None:
        data = encoded(smooth(120, 160), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        assert decode_picture(data, name="whole.jpg").shape == (120, 160, 3)
        last_scan = data.tobytes().rindex(b"\xff\xda")
        with pytest.raises(PictureError, match="cut off"):
            decode_picture(data[:last_scan], name="cut.jpg")

    def test_the_thumbnail_in_a_photograph_does_not_hide_that_it_was_cut_off(self) -> None:
        thumbnail = encoded(smooth(60, 80), ".jpg").tobytes()
        whole = with_segment(encoded(smooth(240, 320), ".jpg").tobytes(), exif(1) + thumbnail)
        assert decode_picture(np.frombuffer(whole, np.uint8), name="whole.jpg").shape == (240, 320, 3)
        with pytest.raises(PictureError, match="cut off"):
            decode_picture(np.frombuffer(whole[: len(whole) * 3 // 4], np.uint8), name="cut.jpg")

    @pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
    def test_a_whole_jpeg_may_have_something_behind_it(self, size: int) -> None:
        data = encoded(smooth(24, 32), ".jpg").tobytes() + bytes(size)
        assert decode_picture(np.frombuffer(data, np.uint8), name="padded.jpg").shape == (24, 32, 3)

    def test_a_whole_jpeg_may_have_padding_between_its_segments(self) -> None:
        data = encoded(smooth(24, 32), ".jpg").tobytes()
        padded = data[:2] + b"\xff\xff\xff" + data[2:]
        assert decode_picture(np.frombuffer(padded, np.uint8), name="padded.jpg").shape == (24, 32, 3)

    @given(
        st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*\0"])
    )
    def test_any_bytes_are_a_picture_or_refused(self, data: bytes, start: bytes) -> None:
        try:
            image = decode_picture(np.frombuffer(start + data, np.uint8), name="bytes")
        except PictureError as error:
            assert str(error).startswith("bytes: ")  # noqa: PT017  either is right
        else:
            assert image.ndim == 3

    @pytest.mark.parametrize("first_import", ["edge.preprocess", "edge.model"])
    def test_a_picture_that_decodes_to_gigabytes_is_refused_fast(self, tmp_path: Path, first_import: str) -> None:
        bomb = tmp_path / "bomb.png"
        bomb.write_bytes(png(20_000, 20_000, 1, 0, bytes(2500)))
        assert bomb.stat().st_size < 100_000
        script = f"""
import resource, sys, time
import {first_import}
from edge.errors import PictureError
from edge.preprocess import read_picture
from pathlib import Path
before_kib, start_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    read_picture(Path(sys.argv[1]))
except PictureError as error:
    assert "100,000,000 pixels" in str(error), error
else:
    sys.exit("it was decoded")
assert time.perf_counter() - start_s < 2
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100_000
"""
        # The limit is an environment variable, which this process has set already: start without it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
        command = [sys.executable, "-c", script, str(bomb)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
