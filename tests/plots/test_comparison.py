from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from matplotlib.collections import PolyCollection
from tests.plots.legibility import faults

from lenet5.plots import plot_comparison


def history(losses: Any) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "train_loss": losses})


def band(axes: Any) -> dict[float, tuple[float, float]]:
    """Return lower and upper edge of the only band by epoch."""
    (area,) = [each for each in axes.collections if isinstance(each, PolyCollection)]
    vertices: Any = area.get_paths()[0].vertices
    return {x: (vertices[vertices[:, 0] == x, 1].min(), vertices[vertices[:, 0] == x, 1].max()) for x in vertices[:, 0]}


@given(arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 8)), elements=st.floats(-100, 100)))
def test_line_and_band_are_mean_and_standard_deviation(losses: Any) -> None:
    (axes,) = plot_comparison({"seeds": [history(row) for row in losses]}).axes
    mean, sd = losses.mean(0), losses.std(0, ddof=1)
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata()), mean, atol=1e-9)
    edges = band(axes)
    for epoch, (low, high) in enumerate(zip(mean - sd, mean + sd, strict=True), 1):
        assert edges[epoch] == pytest.approx((low, high), abs=1e-9)


def test_band_has_the_epochs_of_all_runs() -> None:
    (axes,) = plot_comparison({"seeds": [history([3, 2, 1]), history([3, 2])]}).axes
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1, 2]
    assert set(band(axes)) == {1, 2}


def test_a_single_run_has_no_band_and_its_own_line() -> None:
    figure = plot_comparison({"one": history([3, 2]), "$two$": [history([3, 1])], "_three": history([1, 1])})
    axes: Any = figure.axes[0]
    assert not axes.collections
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", r"\$two\$", " _three"]


def test_several_runs_say_what_their_line_is() -> None:
    figure = plot_comparison({"seeds": [history([3, 2])] * 5})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seeds (mean ± sd of 5)"]


def test_accuracy_of_runs_with_validation_is_a_second_panel_in_percent() -> None:
    figure = plot_comparison({"a": history([2, 1]).assign(val_accuracy=[0.5, 0.9]), "b": history([2, 1])})
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss", "validation accuracy (%)"]
    assert [np.asarray(line.get_ydata()).tolist() for line in figure.axes[1].lines] == [[50, 90]]


@pytest.mark.parametrize("num_runs", [1, 3, 20])
def test_long_names_are_legible(num_runs: int) -> None:
    names = [f"/a/very/long/path/to/the/folder/of/a/run/with/a/number/{number}" for number in range(num_runs)]
    figure = plot_comparison({name: history([2, 1]) for name in names})
    assert faults(figure) == []
    assert figure.legends[0].get_texts()[-1].get_text().endswith(f"/number/{num_runs - 1}")


def test_missing_values_and_single_epochs_are_drawn() -> None:
    figure = plot_comparison({"a": [history([np.nan, 1]), history([2, 1])], "b": history([3])})
    assert faults(figure) == []


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="no histories to compare"):
        plot_comparison({})
    with pytest.raises(ValueError, match="no histories of 'a'"):
        plot_comparison({"a": []})
    with pytest.raises(ValueError, match="no row"):
        plot_comparison({"a": history([])})
