"""``sightpost-train evaluate``: any model file, any folder of class folders, with the real command."""

from __future__ import annotations

import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from models import COLORS, plain, tiny_flatbuffer, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(1800)  # the first one may have to train


def write_pictures(root: Path, folder: str, *colors: str) -> Path:
    """One picture per colour in a class folder."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, color in enumerate(colors):
        assert cv2.imwrite(str(root / folder / f"{number}.png"), plain(color))
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of which one picture lies in the wrong folder: right in 9 of 10."""
    root = tmp_path / "pictures"
    write_pictures(root, "red", "red", "red", "red", "green")
    write_pictures(root, "green", "green", "green", "green")
    return write_pictures(root, "blue", "blue", "blue", "blue")


def test_the_page_and_the_summary_tell_the_truth(run: Run, model_path: Path, pictures: Path, tmp_path: Path) -> None:
    done = run("sightpost-train", "evaluate", model_path, pictures, "--report", "page.html", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["pictures"], summary["accuracy"], summary["passed"]) == (10, 0.9, True)
    assert summary["accuracy_low"] < 0.9 < summary["accuracy_high"]
    assert summary["per_class"]["red"] == {"pictures": 4, "recall": 0.75, "precision": 1.0}
    assert summary["confusions"] == [{"truth": "red", "said": "green", "count": 1, "of": 4}]
    assert summary["report"] == "page.html"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Right in 9 of 10 pictures" in page
    assert page.count("data:image/jpeg;base64,") == 10  # one mistake, nine others
    HTMLParser().feed(page)


