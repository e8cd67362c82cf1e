from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tests.plots.legibility import faults

import lenet5
from lenet5 import LeNet5, LeNet5Original
from lenet5.inspection import connection_table, filters, prototypes
from lenet5.plots import plot_connection_table, plot_filters, plot_prototypes


def test_kernels_are_tiles_around_a_white_zero() -> None:
    kernels = filters(LeNet5())
    figure = plot_filters(kernels)
    for axes, (name, weights) in zip(figure.axes, kernels.items(), strict=True):
        (image,) = axes.images
        pixels: Any = image.get_array()
        outputs, inputs, height, width = weights.shape
        assert pixels.shape == (inputs * (height + 1) - 1, outputs * (width + 1) - 1)
        np.testing.assert_array_equal(pixels[-height:, -width:], weights[-1, -1])
        assert image.get_clim() == (-np.abs(weights).max(), np.abs(weights).max())
        assert axes.get_title().startswith(f"{name}: {outputs} output maps, ")
        assert [label.get_text() for label in axes.get_xticklabels()] == [*map(str, range(outputs))]
    assert faults(figure) == []


def test_of_many_kernels_the_first_are_drawn() -> None:
    figure = plot_filters(np.ones((120, 16, 5, 5)), num_maps=3)
    assert figure.axes[0].get_title() == "3 of 120 output maps, 3 of 16 input maps, kernels of 5x5"
    pixels: Any = figure.axes[0].images[0].get_array()
    assert pixels.shape == (17, 17)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_kernels_without_a_scale_are_drawn(value: float) -> None:
    assert faults(plot_filters({"c": np.full((1, 1, 1, 1), value)})) == []


@pytest.mark.parametrize(
    ("kernels", "message"),
    [({}, "no kernels"), ({"c": np.ones((2, 5, 5))}, "filters c has shape"), (np.ones((0, 1, 5, 5)), "at least one")],
)
def test_filters_refuse_what_are_none(kernels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_filters(kernels)


def test_connection_table_has_the_60_crosses_of_the_paper() -> None:
    table = connection_table(LeNet5Original())
    figure = plot_connection_table(table)
    (axes,) = figure.axes
    crosses = [(int(row), int(column)) for column, row in np.asarray(axes.lines[0].get_xydata())]
    assert len(crosses) == 60
    assert all(table.iloc[row, column] for row, column in crosses)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("output map", "input map")
    assert [label.get_text() for label in axes.get_xticklabels()] == [*map(str, range(16))]
    assert faults(figure) == []
    ax: Any = Figure().subplots()
    assert plot_connection_table(table, ax=ax) is ax


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (20, 50), (256, 512)])
def test_connection_tables_of_any_size_are_legible(shape: tuple[int, int]) -> None:
    assert faults(plot_connection_table(np.ones(shape, bool))) == []
    with pytest.raises(ValueError, match="at least one"):
        plot_connection_table(pd.DataFrame())


def test_prototypes_are_bitmaps_by_class() -> None:
    bitmaps = prototypes(LeNet5Original())
    figure = plot_prototypes(bitmaps)
    assert [axes.get_title() for axes in figure.axes] == [*map(str, range(10))]
    np.testing.assert_array_equal([axes.images[0].get_array() for axes in figure.axes], bitmaps)
    assert faults(figure) == []


@pytest.mark.parametrize("num_classes", [1, 26, 47])
def test_prototypes_of_long_names_are_legible(num_classes: int) -> None:
    names = [f"$a$ long name, class {number}" for number in range(num_classes)]
    assert faults(plot_prototypes(np.zeros((num_classes, 12, 7)), names)) == []
    with pytest.raises(ValueError, match="class names; expected 2"):
        plot_prototypes(np.zeros((2, 12, 7)), ["a"])


def test_names_are_reached_from_the_package() -> None:
    assert lenet5.plots.plot_filters is plot_filters
