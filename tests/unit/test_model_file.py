from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import COLORS, plain, tiny_flatbuffer, tiny_model

from edge.errors import ModelFileError
from edge.model_card import CARD_FORMAT, Golden
from edge.model_file import (
    CARD_ENTRY,
    GoldenSamples,
    parse_labels,
    read_labels,
    read_model_file,
    seal,
    write_model_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TINY = tiny_model()
SEALED = seal(TINY.flatbuffer, TINY.card, TINY.golden)
COMMENT = b"sightpost sha256 "


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """A zip as it would be appended."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.comment = comment
    return buffer.getvalue()


def resealed(change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The tiny model's file with other contents and a digest that is right for them."""
    with zipfile.ZipFile(io.BytesIO(SEALED)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    body = (TINY.flatbuffer + zipped(files, comment=COMMENT + bytes(64)))[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def with_card(**changes: object) -> bytes:
    """The same with some keys of ``card.json`` replaced."""

    def change(files: dict[str, bytes]) -> None:
        files["card.json"] = msgspec.json.encode({**msgspec.json.decode(files["card.json"]), **changes})

    return resealed(change)


def with_golden(**arrays: np.ndarray[Any, Any]) -> bytes:
    """The same with another ``golden.npz``."""

    def change(files: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        files["golden.npz"] = buffer.getvalue()

    return resealed(change)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """One file in memory where there is such a file system: thousands of versions of it are read."""
    shm = Path("/dev/shm")  # noqa: S108  its own folder there
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder) / "model.tflite"


def refusal(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_model_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


class TestRoundTrip:
    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        frames = [np.random.default_rng(1).integers(0, 256, (30, 40 + i, 3), dtype=np.uint8) for i in range(12)]
        model = tiny_model(golden_frames=frames, name="gate", version="2026.11.23", labels=("open", "shut", "unsure"))
        path = model.write(tmp_path / "gate.tflite")
        file = read_model_file(path)
        assert file.card == model.card
        assert file.labels == ("open", "shut", "unsure")
        assert file.path == path
        assert file.content == path.read_bytes()
        assert file.content.startswith(model.flatbuffer)
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file.golden is not None
        assert model.golden is not None
        assert all(np.array_equal(a, b) for a, b in zip(file.golden.frames, frames, strict=True))
        assert np.array_equal(file.golden.scores, model.golden.scores)

    def test_a_file_without_golden_samples(self, tmp_path: Path) -> None:
        file = read_model_file(tiny_model(golden_frames=()).write(tmp_path / "m.tflite"))
        assert file.golden is None
        assert file.card is not None
        assert file.card.golden is None

    @pytest.mark.parametrize(
        "labels",
        [
            ("a/b", "#", "+", "$SYS"),
            ("offen", "geschloßen", "門"),
            ("x" * 10_000, "x", "-"),
            ("a\tb", "\0", "\u202eevil"),
            ('"', "\\", "'"),
        ],
    )
    def test_labels_are_any_text(self, tmp_path: Path, labels: tuple[str, ...]) -> None:
        file = read_model_file(tiny_model(labels=labels).write(tmp_path / "m.tflite"))
        assert file.labels == labels

    def test_metrics_and_provenance_are_kept_as_they_are(self, tmp_path: Path) -> None:
        metrics = {"int8": {"accuracy": 0.93, "per_class": {"open": [0.9, 0.95]}}, "n": 120}
        card = msgspec.structs.replace(TINY.card, metrics=metrics, thresholds={"red": 0.5}, temperature=1.5)
        write_model_file(tmp_path / "m.tflite", TINY.flatbuffer, card, TINY.golden)
        assert read_model_file(tmp_path / "m.tflite").card == card

    def test_other_programs_find_the_labels_with_any_unzip(self, tmp_path: Path) -> None:
        path = TINY.write(tmp_path / "m.tflite")
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["card.json", "labels.txt", "golden.npz"]
            assert archive.read("labels.txt") == b"red\ngreen\nblue\n"

    def test_the_same_model_gives_the_same_bytes_at_any_time(self) -> None:
        assert seal(TINY.flatbuffer, TINY.card, TINY.golden) == SEALED
        with zipfile.ZipFile(io.BytesIO(SEALED)) as archive:
            entries = archive.infolist()
            with zipfile.ZipFile(io.BytesIO(archive.read("golden.npz"))) as golden:
                entries += golden.infolist()
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}

    def test_a_file_from_a_later_version_of_this_format_may_know_more_keys(self, tmp_path: Path) -> None:
        (tmp_path / "m.tflite").write_bytes(with_card(novelty={"a": 1}))
        assert read_model_file(tmp_path / "m.tflite").card == TINY.card


class TestDamage:
    """Whatever happens to a file of ours, it is never taken for whole, nor for somebody else's."""

    @pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
    def test_every_changed_byte_is_noticed(self, scratch: Path, flip: int) -> None:
        for position in range(len(SEALED)):
            damaged = bytearray(SEALED)
            damaged[position] ^= flip
            refusal(bytes(damaged), scratch)

    def test_every_changed_bit_of_the_tail_is_noticed(self, scratch: Path) -> None:
        for position in range(len(SEALED) - 350, len(SEALED)):
            for bit in range(8):
                damaged = bytearray(SEALED)
                damaged[position] ^= 1 << bit
                refusal(bytes(damaged), scratch)

    def test_every_cut_is_noticed(self, scratch: Path) -> None:
        for size in range(len(SEALED)):
            refusal(SEALED[:size], scratch)

    def test_every_tail_of_zeros_is_noticed(self, scratch: Path) -> None:
        # A power cut leaves zeros in whole blocks of the disk; none is smaller than 512 bytes.
        for size in range(512, len(SEALED) - 1):
            refusal(SEALED[:size] + bytes(len(SEALED) - size), scratch)

    @given(st.binary(min_size=1, max_size=300))
    def test_everything_appended_is_noticed(self, scratch: Path, more: bytes) -> None:
        refusal(SEALED + more, scratch)

    @given(st.data())
    @settings(max_examples=300)
    def test_any_block_replaced_is_noticed(self, scratch: Path, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(SEALED) - 1))
        block = data.draw(st.binary(min_size=1, max_size=600))
        damaged = SEALED[:start] + block + SEALED[start + data.draw(st.integers(0, 600)) :]
        if damaged != SEALED:
            refusal(damaged, scratch)

    def test_the_reason_is_named(self, scratch: Path) -> None:
        changed = SEALED[:2000] + bytes([SEALED[2000] ^ 1]) + SEALED[2001:]
        assert "damaged or changed" in refusal(changed, scratch)
        assert "cut off" in refusal(SEALED[:-1], scratch)
        assert "cut off" in refusal(TINY.flatbuffer, scratch)
        assert "not a TFLite model" in refusal(SEALED[:600], scratch)

    @pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"<html>" * 500, SEALED[4:], b"PK\5\6" + bytes(2000)])
    def test_what_is_no_model_at_all(self, scratch: Path, content: bytes) -> None:
        assert "not a TFLite model" in refusal(content, scratch)

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="cannot read the model file: No such file"):
            read_model_file(tmp_path / "absent.tflite")
        with pytest.raises(ModelFileError, match="cannot read the model file: Is a directory"):
            read_model_file(tmp_path)


