"""The threshold below which answers are marked."""

import numpy as np
import pytest
from torch import Generator

import lenet5
from confidence import ACCEPTED, LETTERS, choose_threshold, confidences, draw_font_letters, separation
from lenet5 import DataSplits
from no_digits import draw_no_digits


def test_threshold_keeps_out_paper_without_digits(digits: DataSplits) -> None:
    model = lenet5.load("mnist_robust_v1").model
    threshold = choose_threshold(model, digits.val)
    none, doubtful = draw_no_digits(digits.val.images, digits.val.targets, 2000, Generator().manual_seed(9))
    assert (confidences(model, none[~doubtful]) >= threshold).mean() < 2.5 * ACCEPTED


def test_separation_is_a_half_without_difference_and_one_with_the_greatest() -> None:
    values = np.arange(10.0)
    assert separation(values, values) == pytest.approx(0.5)
    assert separation(values + 10, values) == 1


def test_letters_are_in_the_format_of_mnist() -> None:
    letters = draw_font_letters(fonts=1)
    assert letters.shape[1:] == (1, 28, 28)
    assert 0.9 <= len(letters) / (3 * len(LETTERS)) <= 1  # `load_digit` may refuse some
    assert letters.flatten(1).amax(1).eq(255).all()
