"""What an audit finds, and what it does not: frames of a fixed camera must not drown their owner in duplicates."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import frame, jpeg, photograph, photographs, recording, with_exif, write

from edge.camera.scene import write_pictures
from trainer.audit import Audit, audit
from trainer.data import DataSet, look
from trainer.exif import Exif, read_exif
from trainer.facts import look_at
from trainer.findings import Finding
from trainer.numbering import numbering
from trainer.phash import RADIUS, near_clusters, unit_rows
from trainer.sources import list_pictures


def seen(root: Path, *, multilabel: bool = False) -> DataSet:
    return look(list_pictures(root), root, multilabel=multilabel, on_file=lambda: None)


def audited(root: Path) -> Audit:
    return audit(seen(root))


def finding(root: Path, kind: str) -> Finding:
    found = [finding for finding in audited(root).findings if finding.kind == kind]
    assert len(found) == 1, f"{kind}: {[finding.kind for finding in audited(root).findings]}"
    return found[0]


def kinds(root: Path) -> set[str]:
    return {finding.kind for finding in audited(root).findings}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Forty different pictures of each class."""
    photographs(tmp_path / "open", 40, 1)
    photographs(tmp_path / "shut", 40, 2)
    return tmp_path


def test_nothing_is_said_of_clean_data(clean: Path) -> None:
    result = audited(clean)
    assert result.findings == ()
    assert (result.pictures, result.groups, result.counts) == (80, 80, {"open": 40, "shut": 40})


def test_files_that_cannot_be_used_are_named_with_the_reason(clean: Path) -> None:
    (clean / "open" / "cut.jpg").write_bytes(jpeg(photograph(5))[:-300])
    (clean / "open" / "notes.txt").write_text("mine")
    (clean / "open" / "Thumbs.db").write_text("nobody's")
    found = finding(clean, "left_out")
    assert found.severity == "warning"
    assert "2 files cannot be used" in found.message
    assert "cut off" in found.examples[0]
    assert "notes.txt" in found.examples[1]


@pytest.mark.parametrize("count", [0, 3])
def test_a_class_with_too_few_pictures_is_an_error(clean: Path, count: int) -> None:
    (clean / "ajar").mkdir()
    photographs(clean / "ajar", count, 3)
    found = finding(clean, "unusable_class")
    assert found.severity == "error"
    assert "'ajar'" in found.message
    assert found.advice


def test_copies_are_found_and_grouped(clean: Path) -> None:
    (clean / "open" / "copy.jpg").write_bytes((clean / "open" / "007.jpg").read_bytes())
    found = finding(clean, "duplicates")
    assert {path.name for path in found.paths} == {"007.jpg", "copy.jpg"}
    assert kinds(clean) == {"duplicates"}
    groups = {sample.path: sample.group for sample in seen(clean).samples}
    assert groups[clean / "open" / "copy.jpg"] == groups[clean / "open" / "007.jpg"] >= 0
    assert groups[clean / "shut" / "007.jpg"] == -1


def test_a_copy_in_another_class_is_a_contradiction(clean: Path) -> None:
    (clean / "shut" / "copy.jpg").write_bytes((clean / "open" / "007.jpg").read_bytes())
    found = finding(clean, "contradiction")
    assert found.severity == "warning"
    assert found.examples == ("open/007.jpg ≈ shut/copy.jpg",)
    assert kinds(clean) == {"contradiction"}