class TestFormat:
    def test_a_newer_format_asks_for_an_update(self, scratch: Path) -> None:
        message = refusal(with_card(format=CARD_FORMAT + 1, labels="in another way"), scratch)
        assert f"written in format {CARD_FORMAT + 1}" in message
        assert "update Sightpost on this device" in message

    @pytest.mark.parametrize(
        "changes",
        [{"kind": "detect"}, {"labels": 3}, {"name": None}, {"input": {"color": "hsv"}}, {"format": "1"},
         {"format": None}, {"golden": {"count": 1}}],
    )  # fmt: skip
    def test_a_card_that_makes_no_sense(self, scratch: Path, changes: dict[str, object]) -> None:
        assert "its card.json" in refusal(with_card(**changes), scratch)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"labels": ["red", "green", "red"]}, "labels 1 and 3 are both 'red'"),
            ({"labels": ["red", " ", "blue"]}, "label 2 is empty"),
            ({"labels": ["red", "a\nb", "blue"]}, "label 2 is longer than a line"),
            ({"labels": []}, "has labels, and it has 0"),
            ({"kind": "embed"}, "has no labels, and it has 3"),
            ({"kind": "binary"}, "has two labels, and it has 3"),
            ({"thresholds": {"rde": 0.5}}, "a threshold for 'rde', which is none of its labels"),
            ({"temperature": 0}, "out of all bounds"),
            ({"golden": {"count": 0, "tolerance": 0.1}}, "proves nothing"),
            ({"golden": {"count": 3, "tolerance": -1}}, "proves nothing"),
        ],
    )
    def test_a_card_that_contradicts_itself(self, scratch: Path, changes: dict[str, object], reason: str) -> None:
        message = refusal(with_card(**changes), scratch)
        assert "its card.json is wrong: " in message
        assert reason in message
        assert "copy the file again" in message

    def test_golden_samples_that_the_card_does_not_count(self, scratch: Path) -> None:
        message = refusal(with_card(golden={"count": 2, "tolerance": 0.1}), scratch)
        assert "golden.npz is inconsistent" in message

    def test_a_card_that_contradicts_itself_is_not_sealed(self) -> None:
        card = msgspec.structs.replace(TINY.card, labels=("red", "red", "blue"))
        with pytest.raises(ValueError, match="labels 1 and 2 are both 'red'"):
            seal(TINY.flatbuffer, card, TINY.golden)

    @pytest.mark.parametrize("card", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b"[" * 100_000])
    def test_a_card_that_cannot_be_read(self, scratch: Path, card: bytes) -> None:
        assert "its card.json cannot be read" in refusal(
            resealed(lambda files: files.update({"card.json": card})), scratch
        )

    @pytest.mark.parametrize("name", ["card.json", "golden.npz"])
    def test_a_part_that_is_missing(self, scratch: Path, name: str) -> None:
        assert f"has lost its {name}" in refusal(resealed(lambda files: files.pop(name)), scratch)

    @pytest.mark.parametrize("scores", [np.zeros((1, 3), np.complex64), np.array(["a"])])
    def test_golden_scores_that_are_no_numbers(self, scratch: Path, scores: np.ndarray[Any, Any]) -> None:
        assert "golden.npz cannot be read" in refusal(with_golden(frame_000=plain("red"), scores=scores), scratch)

    def test_a_single_number_for_golden_scores(self, scratch: Path) -> None:
        golden = with_golden(frame_000=plain("red"), frame_001=plain("red"), scores=np.array(np.float32(1)))
        assert "golden.npz is inconsistent" in refusal(golden, scratch)

    def test_a_sealed_zip_that_is_damaged(self, scratch: Path) -> None:
        for body in (TINY.flatbuffer + COMMENT, SEALED[:-64].replace(b'"kind"', b'"kinc"')):
            content = body + hashlib.sha256(body).hexdigest().encode()
            assert "its zip archive cannot be read" in refusal(content, scratch)

    def test_golden_samples_that_cannot_be_read(self, scratch: Path) -> None:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 3)}"
        terabytes = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        for data in (b"", b"PK", TINY.flatbuffer, zipped({"scores.npy": b"", "frame_000.npy": terabytes})):
            content = resealed(lambda files, data=data: files.update({"golden.npz": data}))
            assert "golden.npz cannot be read" in refusal(content, scratch)

    def test_golden_samples_never_run_code(self, scratch: Path) -> None:
        class Mine:
            def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
                return os.mkdir, (str(scratch.parent / "ran"),)

        objects = np.array([Mine()], dtype=object)
        content = with_golden(frame_000=plain("red"), scores=objects)
        assert "golden.npz cannot be read" in refusal(content, scratch)
        assert not (scratch.parent / "ran").exists()

    @pytest.mark.parametrize(
        "arrays",
        [
            {"scores": np.zeros((0, 3), np.float32)},
            {"scores": np.zeros((1, 3), np.float32), "frame_000": plain("red")[:0]},
            {"scores": np.zeros((2, 3), np.float32), "frame_000": plain("red")},
            {"scores": np.zeros((1, 3), np.float32), "frame_000": plain("red")[..., 0]},
            {"scores": np.zeros((1, 3), np.float32), "frame_000": plain("red")[..., :2]},
            {"scores": np.zeros((1, 3), np.float32), "frame_000": plain("red").astype(np.float32)},
        ],
    )
    def test_golden_samples_that_do_not_fit_together(
        self, scratch: Path, arrays: dict[str, np.ndarray[Any, Any]]
    ) -> None:
        assert "golden.npz is inconsistent" in refusal(with_golden(**arrays), scratch)

    def test_a_flatbuffer_without_our_mark_is_not_sealed(self) -> None:
        with pytest.raises(ValueError, match=CARD_ENTRY):
            seal(tiny_flatbuffer(), TINY.card, TINY.golden)

    @pytest.mark.parametrize(
        ("promised", "given_samples"), [(None, TINY.golden), (Golden(count=3, tolerance=0.1), None)]
    )
    def test_golden_samples_and_their_tolerance_come_together(
        self, promised: Golden | None, given_samples: GoldenSamples | None
    ) -> None:
        with pytest.raises(ValueError, match="the card counts"):
            seal(TINY.flatbuffer, msgspec.structs.replace(TINY.card, golden=promised), given_samples)


