"""Crops: torchvision's definitions, from raw random integers, within the image for any size of it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sparsebench.data import crops

SIDES = st.integers(1, 3000)
DRAWS = st.integers(0, 2**64 - 1)


def words(draw):
    """Philox's raw integers, one at a time: flip, left, top, then area and aspect ratio of each try."""
    philox = np.random.Philox(counter=0, key=draw)
    return [int(philox.random_raw()) for _ in range(23)]


def fraction(word):
    return (word // 2**11) / 2**53


def reference(width, height, draw):
    """The box by torchvision's own `get_params`, its three random functions answered by our integers."""
    transforms = pytest.importorskip("torchvision.transforms.transforms", reason="torchvision is not installed")
    _, left, top, *tries = words(draw)
    uniform = iter([fraction(word) for word in tries])
    corner = iter([top, left])

    def between(low, high):
        value = low + next(uniform) * (high - low)
        return SimpleNamespace(item=lambda: value)

    scalar = {"tensor": lambda pair: pair, "log": lambda pair: [math.log(one) for one in pair]}
    torch = SimpleNamespace(
        empty=lambda _: SimpleNamespace(uniform_=between),
        exp=lambda number: SimpleNamespace(item=lambda: math.exp(number.item())),
        randint=lambda low, high, size: SimpleNamespace(item=lambda: low + next(corner) * (high - low) // 2**64),
        **scalar,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transforms, "torch", torch)
        patch.setattr(transforms.F, "get_dimensions", lambda _: (3, height, width))
        i, j, h, w = transforms.RandomResizedCrop.get_params(None, (0.08, 1.0), (3 / 4, 4 / 3))
    return j, i, j + w, i + h


@given(SIDES, SIDES, DRAWS)
@example(500, 375, 0)
@example(1, 3000, 1)
@example(3000, 1, 1)
@example(1, 1, 1)
def test_a_random_box_is_the_one_of_torchvision(width, height, draw):
    crop = crops.random(width, height, draw)
    assert crop.box == reference(width, height, draw)
    assert crop.flip == (words(draw)[0] >= 2**63)


@given(SIDES, SIDES, DRAWS)
def test_a_random_box_is_within_the_image_and_its_bounds(width, height, draw):
    left, top, right, bottom = crops.random(width, height, draw).box
    columns, rows = right - left, bottom - top
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (columns + 0.5) / (rows - 0.5) >= 3 / 4
    assert (columns - 0.5) / (rows + 0.5) <= 4 / 3
    assume(1 / 4 < width / height < 4)  # the central box of a strip may be less than 8 % of it
    assert (columns + 0.5) * (rows + 0.5) >= 0.08 * width * height


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(1000, 10, (493, 0, 506, 10)), (10, 1000, (0, 493, 10, 506)), (3000, 3, (1498, 0, 1502, 3))],
)
def test_where_no_box_fits_it_is_the_largest_in_the_middle(width, height, box):
    assert {crops.random(width, height, draw).box for draw in range(50)} == {box}


def test_boxes_cover_areas_places_and_both_directions_as_often_as_they_should():
    """4,000 crops of a square against as many by the definition, from a generator of another kind."""
    side, count = 1000, 4000
    drawn = [crops.random(side, side, draw) for draw in np.random.default_rng(0).integers(0, 2**63, count).tolist()]
    boxes = np.array([crop.box for crop in drawn])
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides.prod(axis=1) / side**2
    generator = np.random.default_rng(1)
    area = generator.uniform(0.08, 1, count * 5)
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3), count * 5))
    fits = (area * ratio <= 1) & (area / ratio <= 1)
    wanted = area[fits]
    assert abs(areas.mean() - wanted.mean()) < 4 * areas.std() * np.sqrt(1 / count + 1 / len(wanted))
    assert abs(areas.std() / wanted.std() - 1) < 0.04
    ratios = np.log(sides[:, 0] / sides[:, 1])
    assert abs(ratios.mean()) < 4 * ratios.std() / np.sqrt(count)
    places = boxes[:, :2] / np.maximum(side - sides, 1)
    assert np.all(np.abs(places.mean(axis=0) - 0.5) < 4 * np.sqrt(1 / 12 / count))
    assert abs(sum(crop.flip for crop in drawn) - count / 2) < 4 * np.sqrt(count) / 2
    flipped = np.array([crop.flip for crop in drawn])
    assert abs(areas[flipped].mean() - areas[~flipped].mean()) < 4 * areas.std() * 2 / np.sqrt(count)


def test_a_draw_stands_for_this_crop_for_ever():
    assert crops.random(500, 375, 0) == crops.Crop((40, 4, 375, 339), False)
    assert crops.random(500, 375, 3) == crops.Crop((6, 4, 427, 367), True)
    assert crops.random(500, 375, 2**64 - 1) == crops.Crop((195, 32, 424, 328), False)


@given(SIDES, SIDES, st.integers(1, 400))
def test_the_centre_is_within_the_image_and_in_its_middle(width, height, size):
    left, top, right, bottom = crops.centre(width, height, size)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    pixel = max(width, height) / round(size * 256 / 224)  # of the resized image, whose middle may lie between two
    assert abs(left + right - width) <= 1.01 * pixel
    assert abs(top + bottom - height) <= 1.01 * pixel


@given(st.integers(1, 400))
def test_the_centre_of_a_square_is_seven_eighths_of_it(size):
    left, _, right, _ = crops.centre(1000, 1000, size)
    assert (right - left) == pytest.approx(1000 * size / round(size * 8 / 7))
    assert crops.centre(256, 256, 224) == (16, 16, 240, 240)