CHANGES = {
    "re-encoded": lambda image: cv2.imdecode(np.frombuffer(jpeg(image, 50), np.uint8), cv2.IMREAD_COLOR),
    "halved": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "noisy": lambda image: cv2.add(image, np.random.default_rng(0).integers(0, 9, image.shape, np.uint8)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_near_duplicate_and_in_another_class_a_contradiction(clean: Path, change: str) -> None:
    image = CHANGES[change](photograph(1007, 192, 256))
    write(clean / "open" / "original.jpg", photograph(1007, 192, 256))
    write(clean / "open" / "changed.jpg", image)
    assert {"original.jpg", "changed.jpg"} <= {path.name for path in finding(clean, "near_duplicates").paths}
    (clean / "open" / "changed.jpg").rename(clean / "shut" / "changed.jpg")
    assert {"original.jpg", "changed.jpg"} <= {path.name for path in finding(clean, "near_contradiction").paths}


def test_frames_of_a_fixed_camera_are_one_finding_and_no_duplicates(tmp_path: Path) -> None:
    recording(tmp_path / "open", range(60))
    recording(tmp_path / "shut", range(100, 160))
    recording(tmp_path / "open", range(200, 230))
    recording(tmp_path / "shut", range(300, 330))
    assert kinds(tmp_path) == {"recording"}
    found = finding(tmp_path, "recording")
    assert "180 pictures are frames of 1 recording (f#)" in found.message
    assert "open 2, shut 2" in found.message


def test_many_recordings_are_one_finding(tmp_path: Path) -> None:
    for day in range(4):
        recording(tmp_path / "open" / f"day{day}", range(20), seed=day)
        recording(tmp_path / "shut" / f"day{day}", range(50, 70), seed=day)
    found = finding(tmp_path, "recording")
    assert "160 pictures are frames of 4 recordings (f#)" in found.message
    assert "open 4, shut 4" in found.message
    assert kinds(tmp_path) == {"recording"}


def test_groups_of_a_recording_are_blocks_of_time(tmp_path: Path) -> None:
    recording(tmp_path / "open", range(70))
    recording(tmp_path / "shut", range(100, 170))
    data = seen(tmp_path)
    for label in (0, 1):
        groups = [sample.group for sample in data.samples if sample.label == label]
        changes = sum(first != second for first, second in pairwise(groups))
        assert changes == len(set(groups)) - 1 == 6
        assert min(groups) >= 0
        assert max(groups.count(group) for group in groups) <= 15


def test_a_block_ends_where_the_picture_changes(tmp_path: Path) -> None:
    """Bursts of nine frames of one thing each, numbered through, are cut between the things."""
    for label, start in (("a", 0), ("b", 1000)):
        for number in range(63):
            write(tmp_path / label / f"burst{start + number}.jpg", frame(number % 9, seed=start + number // 9))
    data = seen(tmp_path)
    assert data.survey.recordings
    for sample in data.samples:
        burst = (sample.label, int(sample.path.stem.removeprefix("burst")) % 1000 // 9)
        assert {
            (other.label, int(other.path.stem.removeprefix("burst")) % 1000 // 9)
            for other in data.samples
            if other.group == sample.group
        } == {burst}


def test_a_class_that_was_seen_in_one_stretch_only_is_a_warning(tmp_path: Path) -> None:
    recording(tmp_path / "open", range(40))
    recording(tmp_path / "shut", range(100, 140))
    found = finding(tmp_path, "single_stretch")
    assert found.severity == "warning"
    assert "'open', 'shut'" in found.message


@pytest.mark.parametrize("stem", ["{:05}", "gate-{}.25-x7k", "IMG_20260501_12{:04}", "cam2-2026-05-01T12.{:04}"])
def test_a_recording_is_known_by_many_kinds_of_names(tmp_path: Path, stem: str) -> None:
    for label, start in (("open", 0), ("shut", 40)):
        for number in range(start, start + 40):
            text = 1_760_000_000 + number if "x7k" in stem else 100 * (number // 60) + number % 60
            write(tmp_path / label / (stem.format(text) + ".jpg"), frame(number))
    assert "recording" in kinds(tmp_path)


def test_a_recording_is_known_by_exif_times(tmp_path: Path) -> None:
    for label, start in (("open", 0), ("shut", 40)):
        for number in range(start, start + 40):
            path = tmp_path / label / f"{chr(97 + number * 7 % 26)}{chr(97 + number % 26)}{chr(97 + number // 26)}.jpg"
            path.parent.mkdir(exist_ok=True)
            taken = f"2026:05:01 12:{number // 60:02}:{number % 60:02}"
            path.write_bytes(with_exif(jpeg(frame(number)), taken=taken))
    data = seen(tmp_path)
    assert [recording.pattern for recording in data.survey.recordings] == ["EXIF time"]
    names = [data.samples[index].path for index in data.survey.recordings[0].members[:40]]
    assert names == [data.samples[i].path for i in sorted(range(40), key=lambda i: data.survey.facts[i].taken_s or 0)]


def test_frames_without_any_order_are_a_warning(tmp_path: Path) -> None:
    for label, start in (("open", 0), ("shut", 40)):
        for number in range(start, start + 40):
            letters = "".join(chr(97 + number * prime % 26) for prime in (3, 5, 7, 11)) + chr(97 + number // 26)
            write(tmp_path / label / f"{letters}.jpg", frame(number))
    assert kinds(tmp_path) == {"unordered_frames"}
    assert all(sample.group == index for index, sample in enumerate(seen(tmp_path).samples))


def test_rendered_pictures_of_one_scene_are_nothing_to_warn_of(tmp_path: Path) -> None:
    """Each is a moment of its own, and its number none in time."""
    write_pictures(tmp_path, per_state=40, seed=1)
    assert finding(tmp_path, "numbers_without_order").severity == "info"
    assert all(each.severity == "info" for each in audited(tmp_path).findings)


def test_numbered_photographs_are_no_recording(tmp_path: Path) -> None:
    photographs(tmp_path / "open", 200, 1)
    photographs(tmp_path / "shut", 200, 2)
    assert seen(tmp_path).survey.recordings == ()


def test_look_alikes_in_two_parts_of_the_owner_are_a_leak(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "test")):
        photographs(tmp_path / part / "open", 40, 10 * seed)
        photographs(tmp_path / part / "shut", 40, 10 * seed + 1)
    assert kinds(tmp_path) == {"missing_part"}
    (tmp_path / "test" / "open" / "leak.jpg").write_bytes(jpeg(photograph(7), 60))
    assert {path.name for path in finding(tmp_path, "leak").paths} == {"007.jpg", "leak.jpg"}


def test_a_class_that_a_part_lacks_is_named(tmp_path: Path) -> None:
    photographs(tmp_path / "train" / "open", 40, 1)
    photographs(tmp_path / "train" / "shut", 40, 2)
    photographs(tmp_path / "test" / "open", 40, 3)
    assert "'test' has no pictures of 'shut'" in finding(tmp_path, "absent_in_part").message


@pytest.mark.parametrize(("count", "severity"), [(15, None), (120, "info"), (400, "warning")])
def test_imbalance_is_graver_the_greater_it_is(tmp_path: Path, count: int, severity: str | None) -> None:
    photographs(tmp_path / "open", count, 1)
    photographs(tmp_path / "shut", 40 if count != 15 else 15, 2)
    assert [f.severity for f in audited(tmp_path).findings if f.kind == "imbalance"] == ([severity] if severity else [])


def test_few_pictures_are_counted(tmp_path: Path) -> None:
    photographs(tmp_path / "open", 12, 1)
    photographs(tmp_path / "shut", 40, 2)
    assert "'open' has 12" in finding(tmp_path, "few_pictures").message


def test_tiny_blank_and_oddly_shaped_pictures_are_found(clean: Path) -> None:
    for number in range(6):
        write(clean / "open" / f"tiny{number}.jpg", photograph(5000 + number, 90, 20))
    write(clean / "shut" / "dark.jpg", np.zeros((48, 64, 3), np.uint8))
    assert "6 of 87" in finding(clean, "tiny").message
    assert [path.name for path in finding(clean, "blank").paths] == ["dark.jpg"]
    assert "0.22" in finding(clean, "mixed_shapes").message


def test_sizes_that_differ_much_are_mentioned(clean: Path) -> None:
    for number in range(10):
        write(clean / "open" / f"large{number}.jpg", photograph(6000 + number, 480, 640))
    assert "from 64 to 640 px" in finding(clean, "mixed_sizes").message


@pytest.mark.parametrize(("grey_open", "grey_shut", "severity"), [(8, 8, "info"), (30, 0, "warning")])
def test_grey_matters_most_where_it_gives_the_class_away(
    tmp_path: Path, grey_open: int, grey_shut: int, severity: str
) -> None:
    for label, greys, seed in (("open", grey_open, 1), ("shut", grey_shut, 2)):
        photographs(tmp_path / label, 40, seed)
        for path in sorted((tmp_path / label).iterdir())[:greys]:
            grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            path.write_bytes(jpeg(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)))
    found = finding(tmp_path, "grey")
    assert found.severity == severity
    assert len(found.paths) == grey_open + grey_shut


def test_classes_that_the_light_gives_away_are_a_warning(clean: Path) -> None:
    for path in (clean / "open").iterdir():
        path.write_bytes(jpeg((cv2.imread(str(path)) * 0.3).astype(np.uint8)))
    found = finding(clean, "light")
    assert found.severity == "warning"
    assert "'shut' is bright and 'open' is dark" in found.message


def test_pictures_that_exif_turns_are_counted_and_are_upright(clean: Path) -> None:
    path = clean / "open" / "turned.jpg"
    path.write_bytes(with_exif(jpeg(photograph(7)), orientation=6))
    facts = look_at(path)
    assert not isinstance(facts, str)
    assert (facts.width_px, facts.height_px, facts.turned) == (48, 64, True)
    assert [path.name for path in finding(clean, "turned").paths] == ["turned.jpg"]


def test_several_labels_are_mentioned(tmp_path: Path) -> None:
    for seed, name in enumerate(("car", "person", "car+person")):
        photographs(tmp_path / name, 40, seed)
    assert "40 pictures show more than one class" in finding(tmp_path, "multilabel").message


def test_the_gravest_comes_first(clean: Path) -> None:
    (clean / "ajar").mkdir()
    (clean / "shut" / "copy.jpg").write_bytes((clean / "shut" / "007.jpg").read_bytes())
    (clean / "open" / "bad.jpg").write_bytes(b"")
    assert [finding.severity for finding in audited(clean).findings] == ["error", "warning", "info"]


@given(st.integers(1, 8), st.sampled_from("<>"))
def test_exif_is_read_in_both_byte_orders(orientation: int, order: str) -> None:
    encoded = with_exif(jpeg(photograph(1)), orientation=orientation, taken="2026:05:01 12:30:07", order=order)
    assert read_exif(encoded) == Exif(orientation, 1_777_638_607.0)


@given(st.binary(max_size=60), st.integers(0, 120))
def test_damaged_exif_says_nothing_and_raises_nothing(noise: bytes, position: int) -> None:
    whole = with_exif(jpeg(photograph(1)), orientation=6, taken="2026:05:01 12:30:07")
    for encoded in (noise, whole[:position], whole[:position] + noise + whole[position + len(noise) :]):
        assert read_exif(encoded).orientation in range(1, 9)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("f00017", ("f#", 17)),
        ("cam2_00017_crop", ("cam2_#_crop", 17)),
        ("gate-1712345678.25-x7k", ("gate-time", 1712345678.25)),
        ("1712345678500", ("time", 1712345678.5)),
        ("gate-20240405_193438", ("gate-time", 1712345678)),
        ("2024-05-31 23-59-60", ("2024-05-31 23-59-#", 60)),
        ("portrait", None),
    ],
)
def test_numbers_and_times_in_names(stem: str, expected: tuple[str, float] | None) -> None:
    assert numbering(stem) == expected


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 2**32 - 1))
def test_clusters_are_those_of_comparing_each_with_each(centres: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 2**63, 6, dtype=np.uint64)
    flips = [sum(1 << int(bit) for bit in rng.integers(0, 64, rng.integers(0, 9))) for _ in centres]
    hashes = np.array([int(bases[c]) ^ f for c, f in zip(centres, flips, strict=True)], dtype=np.uint64)
    rows = unit_rows(np.full((len(centres), 8, 8, 3), 90, np.uint8))
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= RADIUS
    expected = np.arange(len(centres))
    for _ in centres:
        expected = np.array([expected[row].min() for row in near])
    assert near_clusters(hashes, rows).tolist() == expected.tolist()