def test_a_person_gets_a_table_a_verdict_and_a_page_here(
    run: Run, model_path: Path, pictures: Path, tmp_path: Path
) -> None:
    done = run("sightpost-train", "evaluate", model_path, pictures, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Right in 9 of 10 pictures" in done.stdout
    assert "“red” for “green” (1 of 4)" in done.stdout
    assert "colors-evaluation.html" in done.stdout
    assert (tmp_path / "colors-evaluation.html").is_file()


@pytest.mark.parametrize(("least", "exit_code"), [("0.9", 0), ("0.91", 1), ("0", 0), ("1", 1)])
def test_below_the_least_accuracy_it_exits_with_1_and_still_makes_the_page(
    run: Run, model_path: Path, pictures: Path, tmp_path: Path, least: str, exit_code: int
) -> None:
    done = run("sightpost-train", "evaluate", model_path, pictures, "--min-accuracy", least, "--json", cwd=tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert json.loads(done.stdout)["passed"] is (exit_code == 0)
    assert ("was asked for" in done.stderr) is (exit_code == 1)
    assert (tmp_path / "colors-evaluation.html").is_file()


def test_no_page_is_made_where_none_is_wanted(run: Run, model_path: Path, pictures: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = run("sightpost-train", "evaluate", model_path, pictures, "--no-report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_left_out_is_said(run: Run, model_path: Path, pictures: Path, tmp_path: Path) -> None:
    write_pictures(pictures, "[bold]violet<b>", "blue", "blue")
    (pictures / "red" / "broken.jpg").write_bytes(b"no picture")
    done = run("sightpost-train", "evaluate", model_path, pictures, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["pictures"] == 10
    assert summary["folders_left_out"] == {"[bold]violet<b>": 2}
    assert len(summary["unreadable"]) == 1
    assert "[bold]violet<b> (2 pictures)" in done.stderr
    assert "broken.jpg" in done.stderr
    page = (tmp_path / "colors-evaluation.html").read_text(encoding="utf-8")
    assert "[bold]violet&lt;b&gt; (2 pictures)" in page
    assert "cannot be read: 1 picture" in page


def test_labels_without_pictures_are_named(run: Run, model_path: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "few", "red", "red")
    done = run("sightpost-train", "evaluate", model_path, tmp_path / "few", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels_without_pictures"] == ["green", "blue"]
    page = (tmp_path / "colors-evaluation.html").read_text(encoding="utf-8")
    assert "Right in the one picture" in page
    assert "green and blue" in page


def test_names_in_any_script_come_through(run: Run, tmp_path: Path) -> None:
    labels = ("門 開", "<b>ζ</b> & 'x'", "فتح")
    model = tiny_model(labels=labels, name="門").write(tmp_path / "門 1.tflite")
    root = tmp_path / "写真"
    write_pictures(root, labels[0], "red", "red", "green")
    write_pictures(root, labels[2], "blue")
    done = run("sightpost-train", "evaluate", model, root, "--json", cwd=tmp_path)
    # A label with a slash can be no folder; it is one of those without pictures.
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["confusions"] == [{"truth": labels[0], "said": labels[1], "count": 1, "of": 3}]
    page = (tmp_path / "門 1-evaluation.html").read_text(encoding="utf-8")
    assert "<b>ζ" not in page
    assert "&lt;b&gt;ζ&lt;/b&gt; &amp; &#39;x&#39;" in page


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_other_kinds_of_answers_are_judged_as_well(run: Run, tmp_path: Path, kind: str) -> None:
    labels = ("other", "red") if kind == "binary" else COLORS
    model = tiny_model(kind=kind, labels=labels).write(tmp_path / "model.tflite")
    root = write_pictures(tmp_path / "pictures", labels[0], "green" if kind == "binary" else "red")
    write_pictures(root, labels[1], "red" if kind == "binary" else "green")
    done = run("sightpost-train", "evaluate", model, root, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] == 1.0
    assert "in all 2 pictures" in (tmp_path / "model-evaluation.html").read_text(encoding="utf-8")


def test_somebody_elses_file_is_judged_with_labels_and_input_given(run: Run, pictures: Path, tmp_path: Path) -> None:
    model, labels = tmp_path / "theirs.tflite", tmp_path / "labels.txt"
    model.write_bytes(tiny_flatbuffer(input_type="float32", signature=False, metadata={"notes": bytes(1000)}))
    labels.write_text("\n".join(COLORS))
    words = ["sightpost-train", "evaluate", model, pictures, "--labels", labels, "--input", "scaling=raw", "--json"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] == 0.9
    page = (tmp_path / "theirs-evaluation.html").read_text(encoding="utf-8")
    assert "scaling = &#34;raw&#34;" in page  # what a device has to be told


def wrong(run: Run, tmp_path: Path, exit_code: int, *arguments: object) -> str:
    """The one line that a wrong call is answered with; it leaves nothing behind."""
    before = sorted(tmp_path.rglob("*"))
    done = run("sightpost-train", "evaluate", *arguments, cwd=tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
    return done.stderr.strip().splitlines()[-1]


def test_wrong_calls_are_answered_in_one_line(run: Run, model_path: Path, pictures: Path, tmp_path: Path) -> None:
    assert "nothing.tflite" in wrong(run, tmp_path, 65, "nothing.tflite", pictures)
    assert "is not a folder" in wrong(run, tmp_path, 65, model_path, "nowhere")
    assert "the folder above it" in wrong(run, tmp_path, 65, model_path, pictures / "red")
    assert "is not between 0 and 1" in wrong(run, tmp_path, 64, model_path, pictures, "--min-accuracy", "95")
    assert "does not exist" in wrong(run, tmp_path, 65, model_path, pictures, "--report", "no/page.html")
    assert "the model itself" in wrong(run, tmp_path, 64, model_path, pictures, "--report", model_path)
    other = write_pictures(tmp_path / "others", "tulip", "red")
    assert "none of its 1 folders with pictures (tulip)" in wrong(run, tmp_path, 65, model_path, other)
    embed = tiny_model(kind="embed").write(tmp_path / "embed.tflite")
    assert "feature vectors" in wrong(run, tmp_path, 65, embed, pictures)
    (tmp_path / "unreadable" / "red").mkdir(parents=True)
    (tmp_path / "unreadable" / "red" / "1.jpg").write_bytes(b"?")
    assert "none of its 1 pictures can be read" in wrong(run, tmp_path, 65, model_path, tmp_path / "unreadable")


def test_it_works_without_tensorflow(model_path: Path, pictures: Path, tmp_path: Path) -> None:
    import sys

    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'ai_edge_quantizer'])); "
        "from trainer.cli import main; sys.exit(main())"
    )
    words = [sys.executable, "-W", "error", "-c", program, "evaluate", model_path, pictures]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.real_data
def test_a_real_classifier_that_nobody_here_trained(run: Run, data_dir: Path, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    for label, picture in (("macaw", "parrot"), ("cheeseburger", "burger"), ("my parrot", "parrot")):
        (root / label).mkdir(parents=True)
        (root / label / "1.jpg").symlink_to((data_dir / "pictures" / f"{picture}.jpg").resolve())
    models = data_dir / "models"
    words = [models / "mobilenet_v1_0.25_128_quant.tflite", root, "--labels", models / "imagenet_labels.txt"]
    done = run("sightpost-train", "evaluate", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["pictures"], summary["accuracy"]) == (2, 1.0)
    assert summary["folders_left_out"] == {"my parrot": 1}
    assert len(summary["labels_without_pictures"]) == 999
    assert np.isclose(summary["accuracy_high"], 1.0)


@pytest.mark.real_data
def test_pictures_that_the_model_learnt_from_are_suspected(
    run: Run, shelf_model: Path, data_dir: Path, tmp_path: Path
) -> None:
    done = run("sightpost-train", "evaluate", shelf_model, data_dir / "datasets" / "shelf_bottles", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "flatters it" in done.stderr
