from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import noise, psnr_db, smooth

from edge.model_card import InputSpec
from edge.preprocess import LETTERBOX_GREY, crop_roi, map_pixels, prepare, read_picture, resize

if TYPE_CHECKING:
    from pathlib import Path

    Policy = Literal["stretch", "crop", "letterbox"]

BLUE, RED = (255, 0, 0), (0, 0, 255)


class TestResize:
    @pytest.mark.parametrize(("height", "width"), [(360, 640), (341, 512), (1080, 1920), (225, 225)])
    def test_halving_is_near_area_and_far_nearer_than_linear(self, height: int, width: int) -> None:
        image = cv2.resize(smooth(270, 480), (width, height), interpolation=cv2.INTER_CUBIC)
        image = cv2.addWeighted(image, 0.8, noise(height, width), 0.2, 0)
        area = resize(image, 96, 96, "area")
        halving, linear = (psnr_db(resize(image, 96, 96, kernel), area) for kernel in ("halving", "linear"))
        assert halving > 30
        assert halving > linear + 2

    @pytest.mark.real_data
    def test_halving_is_near_area_on_photographs(self, data_dir: Path) -> None:
        images = [read_picture(path) for path in sorted((data_dir / "pictures").glob("*.jpg"))]
        assert images
        for size_px in (96, 128, 160, 224):
            areas = [resize(image, size_px, size_px, "area") for image in images]
            found = [psnr_db(resize(image, size_px, size_px), area) for image, area in zip(images, areas, strict=True)]
            assert np.mean(found) > 35
            assert min(found) > 26  # 640 x 254 to 128 x 128 cannot be halved

    @pytest.mark.parametrize("times", [2, 4, 8])
    def test_exact_halves_are_the_mean_of_their_blocks(self, times: int) -> None:
        image = noise(6 * times, 10 * times)
        expected = image
        for _ in range(times.bit_length() - 1):
            blocks = expected.reshape(expected.shape[0] // 2, 2, expected.shape[1] // 2, 2, 3).astype(np.int32)
            expected = (blocks.sum((1, 3)) + 2) // 4
        assert np.array_equal(resize(image, 10, 6), expected)

    @pytest.mark.parametrize("kernel", ["halving", "area", "linear"])
    def test_the_right_size_is_left_as_it_is(self, kernel: str) -> None:
        image = noise(9, 13)
        assert np.array_equal(resize(image, 13, 9, kernel), image)

    def test_an_odd_last_row_and_column_are_left_out_of_the_halves(self) -> None:
        image = noise(9, 13)
        assert np.array_equal(resize(image, 3, 2), resize(image[:8, :12], 3, 2))

    @pytest.mark.parametrize("kernel", ["halving", "area", "linear"])
    def test_one_colour_stays_that_colour(self, kernel: str) -> None:
        image = np.full((97, 211, 3), (3, 141, 255), np.uint8)
        assert np.array_equal(resize(image, 31, 17, kernel), np.full((17, 31, 3), (3, 141, 255)))

    def test_a_small_picture_is_enlarged(self) -> None:
        assert resize(noise(1, 1), 20, 10).shape == (10, 20, 3)

    def test_a_part_of_a_frame_is_resized_as_its_copy(self) -> None:
        frame = noise(60, 90)
        part = frame[10:50, 20:80]
        assert not part.flags["C_CONTIGUOUS"]
        assert np.array_equal(resize(part, 16, 16), resize(part.copy(), 16, 16))

    @given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))
    def test_every_size_becomes_every_other(self, height: int, width: int, height_px: int, width_px: int) -> None:
        assert resize(noise(height, width), width_px, height_px).shape == (height_px, width_px, 3)


class TestColour:
    def test_rgb_bgr_and_gray(self) -> None:
        image = np.full((4, 4, 3), (10, 100, 200), np.uint8)
        made = {
            color: prepare(image, InputSpec(height_px=2, width_px=2, color=color))[0, 0].tolist()
            for color in ("rgb", "bgr", "gray")
        }
        assert made["rgb"] == [200, 100, 10]
        assert made["bgr"] == [10, 100, 200]
        assert made["gray"] == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 10)]

    @pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
    def test_the_shape_has_the_channels_last(self, color: Literal["rgb", "bgr", "gray"]) -> None:
        made = prepare(noise(30, 40), InputSpec(height_px=8, width_px=12, color=color))
        assert made.shape == (8, 12, 1 if color == "gray" else 3)
        assert made.dtype == np.uint8

    def test_a_spec_without_a_size_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="no size"):
            prepare(noise(4, 4), InputSpec())

    def test_the_frame_itself_is_never_changed(self) -> None:
        frame = noise(16, 16)
        kept = frame.copy()
        for resize_policy in ("stretch", "crop", "letterbox"):
            for color in ("rgb", "bgr", "gray"):
                spec = InputSpec(height_px=16, width_px=16, color=color, resize=resize_policy)
                prepare(frame, spec, roi=(0.0, 0.0, 0.5, 1.0))
        assert np.array_equal(frame, kept)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
    def test_each_pixel_becomes_its_entry_in_a_table(self, channels: int, dtype: type) -> None:
        table = (np.arange(256)[::-1] - 128 if dtype is np.int8 else np.arange(256)[::-1]).astype(dtype)
        picture = noise(5, 7, channels)
        mapped = map_pixels(picture, table)
        assert mapped.dtype == dtype
        assert np.array_equal(mapped, table[picture])


