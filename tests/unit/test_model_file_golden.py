"""Golden samples that whoever wrote the file has packed wrongly: the file is sealed, so only reading them shows it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from models import tiny_model

from edge.errors import ModelFileError
from edge.model_file import parse_model_file, seal

if TYPE_CHECKING:
    from pathlib import Path


def with_frame(content: bytes, frame: bytes) -> bytes:
    """The same file with other bytes for its first golden frame, and a digest that is right for them."""
    start = content.index(b"PK\x03\x04")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    with zipfile.ZipFile(io.BytesIO(files["golden.npz"])) as golden:
        arrays = {name: golden.read(name) for name in golden.namelist()}
    arrays["frame_000.npy"] = frame
    files["golden.npz"] = zipped(arrays, b"")
    body = (content[:start] + zipped(files, comment))[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def zipped(files: dict[str, bytes], comment: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.comment = comment
    return buffer.getvalue()


@pytest.mark.parametrize(
    "frame",
    [
        b"no array",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': (    \n",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1 \n",
        b"\x93NUMPY\x01\x00\x10\x00{'shape': (007)}",
        b"\x93NUMPY\x01\x00\x10\x00if not: nothing ",
    ],
)
def test_a_golden_frame_that_is_no_array_is_refused(tmp_path: Path, frame: bytes) -> None:
    tiny = tiny_model()
    content = with_frame(seal(tiny.flatbuffer, tiny.card, tiny.golden), frame)
    with pytest.raises(ModelFileError, match=r"golden\.npz (cannot be read|is inconsistent)"):
        parse_model_file(content, tmp_path / "m.tflite")
