"""Findings about the pictures themselves: how many, how large, how colourful, which way up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.data import problems
from trainer.facts import thumbnails
from trainer.findings import Finding, about, files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.data import DataSet

TINY_PX = 32
"""Shorter side; below it a backbone of 224 px sees a sevenfold blow-up."""
FEW_PICTURES = 30
IMBALANCE_WARNING, IMBALANCE_INFO = 10.0, 3.0
"""The largest class over the smallest."""
GREY_COLOURFULNESS = 2.0
"""Real grey pictures are at 0.0, the palest of 4,700 coloured ones at 2.0 and above."""
BLANK_DEVIATION = 2.0
LIGHT_GAP = 20.0
"""Grey levels between the darkest tenth of one class and the brightest of another; no real set tried came near."""
_SOME = 8  # pictures of which quantiles mean something
_MIXED_ASPECT = 1.5  # between the 5 % narrowest and the 5 % widest
_MIXED_SIZE = 4.0
_GREY_SHARE_GAP = 0.5


def unusable(data: DataSet) -> Iterator[Finding]:
    """Classes that cannot be trained on."""
    for problem in problems(data):
        message, _, advice = problem.rpartition("; ")
        yield Finding("error", "unusable_class", message, advice.capitalize())


def left_out(data: DataSet) -> Iterator[Finding]:
    """Files that cannot be used."""
    if data.rejected:
        count = len(data.rejected)
        yield Finding(
            "warning",
            "left_out",
            f"{count} {files(count)} cannot be used and {'is' if count == 1 else 'are'} left out",
            "Replace or remove them",
            examples=data.rejected,
        )


def imbalance(data: DataSet) -> Iterator[Finding]:
    """Classes of very different size."""
    counts = {label: count for label, count in data.counts().items() if count}
    if not counts:
        return
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    ratio = counts[most] / counts[least]
    if ratio >= IMBALANCE_INFO:
        yield Finding(
            "warning" if ratio >= IMBALANCE_WARNING else "info", "imbalance",
            f"{most!r} has {ratio:.0f} times as many pictures as {least!r} ({counts[most]} and {counts[least]})",
            f"Add pictures of {least!r}; balanced training helps only so far",
        )  # fmt: skip


def few(data: DataSet) -> Iterator[Finding]:
    """Small classes."""
    few = {label: count for label, count in data.counts().items() if 0 < count < FEW_PICTURES}
    if few:
        listed = ", ".join(f"{label!r} has {count}" for label, count in few.items())
        yield Finding(
            "warning", "few_pictures", f"Few pictures: {listed}",
            f"{FEW_PICTURES} or more of each class are advised; with few, accuracy is a rough guess",
        )  # fmt: skip


def tiny(data: DataSet) -> Iterator[Finding]:
    """Pictures with few pixels."""
    tiny = [i for i, facts in enumerate(data.survey.facts) if min(facts.width_px, facts.height_px) < TINY_PX]
    if tiny:
        yield about(
            data, "warning", "tiny", [[index] for index in tiny],
            f"{len(tiny)} of {len(data.samples)} pictures are narrower or lower than {TINY_PX} px",
            "Fine if the device will see them so small; else take larger ones. A smaller size_px is faster, too",
        )  # fmt: skip


def blank(data: DataSet) -> Iterator[Finding]:
    """Pictures without content."""
    pixels = thumbnails(data.survey.facts).astype(np.float32)
    blank = np.flatnonzero(pixels.std(axis=(1, 2)).max(axis=1) < BLANK_DEVIATION).tolist()
    if blank:
        yield about(
            data, "warning", "blank", [[index] for index in blank],
            f"{len(blank)} {'picture is' if len(blank) == 1 else 'pictures are'} of one plain colour",
            "Remove them, unless a covered or dark camera is what the class means",
        )  # fmt: skip


def grey(data: DataSet) -> Iterator[Finding]:
    """Grey pictures among coloured ones."""
    grey = [facts.colourfulness < GREY_COLOURFULNESS for facts in data.survey.facts]
    if not 0 < sum(grey) < len(grey):
        return
    targets = data.targets(range(len(grey)))
    shares = (np.array(grey) @ targets) / np.maximum(targets.sum(axis=0), 1)
    lowest, highest = int(shares.argmin()), int(shares.argmax())
    uneven = shares[highest] - shares[lowest] >= _GREY_SHARE_GAP
    message = f"{sum(grey)} of {len(grey)} pictures are grey, the others in colour"
    if uneven:
        message += (
            f": {shares[highest]:.0%} of {data.labels[highest]!r}, {shares[lowest]:.0%} of {data.labels[lowest]!r}"
        )
    yield about(
        data, "warning" if uneven else "info", "grey", [[i] for i, is_grey in enumerate(grey) if is_grey], message,
        "The model may learn grey instead of the class: take both kinds of picture of every class"
        if uneven
        else "Fine if the device sees both, e.g. by day and by infrared at night",
    )  # fmt: skip


def light(data: DataSet) -> Iterator[Finding]:
    """Classes that differ in light so much that the light alone tells them apart."""
    luminance = np.array([facts.luminance for facts in data.survey.facts])
    targets = data.targets(range(len(luminance))).astype(bool)
    ranges = {
        label: np.quantile(luminance[targets[:, index]], (0.1, 0.9))
        for index, label in enumerate(data.labels)
        if targets[:, index].sum() >= _SOME
    }
    if not ranges:
        return
    bright = max(ranges, key=lambda label: float(ranges[label][0]))
    dark = min(ranges, key=lambda label: float(ranges[label][1]))
    if ranges[bright][0] - ranges[dark][1] >= LIGHT_GAP:
        yield Finding(
            "warning", "light",
            f"{bright!r} is bright and {dark!r} is dark: in nine pictures of ten the mean grey is above "
            f"{ranges[bright][0]:.0f}, and below {ranges[dark][1]:.0f}",
            "The model may learn the light instead of the class: take pictures of both by day and by night",
        )  # fmt: skip


def shapes(data: DataSet) -> Iterator[Finding]:
    """Pictures of different shapes and sizes."""
    if not data.survey.facts:
        return
    sizes = np.array([(facts.width_px, facts.height_px) for facts in data.survey.facts], dtype=float)
    narrow, wide = np.quantile(sizes[:, 0] / sizes[:, 1], (0.05, 0.95))
    if wide / narrow >= _MIXED_ASPECT:
        yield Finding(
            "info", "mixed_shapes", f"Shapes differ: width over height is from {narrow:.2f} to {wide:.2f}",
            'Stretching distorts them differently; try [input] resize = "letterbox" or "crop" in the recipe',
        )  # fmt: skip
    small, large = np.quantile(sizes.max(axis=1), (0.05, 0.95))
    if large / small >= _MIXED_SIZE:
        yield Finding(
            "info", "mixed_sizes", f"Sizes differ: the longer side is from {small:.0f} to {large:.0f} px",
            "Nothing to do, if every class has small and large ones: sharpness must not give the class away",
        )  # fmt: skip


def turned(data: DataSet) -> Iterator[Finding]:
    """Pictures that EXIF turns."""
    turned = [[i] for i, facts in enumerate(data.survey.facts) if facts.turned]
    if turned:
        yield about(
            data, "info", "turned", turned,
            f"{len(turned)} of {len(data.samples)} pictures are stored turned, with an EXIF note to turn them back",
            "Nothing to do here: they are used upright. Look that a few really are, as other programs ignore the note",
        )  # fmt: skip


def multilabel(data: DataSet) -> Iterator[Finding]:
    """How many pictures show several classes, or none."""
    if data.multilabel:
        several = sum(len(sample.labels) > 1 for sample in data.samples)
        none = sum(not sample.labels for sample in data.samples)
        yield Finding(
            "info", "multilabel", f"Several labels: {several} pictures show more than one class, {none} show none",
            "Nothing to do, if you mean it so",
        )  # fmt: skip
