"""The model file: an ordinary ``.tflite`` carrying its card, labels and golden samples; this module owns the format.

Layout::

    flatbuffer │ zip: card.json, labels.txt, golden.npz │ zip comment: "sightpost sha256 " + digest of all before

TFLite programs ignore the zip; ``zipfile`` reads it from the end. The digest covers every byte, so that a file that was
cut or changed anywhere is refused before an interpreter, which a damaged flatbuffer can crash, sees it.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.durable import replace_file
from edge.errors import ModelFileError
from edge.model_card import CARD_FORMAT, ModelCard, contradiction
from edge.tflite_metadata import LABELS_FILE
from edge.value import Value

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image

CARD_ENTRY = "SIGHTPOST_CARD"
"""Name of the flatbuffer's metadata entry that marks a file as ours, so that one which lost its tail is not taken for a
stranger's."""

_CARD_FILE, _GOLDEN_FILE = "card.json", "golden.npz"
_SEAL = b"sightpost sha256 "
_DIGEST_CHARS = 64
_HEAD_BYTES = 1024
"""Our mark lies within these first bytes: a file cut anywhere behind them has it. No picture model is shorter."""
_TAIL_BYTES = 200
"""The seal lies within these last bytes."""
_FLATBUFFER_IDENTIFIER = b"TFL3"
_LABELS_MAX_BYTES = 1_000_000
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
)
"""All that ``zipfile`` raises for a damaged archive."""
_REPLACE = "copy the file again from where it was made, or train it anew"


class GoldenSamples(Value, frozen=True):
    """Raw frames and what this very file answered to them in training.

    Attributes:
        frames: pictures, ``(H, W, 3) uint8 BGR`` each.
        scores: ``(n, classes) float32``; for an ``embed`` model ``(n, embedding size)``.
    """

    frames: tuple[Image, ...]
    scores: npt.NDArray[np.float32]


class ModelFile(Value, frozen=True):
    """A model file as read: the bytes for the interpreter, and what the file says of itself.

    ``card`` and ``golden`` are ``None`` in somebody else's file; ``labels`` may be there through its TFLite Metadata.
    """

    path: Path
    content: bytes
    card: ModelCard | None
    labels: tuple[str, ...] | None
    golden: GoldenSamples | None
    sha256: str


def read_model_file(path: Path) -> ModelFile:
    """Read a model file and check that it is whole.

    Raises:
        ModelFileError: missing, no TFLite file, cut or changed since it was written, or of a newer format than we know.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read the model file: {error.strerror or error}") from error
    return parse_model_file(content, path)


def is_sealed(path: Path) -> bool:
    """Whether it ends like a file of ours; whether that is true, ``read_model_file`` finds out."""
    try:
        with path.open("rb") as file:
            file.seek(-min(_TAIL_BYTES, path.stat().st_size), io.SEEK_END)
            return _SEAL in file.read()
    except OSError:
        return False


def parse_model_file(content: bytes, path: Path) -> ModelFile:
    """As ``read_model_file``, of bytes that are at hand; ``path`` names them in messages.

    Raises:
        ModelFileError: as ``read_model_file``.
    """
    if content[4:8] != _FLATBUFFER_IDENTIFIER or len(content) < _HEAD_BYTES:
        raise ModelFileError(f"{path}: not a TFLite model (it does not begin as one, or ends at once); {_REPLACE}")
    sha256 = hashlib.sha256(content).hexdigest()
    if _SEAL not in content[-_TAIL_BYTES:] and CARD_ENTRY.encode() not in content:
        return ModelFile(path, content, card=None, labels=_foreign_labels(content), golden=None, sha256=sha256)
    _check_seal(content, path)
    files = _read_archive(content, path)
    card = _read_card(files, path)
    golden = _read_golden(files, path, card.golden.count) if card.golden else None
    return ModelFile(path, content, card=card, labels=card.labels, golden=golden, sha256=sha256)


def write_model_file(path: Path, flatbuffer: bytes, card: ModelCard, golden: GoldenSamples | None) -> None:
    """Seal and write a model file durably; what stood there before stays until the new one is complete.

    Raises:
        ModelFileError: the folder is missing or cannot be written.
    """
    write_sealed(path, seal(flatbuffer, card, golden))


def write_sealed(path: Path, content: bytes) -> None:
    """Write what ``seal`` made, likewise.

    Raises:
        ModelFileError: as ``write_model_file``.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot write the model file: {error.strerror or error}") from error


