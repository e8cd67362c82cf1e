import io
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tests.plots.legibility import faults

from lenet5.plots import plot_predictions


def render(figure: Figure) -> None:
    """Render a figure. Overlaps and missing glyphs raise warnings."""
    figure.savefig(io.BytesIO(), format="png")


def test_predictions_have_one_row_per_image() -> None:
    images = [(name, np.zeros((20, 30, 3), np.uint8)) for name in ("first.png", "second.png")]
    probabilities = np.array([[0.1, 0.9], [0.75, 0.25]], np.float32)
    figure = plot_predictions(images, np.zeros((2, 28, 28), np.float32), probabilities, ["cat", "dog"])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["first.png", "network input", "dog (90.0%)", "second.png", "network input", "cat (75.0%)"]
    render(figure)


def test_predictions_mark_low_confidence_and_round_to_100_percent_only_certainty() -> None:
    images = [("a.png", np.zeros((20, 30, 3), np.uint8))] * 3
    probabilities = np.array([[0.3764, 0.6236], [0.0001, 0.9999], [0, 1]], np.float32)
    figure = plot_predictions(images, np.zeros((3, 28, 28), np.float32), probabilities, ["cat", "dog"], threshold=0.7)
    titles = [axes.get_title() for axes in figure.axes[2::3]]
    assert titles == ["dog (62.4%, low confidence)", "dog (> 99.9%)", "dog (100.0%)"]
    render(figure)


@pytest.mark.parametrize(("num_classes", "num_bars"), [(2, 2), (10, 10), (26, 5), (100, 5)])
def test_predictions_show_all_classes_or_the_most_probable(num_classes: int, num_bars: int) -> None:
    probabilities = np.arange(1, num_classes + 1)[None] / 10000
    names = [f"a long name of class {number}" for number in range(num_classes)]
    image: Any = ("$x_1$ and a very long name of a file.jpeg", np.zeros((9, 90), np.uint8))
    figure = plot_predictions([image], np.zeros((1, 28, 28)), probabilities, names, threshold=0.5)
    bars: Any = figure.axes[2].patches
    widths = [bar.get_width() for bar in bars]
    assert len(widths) == num_bars
    assert max(widths) == pytest.approx(num_classes / 100)
    assert faults(figure) == []


def test_predictions_outline_each_digit_in_the_colour_of_its_bar() -> None:
    images = [("postcode.png", np.zeros((20, 60, 3), np.uint8))] * 2
    probabilities = np.array([[0.1, 0.9], [0.6, 0.4]], np.float32)
    boxes = torch.tensor([[2, 3, 14, 18], [30, 4, 41, 19]])
    figure = plot_predictions(images, np.zeros((2, 28, 28)), probabilities, threshold=0.7, boxes=boxes)
    outlines: Any = [axes.patches for axes in figure.axes[::3]]
    bars: Any = [axes.patches[label] for axes, label in zip(figure.axes[2::3], (1, 0), strict=True)]
    assert [[patch.get_bbox().extents.tolist() for patch in patches] for patches in outlines] == [
        [[1.5, 2.5, 13.5, 17.5]],
        [[29.5, 3.5, 40.5, 18.5]],
    ]
    assert [patches[0].get_edgecolor() for patches in outlines] == [bar.get_facecolor() for bar in bars]
    assert [axes.get_xlim() for axes in figure.axes[::3]] == [(-0.5, 59.5)] * 2
    render(figure)


@pytest.mark.parametrize("shape", [(1, 4), (2, 3)])
def test_predictions_refuse_boxes_of_another_shape(shape: tuple[int, int]) -> None:
    images = [("a.png", np.zeros((20, 30), np.uint8))] * 2
    with pytest.raises(ValueError, match=r"boxes have shape \(.*\); expected one row of 4 numbers per image: \(2, 4\)"):
        plot_predictions(images, np.zeros((2, 28, 28)), np.ones((2, 2)), boxes=np.zeros(shape))


def test_predictions_refuse_unequal_numbers() -> None:
    with pytest.raises(ValueError, match="0 images, 1 inputs and 1 rows"):
        plot_predictions([], np.zeros((1, 2, 2)), np.ones((1, 2)))
