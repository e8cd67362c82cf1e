"""The distortions of digits, and the drawings that are no digits."""

import pytest
import torch
from torch import Generator

from canvas import centre_of_mass, draw_segments, fit_box, measure_box, place
from lenet5 import DataSplits
from no_digits import draw_letters, draw_no_digits, join_halves
from writers import (
    Distort,
    change_width,
    cross_and_flag,
    distort_gently,
    distort_strokes,
    distort_wildly,
    outline_and_invert,
    retrace,
)


def seeded() -> Generator:
    return Generator().manual_seed(0)


@pytest.mark.parametrize("distort", [distort_gently, distort_strokes, distort_wildly, retrace])
def test_distortion_is_reproducible_and_leaves_its_input(distort: Distort, digits: DataSplits) -> None:
    images, targets = digits.train.images[:64], digits.train.targets[:64]
    before = images.clone()
    first, second = (distort(images, targets, seeded()) for _ in range(2))
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, second)
    assert torch.equal(images, before)
    assert not torch.equal(first, images)


def test_retraced_digits_fill_the_box(digits: DataSplits) -> None:
    drawn = retrace(digits.train.images[:200], digits.train.targets[:200], seeded())
    _, size = measure_box(drawn / 255)
    longer = 14 * size.amax(1)
    assert longer.min() >= 15
    assert longer.max() <= 23


def test_only_ones_and_sevens_get_strokes(digits: DataSplits) -> None:
    ink, targets = digits.train.images.float() / 255, digits.train.targets
    changed = (cross_and_flag(ink, targets, seeded()) != ink).flatten(1).any(1)
    assert set(targets[changed].tolist()) == {1, 7}


def test_width_changes_both_ways_and_stays_within_the_range(digits: DataSplits) -> None:
    ink = digits.train.images[:200].float() / 255
    changed = change_width(ink, seeded())
    gain = (changed.sum((1, 2, 3)) - ink.sum((1, 2, 3))).tolist()
    assert min(gain) < 0 < max(gain)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_outlines_lose_the_inside_and_inverted_stripes_gain_paper() -> None:
    ink = torch.zeros(200, 1, 28, 28)
    ink[:, :, 8:20, 8:20] = 1
    changed = outline_and_invert(ink, seeded())
    outlined = (changed[:, 0, 14, 14] == 0) & (changed[:, 0, 2, 2] == 0) & (changed[:, 0, 8, 14] > 0)
    inverted = (changed != ink).flatten(1).any(1) & ~outlined
    assert 10 <= outlined.sum() <= 45
    assert 10 <= inverted.sum() <= 45
    assert set(changed[inverted].flatten().tolist()) == {0, 1}


def test_segment_has_its_length_times_its_width() -> None:
    drawn = draw_segments(torch.tensor([[[5.0, 14.0, 23.0, 14.0]]]), torch.tensor([3.0]))
    assert drawn[0, 14, 5:24].eq(1).all()
    assert drawn[0, :, 14].sum() == 3


def test_box_is_in_the_middle_and_has_twenty_pixels() -> None:
    ink = torch.zeros(1, 1, 28, 28)
    ink[0, 0, 2:12, 3:8] = 1
    centre, size = measure_box(fit_box(ink))
    assert centre.abs().max() < 1e-6
    assert (14 * size).tolist() == [[10, 20]]


def test_centre_of_mass_is_moved_to_the_middle() -> None:
    ink = torch.zeros(1, 1, 28, 28)
    ink[0, 0, 4:10, 6:8] = 1
    moved = place(ink, centre_of_mass(ink), torch.ones(1, 2))
    assert centre_of_mass(moved).abs().max() < 1e-6


def test_drawings_without_digits_are_reproducible_and_not_empty(digits: DataSplits) -> None:
    train = digits.train
    (first, doubtful), (second, _) = (draw_no_digits(train.images, train.targets, 80, seeded()) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (80, 1, 28, 28)
    assert 0.8 < doubtful.float().mean() < 0.95
    assert draw_letters(50, seeded()).flatten(1).amax(1).min() > 128


def test_joined_halves_are_of_different_digits() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    joined = join_halves(images, torch.arange(10), 30, seeded())
    assert [len(image.unique()) for image in joined] == [2] * 30
