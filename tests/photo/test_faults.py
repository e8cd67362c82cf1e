"""Photographs that are hard to segment, drawn by tests/photo/faults.py, and read with the default weights."""

from typing import NamedTuple

import pytest
from tests.photo.faults import KINDS, draw_many

import lenet5

COUNT = 20


class Counts(NamedTuple):
    """Of the images of one kind."""

    correct: int
    refused: int
    confidently_wrong: int


def read(kind: str) -> Counts:
    weights = lenet5.load("mnist_photo_v1")
    assert weights.threshold is not None
    correct = refused = confidently_wrong = 0
    for image, target in draw_many(kind, COUNT):
        try:
            predictions = weights.predict(image)
        except ValueError:
            refused += 1
            continue
        right = int(predictions.labels) == target
        correct += right
        confidently_wrong += not right and int(predictions.abstain(weights.threshold)) >= 0
    return Counts(correct, refused, confidently_wrong)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("blank")])
def test_digit_that_is_hard_to_segment_is_read(kind: str) -> None:
    counts = read(kind)
    assert counts.correct >= 0.95 * COUNT
    assert counts.confidently_wrong == 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("blank")])
def test_page_without_digit_is_refused(kind: str) -> None:
    counts = read(kind)
    assert counts.refused >= 0.9 * COUNT
    assert counts.confidently_wrong == 0
