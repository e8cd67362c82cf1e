"""The order in which boxes are read."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lenet5.photo.rows import Corners, reading_order


def grid(heights: list[list[int]], tilt: float) -> list[Corners]:
    """Return boxes of 30 pixels' width in rows of 100 pixels, in reading order, tilted by an angle in degrees."""
    boxes = []
    for number, row in enumerate(heights):
        for column, height in enumerate(row):
            left, middle = 50 * column, 100 * number + 50 + round(50 * column * math.tan(math.radians(tilt)))
            boxes.append((left, middle - height // 2, left + 30, middle - height // 2 + height))
    return boxes


@given(st.lists(st.integers(30, 60), min_size=1, max_size=10), st.floats(-28, 28))
def test_one_row_may_be_steep(heights: list[int], tilt: float) -> None:
    boxes = grid([heights], tilt)
    assert reading_order(boxes) == list(range(len(boxes)))


@given(
    st.lists(st.lists(st.integers(30, 60), min_size=1, max_size=8), min_size=1, max_size=4),
    st.floats(-8, 8),
    st.randoms(use_true_random=False),
)
def test_boxes_are_read_row_by_row_from_left_to_right(heights: list[list[int]], tilt: float, random: object) -> None:
    boxes = grid(heights, tilt)
    shuffled = list(boxes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [shuffled[index] for index in reading_order(shuffled)] == boxes


def test_piece_of_a_digit_draws_no_others_into_a_row_of_its_own() -> None:
    row = grid([[50, 50, 50, 50]], tilt=0)
    piece = (20, 28, 45, 40)  # beside the first digit, at the height of its top
    order = [(*row, piece)[index] for index in reading_order((*row, piece))]
    assert [box for box in order if box != piece] == row
    assert order.index(piece) in (0, len(row))


def test_digits_that_are_far_apart_are_in_rows_of_their_own() -> None:
    assert reading_order([(0, 100, 30, 150), (300, 0, 330, 50)]) == [1, 0]


def test_no_boxes_have_no_order() -> None:
    assert reading_order([]) == []
