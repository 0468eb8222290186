from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from models import tiny_model

from edge.errors import ModelFileError
from edge.model_file import read_model_file, seal

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = tiny_model()
SEALED = seal(TINY.flatbuffer, TINY.card, TINY.golden)


@contextmanager
def files_may_grow_to(size_bytes: int) -> Iterator[None]:
    """As on a full disk, a write beyond this size fails half way; nothing else of this process writes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere: be nobody for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestWriting:
    def test_the_new_file_replaces_the_old_and_leaves_nothing_beside(self, tmp_path: Path) -> None:
        path = tmp_path / "m.tflite"
        path.write_bytes(b"old")
        TINY.write(path)
        assert path.read_bytes() == SEALED
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    @pytest.mark.parametrize("name", ["Überwachung 門.tflite", "a" * 240 + ".tflite", "門" * 80 + ".tflite", "-m"])
    def test_any_file_name_will_do(self, tmp_path: Path, name: str) -> None:
        TINY.write(tmp_path / name)
        assert read_model_file(tmp_path / name).card == TINY.card

    def check_failure(self, path: Path, reason: str) -> None:
        """The write fails with a reason, and the folder is as it was before."""
        before = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
        with pytest.raises(ModelFileError, match=reason) as caught:
            TINY.write(path)
        assert str(caught.value).startswith(f"{path}: cannot write the model file: ")
        assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == before

    @pytest.mark.parametrize("size_bytes", [0, 1, 1000, len(SEALED) - 1])
    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path, size_bytes: int) -> None:
        path = tmp_path / "m.tflite"
        path.write_bytes(b"old")
        with files_may_grow_to(size_bytes):
            self.check_failure(path, "File too large")

    def test_a_folder_that_may_not_be_written_leaves_the_old_file(self) -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            (folder / "m.tflite").write_bytes(b"old")
            (folder / "m.tflite").chmod(0o644)
            folder.chmod(0o555)
            with unprivileged():
                self.check_failure(folder / "m.tflite", "Permission denied")
        finally:
            folder.chmod(0o755)
            shutil.rmtree(folder)

    @pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
    def test_a_dying_disk_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        def fails(*_: object) -> None:
            raise OSError(5, "Input/output error")

        (tmp_path / "m.tflite").write_bytes(b"old")
        monkeypatch.setattr(os, call, fails)
        self.check_failure(tmp_path / "m.tflite", "Input/output error")

    def test_interrupted_it_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        (tmp_path / "m.tflite").write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            TINY.write(tmp_path / "m.tflite")
        assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("m.tflite", b"old")]

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="cannot write the model file: No such file"):
            TINY.write(tmp_path / "absent" / "m.tflite")

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "m.tflite").mkdir()
        with pytest.raises(ModelFileError, match="cannot write the model file: Is a directory"):
            TINY.write(tmp_path / "m.tflite")
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]
