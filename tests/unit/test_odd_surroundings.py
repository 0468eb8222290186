"""Commands where names, folders and outputs are as nobody thought of: one clear line, and JSON that is JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import cv2
import pytest
from models import foreign_model, plain, tiny_model

from edge.cli import main
from edge.cli.frame import print_json
from edge.config import load_config
from edge.errors import ConfigError

NOT_UTF8 = os.fsdecode(b"\xff")
ENDLESS = "x" * 300
"""No file can have this name: to ask for one fails, as it does where a user may not look."""


def configured(folder: Path, *, source: str = "scene:gate", more: str = "", state_dir: str = "state") -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "edge.toml"
    path.write_text(
        f'[device]\nid = "d"\nstate_dir = "{state_dir}"\n[mqtt]\nport = 1\n'
        f'[cameras.yard]\nsource = "{source}"\n{more}\n'
        '[models.m]\nfile = "colors.tflite"\n[watches.gate]\ncamera = "yard"\nmodel = "m"\ninterval_s = 0\n'
    )
    return str(path)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(cv2.imencode(".png", plain("red"))[1].tobytes())
    return path


@pytest.mark.parametrize("errors", ["backslashreplace", "surrogateescape"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("text", ["zu", "größer → 猫 🐈", NOT_UTF8, "\ud800"])
def test_json_is_json_whatever_the_output_takes(
    monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str, text: str
) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding, errors=errors))
    print_json({"label": text})
    assert json.loads(buffer.getvalue().decode(encoding)) == {"label": text}


def test_a_configuration_in_a_folder_that_is_not_utf8_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / NOT_UTF8
    assert main(["samples", "gate", "--config", configured(folder)]) == 78
    assert "is not UTF-8; rename" in capsys.readouterr().err


def test_a_stranger_under_a_name_that_is_not_utf8_is_refused(
    tmp_path: Path, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = foreign_model(tmp_path / "stranger.tflite")
    odd = model.rename(tmp_path / f"{NOT_UTF8}.tflite")
    assert main(["classify", str(red), "--model", str(odd), "--labels", str(labels), "--input", "scaling=raw"]) == 65
    assert "is not UTF-8; rename" in capsys.readouterr().err


@pytest.mark.parametrize("name", [NOT_UTF8, "a\nb.mp4", "a\x1bb"])
def test_a_clip_that_no_process_can_be_told_of_is_refused(
    model_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", name, "--model", str(model_path)]) == 64
    assert "rename it" in capsys.readouterr().err


def test_a_stranger_is_tried_without_what_lies_in_the_folder_where_somebody_is(
    tmp_path: Path, red: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = foreign_model(tmp_path / "stranger.tflite")
    (tmp_path / "random.py").write_text("raise SystemExit(3)")
    (tmp_path / "msgspec.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    words = ["classify", str(red), "--model", str(model), "--labels", str(labels), "--input", "scaling=raw"]
    assert main(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["outbox", "status"], 74),
        (["outbox", "export", "--to", "somewhere"], 74),
        (["outbox", "purge", "--yes"], 74),
        (["samples", "gate"], 65),
    ],
)
def test_a_state_folder_that_cannot_be_looked_into_is_named(
    tmp_path: Path, words: list[str], exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, state_dir=ENDLESS)
    assert main([*words, "--config", config]) == exit_code
    assert "File name too long" in capsys.readouterr().err


def test_a_hot_folder_that_cannot_be_looked_into_is_a_finding(
    tmp_path: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model_path.parent == tmp_path
    assert main(["check", "--json", "--config", configured(tmp_path, source=ENDLESS, more='hot = "leave"')]) == 66
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [finding["subject"] for finding in findings if not finding["ok"]] == ["cameras.yard", "broker"]


def test_a_picture_whose_name_no_table_can_hold_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "state/samples/gate"
    folder.mkdir(parents=True)
    for name in ("a.jpg", f"{NOT_UTF8}.jpg"):
        (folder / name).touch()
    assert main(["samples", "gate", "--config", configured(tmp_path)]) == 0
    assert "left out: its name is not UTF-8" in capsys.readouterr().err
    assert (folder / "samples.csv").read_text() == "path,label\na.jpg,\n"


def test_embed_says_the_name_of_a_picture_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a\n\x1b[31mb.png"
    picture.write_bytes(cv2.imencode(".png", plain("red"))[1].tobytes())
    model = tiny_model(kind="embed").write(tmp_path / "embed.tflite")
    assert main(["embed", str(picture), str(tmp_path / "c\nd.png"), "--model", str(model)]) == 65
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == len(captured.err.splitlines()) == 1
    assert "\x1b" not in captured.out


def test_a_count_of_messages_below_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["listen", "--config", configured(tmp_path), "--count", "-1"])
    assert end.value.code == 64
    assert "'-1': give a whole number" in capsys.readouterr().err


def test_a_value_nested_beyond_reason_is_refused_before_anything_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tell", "porch", "interval", "gate", "interval_s=" + "[" * 3000]
    assert main([*words, "--config", configured(tmp_path)]) == 1
    assert "interval_s" in capsys.readouterr().err


def test_a_wrong_value_may_read_like_the_end_of_a_message(tmp_path: Path) -> None:
    config = Path(configured(tmp_path))
    config.write_text(config.read_text() + 'kind = "a - at `$b`"\n')
    with pytest.raises(ConfigError, match=r"watches\.gate\.kind: invalid enum value 'a - at `\$b`'$"):
        load_config(config)
