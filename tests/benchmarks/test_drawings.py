"""Digits drawn from control points."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

import drawings
import lenet5
from canvas import centre_of_mass, measure_box
from drawings import FORMS, draw_digits


@settings(max_examples=10)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(0, 2**31))
def test_drawings_depend_on_the_seed_alone_and_fit_the_box(targets: list[int], seed: int) -> None:
    drawn = draw_digits(torch.tensor(targets), Generator().manual_seed(seed))
    assert (drawn.shape, drawn.dtype) == ((len(targets), 1, 28, 28), torch.uint8)
    assert torch.equal(drawn, draw_digits(torch.tensor(targets), Generator().manual_seed(seed)))
    ink = drawn.float() / 255
    _, size = measure_box(ink)
    assert size.amax(1).min() > 15 / 14
    assert size.max() <= 24 / 14
    assert centre_of_mass(ink).abs().max() < 0.35


def test_drawings_are_read_as_their_class() -> None:
    targets = torch.arange(10).repeat_interleave(60)
    drawn = draw_digits(targets, Generator().manual_seed(0))
    predictions = lenet5.load("mnist_photo_v1").predict(drawn)
    assert (predictions.labels == targets).float().mean() >= 0.98


@pytest.mark.parametrize("digit", FORMS)
def test_every_form_is_drawn(digit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = [], drawings._draw

    def record(strokes: list[drawings.Stroke], count: int, longest: float, generator: Generator) -> torch.Tensor:
        drawn.append(strokes)
        return draw(strokes, count, longest, generator)

    monkeypatch.setattr(drawings, "_draw", record)
    draw_digits(torch.full((40,), digit), Generator().manual_seed(1))
    assert drawn == FORMS[digit]