def seal(flatbuffer: bytes, card: ModelCard, golden: GoldenSamples | None) -> bytes:
    """The bytes of a model file; the same input gives the same bytes.

    Args:
        flatbuffer: a ``.tflite`` with a metadata entry ``CARD_ENTRY``, which flatbuffer writers put near its beginning.
        card: says how far golden samples may be off, if and only if there are any.
        golden: what the flatbuffer answers.
    """
    if CARD_ENTRY.encode() not in flatbuffer[:_HEAD_BYTES]:
        raise ValueError(f"the flatbuffer has no metadata entry {CARD_ENTRY} in its first {_HEAD_BYTES} bytes")
    wrong = contradiction(card)
    if wrong:
        raise ValueError(wrong)
    if (card.golden.count if card.golden else 0) != (len(golden.frames) if golden else 0):
        raise ValueError("the golden samples are not those that the card counts")
    buffer = io.BytesIO(flatbuffer)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        _add(archive, _CARD_FILE, msgspec.json.format(msgspec.json.encode(card)))
        _add(archive, LABELS_FILE, "".join(f"{label}\n" for label in card.labels).encode())
        if golden is not None:
            _add(archive, _GOLDEN_FILE, _pack_golden(golden))
        archive.comment = _SEAL + b"0" * _DIGEST_CHARS
    body = buffer.getvalue()[:-_DIGEST_CHARS]
    return body + hashlib.sha256(body).hexdigest().encode()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_STORED)


def _check_seal(content: bytes, path: Path) -> None:
    body, digest = content[:-_DIGEST_CHARS], content[-_DIGEST_CHARS:]
    if not body.endswith(_SEAL):
        raise ModelFileError(f"{path}: the model file is cut off or damaged at its end; {_REPLACE}")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ModelFileError(f"{path}: the model file was damaged or changed since it was written; {_REPLACE}")


def _read_archive(content: bytes, path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except _ZIP_ERRORS as error:  # sealed, so whoever wrote it did it wrongly
        raise ModelFileError(f"{path}: its zip archive cannot be read ({error}); {_REPLACE}") from error


def _read_card(files: dict[str, bytes], path: Path) -> ModelCard:
    data = files.get(_CARD_FILE)
    if data is None:
        raise ModelFileError(f"{path}: the model file has lost its {_CARD_FILE}; {_REPLACE}")
    try:
        layout = int(msgspec.json.decode(data)["format"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: its {_CARD_FILE} cannot be read; {_REPLACE}") from error
    if layout > CARD_FORMAT:
        raise ModelFileError(
            f"{path}: written in format {layout}, this Sightpost knows up to {CARD_FORMAT}; "
            "update Sightpost on this device"
        )
    try:
        card = msgspec.json.decode(data, type=ModelCard)
    except msgspec.ValidationError as error:
        raise ModelFileError(f"{path}: its {_CARD_FILE} is wrong: {error}; {_REPLACE}") from error
    wrong = contradiction(card)
    if wrong:
        raise ModelFileError(f"{path}: its {_CARD_FILE} is wrong: {wrong}; {_REPLACE}")
    return card


def _foreign_labels(content: bytes) -> tuple[str, ...] | None:
    """Labels of somebody else's file: by TFLite Metadata's custom the one text file in the zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [entry for entry in archive.infolist() if entry.filename.endswith(".txt")]
            if len(texts) != 1 or texts[0].file_size > _LABELS_MAX_BYTES:
                return None
            return parse_labels(archive.read(texts[0]).decode("utf-8-sig", "replace")) or None
    except _ZIP_ERRORS:
        return None


def parse_labels(text: str) -> tuple[str, ...]:
    """One label per line; blank lines at the end do not count."""
    return tuple(line.strip() for line in text.rstrip().splitlines())


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a labels file.

    Raises:
        ModelFileError: it is missing, no UTF-8 text, or empty.
    """
    try:
        labels = parse_labels(path.read_text(encoding="utf-8-sig"))  # Windows editors begin a file with a mark
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read the labels: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: the labels are not UTF-8 text; save the file as UTF-8") from error
    if not labels:
        raise ModelFileError(f"{path}: the labels file is empty; it needs one label per line")
    return labels


def _pack_golden(golden: GoldenSamples) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, npt.NDArray[np.generic]] = {f"frame_{i:03}": frame for i, frame in enumerate(golden.frames)}
    # Compression is worth it here alone: the frames are half of a small model file.
    np.savez_compressed(buffer, allow_pickle=False, scores=golden.scores, **arrays)
    return buffer.getvalue()


def _read_golden(files: dict[str, bytes], path: Path, count: int) -> GoldenSamples:
    data = files.get(_GOLDEN_FILE)
    if data is None:
        raise ModelFileError(f"{path}: the model file has lost its {_GOLDEN_FILE}; {_REPLACE}")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            frames = tuple(arrays[name] for name in sorted(arrays.files) if name.startswith("frame_"))
            scores = np.atleast_1d(arrays["scores"]).astype(np.float32, casting="same_kind")
    # A header may claim terabytes, and is read as Python's own words.
    except (*_ZIP_ERRORS, KeyError, TypeError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        raise ModelFileError(f"{path}: its {_GOLDEN_FILE} cannot be read; {_REPLACE}") from error
    well_formed = all(  # what is no array comes as bytes
        isinstance(frame, np.ndarray) and frame.shape[2:] == (3,) and frame.dtype == np.uint8 and frame.size
        for frame in frames
    )
    if not len(frames) == len(scores) == count or not well_formed:
        raise ModelFileError(f"{path}: its {_GOLDEN_FILE} is inconsistent; {_REPLACE}")
    return GoldenSamples(frames, scores)
