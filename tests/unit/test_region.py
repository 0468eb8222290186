"""Which pixels a watch looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import WatchConfig
from edge.errors import ConfigError
from edge.watch.region import OUTSIDE_GREY, Region

if TYPE_CHECKING:
    from edge.frame import Image


def picture(height: int = 60, width: int = 80) -> Image:
    """Each pixel says where it is: blue is x, green is y."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[..., 0], image[..., 1] = np.meshgrid(np.arange(width), np.arange(height))
    return image


def region(**keys: object) -> Region:
    return Region.of("gate", WatchConfig(camera="yard", model="m", **keys))  # type: ignore[arg-type]


def test_fractions_and_pixels_give_the_same_view() -> None:
    image = picture()
    by_fractions = region(roi=(0.25, 0.5, 0.75, 1.0)).cut(image)
    by_pixels = region(roi_px=(20, 30, 60, 60)).cut(image)
    assert by_fractions.shape == (30, 40, 3)
    assert (by_fractions == by_pixels).all()
    assert by_pixels.base is not None, "nothing is copied"


def test_pixels_that_do_not_fit_are_refused_with_both_sizes() -> None:
    gate = region(roi_px=(20, 30, 90, 60))
    with pytest.raises(ConfigError, match=r"watches\.gate: its region reaches to 90x60 pixels, .* have 80x60"):
        gate.cut(picture())
    assert gate.cut(picture(width=160)).shape == (30, 70, 3), "and fit as soon as the camera's size does"


@pytest.mark.parametrize("in_pixels", [False, True])
def test_a_polygons_outside_is_grey(in_pixels: bool) -> None:
    corners = ((20, 0), (60, 0), (20, 40))
    keys = {"polygon_px": corners} if in_pixels else {"polygon": tuple((x / 80, y / 60) for x, y in corners)}
    gate = region(**keys)
    image = picture()
    cut = gate.cut(image)
    assert cut.shape == (40, 40, 3)
    assert (cut[39, 39] == OUTSIDE_GREY).all()
    assert tuple(cut[5, 5]) == (25, 5, 255)
    assert gate.coverage(image) == pytest.approx(0.5, abs=0.05)
    image[:] = 7
    assert (gate.cut(image)[39, 39] == OUTSIDE_GREY).all()
    assert (gate.cut(image)[5, 5] == 7).all()
    assert gate.corners_px(image) == list(corners)


def test_a_boxs_corners_are_where_it_looks() -> None:
    assert region(roi=(0.25, 0.5, 0.75, 1.0)).corners_px(picture()) == [(20, 30), (60, 30), (60, 60), (20, 60)]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=8),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_polygon_cuts_its_box_out_of_any_frame(corners: list[tuple[float, float]], height: int, width: int) -> None:
    try:
        config = WatchConfig(camera="yard", model="m", polygon=tuple(corners))
        config.check("gate", "here")
    except ConfigError:
        return
    image = np.full((height, width, 3), 200, np.uint8)
    cut = Region.of("gate", config).cut(image)
    assert cut.size
    assert set(np.unique(cut)) <= {200, OUTSIDE_GREY}
    assert cv2.countNonZero((cut[..., 0] == 200).astype(np.uint8)) > 0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"roi_px": (5, 5, 5, 9)}, r"roi_px: \[5, 5, 5, 9\] is empty; give .* as pixels"),
        ({"roi": (0.1, 0, 1, 1), "polygon": ((0, 0), (1, 0), (0, 1))}, "roi and polygon say where to look"),
        ({"polygon": ((0, 0), (1, 1))}, "polygon: encloses nothing"),
        ({"polygon_px": ((0, 0), (5, 5), (9, 9))}, "polygon_px: encloses nothing"),
        ({"schedule": ("someday",)}, "schedule: 'someday' is no time to look"),
        ({"smooth_s": 1.0, "majority": 3}, "smooth_s and majority"),
        ({"max_age_s": 1.0}, "max_age_s: 1 is not longer than interval_s"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"edge\.toml: watches\.gate(\.|: ){said}"):
        WatchConfig(camera="yard", model="m", **keys).check("gate", "edge.toml")  # type: ignore[arg-type]
