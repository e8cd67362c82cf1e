"""Connected ink as digits."""

import numpy as np
import numpy.typing as npt
import pytest

from lenet5.photo.components import group_ink, missed_ones

LEVEL = 0.3


def draw(*boxes: tuple[int, int, int, int], outline: bool = False) -> npt.NDArray[np.float32]:
    """Draw bars, or their outlines: left, top, right and bottom."""
    page = np.zeros((100, 128), np.float32)
    for left, top, right, bottom in boxes:
        page[top:bottom, left:right] = 1
        if outline:
            page[top + 2 : bottom - 2, left + 2 : right - 2] = 0
    return page


def boxes_of(page: npt.NDArray[np.float32]) -> list[tuple[int, int, int, int]]:
    found = []
    for mask in group_ink(page, LEVEL):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return sorted(found)


def test_page_without_ink_has_no_digits() -> None:
    assert group_ink(np.zeros((100, 128), np.float32), LEVEL) == []


def test_ink_that_is_nowhere_sure_is_no_digit() -> None:
    assert group_ink(0.5 * draw((50, 20, 55, 70)), LEVEL) == []


def test_speck_is_no_digit() -> None:
    assert group_ink(draw((50, 20, 53, 23)), LEVEL) == []


def test_digits_beside_each_other_are_apart() -> None:
    assert boxes_of(draw((20, 20, 26, 70), (40, 22, 46, 72))) == [(20, 20, 26, 70), (40, 22, 46, 72)]


def test_small_piece_belongs_to_the_nearest_digit() -> None:
    page = draw((20, 20, 26, 70), (80, 20, 86, 70), (28, 20, 40, 24))
    assert boxes_of(page) == [(20, 20, 40, 70), (80, 20, 86, 70)]


def test_small_piece_far_away_is_left_out() -> None:
    assert boxes_of(draw((20, 20, 26, 70), (110, 80, 118, 84))) == [(20, 20, 26, 70)]


@pytest.mark.parametrize("gap", [1, 6, 14])
def test_parts_of_a_broken_stem_are_one_digit(gap: int) -> None:
    assert boxes_of(draw((50, 10, 56, 50 - gap), (51, 50, 57, 95))) == [(50, 10, 57, 95)]


def test_rows_of_digits_are_apart() -> None:
    page = draw((20, 5, 40, 40), (20, 60, 40, 95))
    assert boxes_of(page) == [(20, 5, 40, 40), (20, 60, 40, 95)]


def test_frame_around_a_digit_is_no_digit() -> None:
    page = draw((20, 5, 100, 95), outline=True) + draw((50, 20, 56, 80))
    assert boxes_of(page) == [(50, 20, 56, 80)]


def test_zero_is_no_frame() -> None:
    assert boxes_of(draw((40, 10, 80, 90), outline=True)) == [(40, 10, 80, 90)]


def test_upright_stroke_in_a_row_is_a_one() -> None:
    row = draw((20, 20, 40, 60), (80, 20, 100, 60)) > 0
    one, short, outside = ((50, 20, 54, 60), (50, 20, 54, 30), (50, 62, 54, 99))
    similar = row | (draw(one) > 0)
    assert (missed_ones(row, similar) == (draw(one) > 0)).all()
    for other in (short, outside):
        assert not missed_ones(row, row | (draw(other) > 0)).any()


def test_upright_stroke_beside_a_single_digit_is_a_one_if_it_is_as_tall() -> None:
    digit, one = draw((20, 20, 40, 60)) > 0, draw((50, 20, 54, 60)) > 0
    assert (missed_ones(digit, digit | one) == one).all()
    for line in ((50, 0, 54, 100), (50, 40, 54, 60)):
        assert not missed_ones(digit, digit | (draw(line) > 0)).any()