class TestCropAndLetterbox:
    """A red picture with blue where the crop must not, or the letterbox must, reach."""

    @pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (41, 101), (60, 60), (7, 1000)])
    @pytest.mark.parametrize(("height_px", "width_px"), [(16, 16), (12, 24), (24, 12)])
    def test_crop_takes_the_largest_centred_part_of_the_aspect(
        self, height: int, width: int, height_px: int, width_px: int
    ) -> None:
        aspect = width_px / height_px
        inner_height, inner_width = min(height, width / aspect), min(width, height * aspect)
        top, left = (height - inner_height) / 2, (width - inner_width) / 2
        image = np.full((height, width, 3), BLUE, np.uint8)
        image[
            max(0, int(top) - 1) : int(top + inner_height) + 2, max(0, int(left) - 1) : int(left + inner_width) + 2
        ] = RED
        spec = InputSpec(height_px=height_px, width_px=width_px, color="bgr", resize="crop")
        made = prepare(image, spec)
        assert np.array_equal(made, np.broadcast_to(np.uint8(RED), made.shape))

    def test_crop_leaves_no_more_out_than_it_must(self) -> None:
        image = np.zeros((20, 60, 3), np.uint8)
        image[:, 20:40] = np.arange(20, dtype=np.uint8)[None, :, None] + 100
        made = prepare(image, InputSpec(height_px=20, width_px=20, color="bgr", resize="crop"))
        assert np.array_equal(made, image[:, 20:40])

    @pytest.mark.parametrize(
        ("shape", "top", "left", "height", "width"),
        [((50, 100), 10, 0, 20, 40), ((100, 50), 0, 10, 40, 20), ((10, 1000), 20, 0, 1, 40), ((80, 80), 0, 0, 40, 40)],
    )
    def test_letterbox_keeps_the_aspect_and_fills_with_grey(
        self, shape: tuple[int, int], top: int, left: int, height: int, width: int
    ) -> None:
        image = np.full((*shape, 3), BLUE, np.uint8)
        made = prepare(image, InputSpec(height_px=40, width_px=40, color="bgr", resize="letterbox"))
        expected = np.full((40, 40, 3), LETTERBOX_GREY, np.uint8)
        if height == 1:
            top = (40 - 1) // 2
        expected[top : top + height, left : left + width] = BLUE
        assert np.array_equal(made, expected)

    def test_stretch_takes_all_of_it(self) -> None:
        image = np.full((40, 100, 3), RED, np.uint8)
        image[:, :50] = BLUE
        made = prepare(image, InputSpec(height_px=8, width_px=8, color="bgr"))
        assert made[0, 0].tolist() == list(BLUE)
        assert made[7, 7].tolist() == list(RED)

    @given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["stretch", "crop", "letterbox"]))
    def test_every_frame_gives_the_size_of_the_tensor(self, height: int, width: int, policy: Policy) -> None:
        made = prepare(noise(height, width), InputSpec(height_px=12, width_px=20, resize=policy))
        assert made.shape == (12, 20, 3)


FRACTIONS = st.floats(0, 1)


class TestRegion:
    @pytest.mark.parametrize(
        ("roi", "rows", "columns"),
        [
            ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 20)),
            ((0.5, 0.0, 1.0, 0.5), (0, 5), (10, 20)),
            ((0.25, 0.3, 0.5, 0.7), (3, 7), (5, 10)),
            ((1.0, 1.0, 1.0, 1.0), (9, 10), (19, 20)),
            ((0.0, 0.0, 0.0, 0.0), (0, 1), (0, 1)),
            ((0.999, 0.999, 1.0, 1.0), (9, 10), (19, 20)),
        ],
    )
    def test_fractions_become_rows_and_columns(
        self, roi: tuple[float, float, float, float], rows: tuple[int, int], columns: tuple[int, int]
    ) -> None:
        image = noise(10, 20)
        assert np.array_equal(crop_roi(image, roi), image[slice(*rows), slice(*columns)])

    @given(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS, st.integers(1, 50), st.integers(1, 50))
    def test_no_region_is_ever_empty_or_outside(
        self, left: float, top: float, right: float, bottom: float, height: int, width: int
    ) -> None:
        image = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3)
        roi = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        part = crop_roi(image, roi)  # type: ignore[arg-type]
        assert part.shape[0] >= 1
        assert part.shape[1] >= 1
        assert np.shares_memory(part, image)
        assert abs(part.shape[1] - (roi[2] - roi[0]) * width) <= 1
        assert abs(part.shape[0] - (roi[3] - roi[1]) * height) <= 1

    @given(st.lists(FRACTIONS, min_size=3, max_size=3, unique=True), st.integers(16, 500))
    def test_neighbouring_regions_share_their_border(self, cuts: list[float], width: int) -> None:
        first, second, third = sorted(cuts)
        image = np.zeros((4, width, 3), np.uint8)
        left, right = (crop_roi(image, (a, 0.0, b, 1.0)).shape[1] for a, b in ((first, second), (second, third)))
        both = crop_roi(image, (first, 0.0, third, 1.0)).shape[1]
        assert both <= left + right <= both + 2

    def test_a_region_shows_only_itself(self) -> None:
        image = np.full((100, 100, 3), BLUE, np.uint8)
        image[40:60, 20:30] = RED
        made = prepare(image, InputSpec(height_px=8, width_px=8, color="rgb"), roi=(0.2, 0.4, 0.3, 0.6))
        assert np.array_equal(made, np.broadcast_to(np.uint8([255, 0, 0]), (8, 8, 3)))

    def test_a_region_is_the_same_at_another_resolution(self) -> None:
        image = np.full((20, 20, 3), BLUE, np.uint8)
        image[5:10, 10:15] = RED
        large = image.repeat(7, axis=0).repeat(7, axis=1)
        spec = InputSpec(height_px=4, width_px=4)
        roi = (0.5, 0.25, 0.75, 0.5)
        assert np.array_equal(prepare(image, spec, roi=roi), prepare(large, spec, roi=roi))
