from typing import Any

import pandas as pd
import pytest
import torch
from tests.plots.legibility import faults, texts
from torch import nn

import lenet5
from lenet5.plots import plot_architecture


class Unknown(nn.Module):
    """A layer of a class with weights that the layer table does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.weight


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def test_architecture_states_the_counts_of_the_paper() -> None:
    network = lenet5.LeNet5Original()
    figure = plot_architecture(lenet5.layer_table(network), network.image_shape)
    drawn = words(figure)
    assert {"156", "1,516", "48,120", "10,164", "122,304", "60,000", "340,908"} <= set(drawn)
    assert {"INPUT\n32x32", "C1: feature maps\n6@28x28", "OUTPUT\n10", "total"} <= set(drawn)
    sheets = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "Rectangle"]
    assert len(sheets) == 1 + 6 + 6 + 16 + 16 + 120 + 84 + 10


def test_missing_counts_and_shapes_are_question_marks() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), Unknown(), nn.Flatten())
    table = lenet5.layer_table(network, (1, 8, 8))
    figure = plot_architecture(table)
    assert words(figure).count("?") == 4  # connections and multiply-adds, of the layer and in all
    assert faults(figure) == []
    table = pd.DataFrame({"output_shape": [None, (3,)], "parameters": [1, pd.NA]}, index=["rest of $x$", "output"])
    assert faults(plot_architecture(table)) == []
    assert "multiply-adds" not in words(plot_architecture(table))


def test_broad_layers_are_drawn_in_bounded_time_and_the_same_room() -> None:
    broad = [
        plot_architecture(pd.DataFrame({"output_shape": [shape, (10,)]}, index=["c1", "output"]), (count, 8, 8))
        for count, shape in ((499, (499,)), (50_000, (50_000,)), (50_000, (50_000, 4, 4)))
    ]
    assert all(len(figure.axes[0].patches) < 1_100 for figure in broad)
    edges = [max(patch.get_y() for patch in figure.axes[0].patches[:-10]) for figure in broad[:2]]  # type: ignore[attr-defined]
    assert edges[0] == pytest.approx(edges[1], abs=1)
    assert "C1: layer\n50000" in words(broad[1])


@pytest.mark.parametrize("shape", [(1, -4, 0), (1, 0, 28), (1, 2.5, 28), (1, None, 28), (28, 28), "abc", 28])
def test_architecture_refuses_shapes_of_no_image(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"image_shape is .*; expected \(C, H, W\)"):
        plot_architecture(lenet5.layer_table(lenet5.LeNet5()), shape)


def test_architecture_refuses_what_has_no_layers() -> None:
    with pytest.raises(ValueError, match="expected the result of lenet5.layer_table"):
        plot_architecture(pd.DataFrame({"parameters": [1]}))
    with pytest.raises(ValueError, match="no layers"):
        plot_architecture(lenet5.layer_table(lenet5.LeNet5())[:0])
    with pytest.raises(ValueError, match=r"expected \(C, H, W\)"):
        plot_architecture(lenet5.layer_table(lenet5.LeNet5()), (28, 28))