class TestSomebodyElsesFile:
    FLATBUFFER = tiny_flatbuffer()

    def labels_of(self, content: bytes, path: Path) -> tuple[str, ...] | None:
        path.write_bytes(content)
        file = read_model_file(path)
        assert file.card is None
        assert file.golden is None
        assert file.content == content
        return file.labels

    def test_without_a_zip_it_has_no_labels(self, scratch: Path) -> None:
        assert self.labels_of(self.FLATBUFFER, scratch) is None

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    def test_its_labels_are_the_one_text_file(self, scratch: Path, method: int) -> None:
        files = {"labelmap.txt": "\ufeffred\r\ngreen\r\nblau-grün\r\n\r\n".encode(), "readme.md": b"no"}
        assert self.labels_of(self.FLATBUFFER + zipped(files, method), scratch) == ("red", "green", "blau-grün")

    def test_several_text_files_or_an_empty_one_name_none(self, scratch: Path) -> None:
        assert self.labels_of(self.FLATBUFFER + zipped({"a.txt": b"a", "b.txt": b"b"}), scratch) is None
        assert self.labels_of(self.FLATBUFFER + zipped({"a.txt": b"\n\n"}), scratch) is None

    def test_a_zip_that_unpacks_to_gigabytes_is_left_alone(self, scratch: Path) -> None:
        bomb = zipped({"labels.txt": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
        assert self.labels_of(self.FLATBUFFER + bomb, scratch) is None

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    def test_a_damaged_zip_names_labels_or_none(self, scratch: Path, method: int) -> None:
        archive = zipped({"labels.txt": b"red\ngreen\nblue\n" * 4}, method)
        for position in range(len(archive)):
            for flip in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF):
                damaged = bytearray(archive)
                damaged[position] ^= flip
                self.labels_of(self.FLATBUFFER + bytes(damaged), scratch)


class TestLabelFiles:
    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            ("a\nb\n", ("a", "b")),
            ("a\r\nb", ("a", "b")),
            ("  a  \nb c\n\n\n", ("a", "b c")),
            ("a\n\nc\n", ("a", "", "c")),
            ("", ()),
        ],
    )
    def test_one_label_per_line(self, text: str, labels: tuple[str, ...]) -> None:
        assert parse_labels(text) == labels

    def test_the_mark_that_windows_editors_begin_a_file_with_is_no_label(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("Hütte\nb\n", encoding="utf-8-sig")
        assert read_labels(tmp_path / "labels.txt") == ("Hütte", "b")

    @pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"\n \n", "empty"), (b"H\xfctte\n", "not UTF-8")])
    def test_files_that_will_not_do(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "labels.txt").write_bytes(content)
        with pytest.raises(ModelFileError, match=reason):
            read_labels(tmp_path / "labels.txt")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="cannot read the labels: No such file"):
            read_labels(tmp_path / "absent.txt")


def test_the_tiny_model_is_what_these_tests_think() -> None:
    assert TINY.card.labels == COLORS
    assert len(SEALED) < 5000
