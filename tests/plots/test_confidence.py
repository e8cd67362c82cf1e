from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from matplotlib.figure import Figure

import lenet5
from lenet5 import Evaluation
from lenet5.plots import plot_coverage, plot_reliability
from lenet5.plots.display import to_png

TARGETS = [0, 1, 1, 0]
PROBABILITIES = np.array([[0.95, 0.05], [0.45, 0.55], [0.55, 0.45], [0.95, 0.05]])


def test_reliability_shows_accuracy_by_confidence_and_the_counts() -> None:
    figure = plot_reliability(TARGETS, PROBABILITIES, num_bins=10)
    diagram, counts = figure.axes
    measured = next(line for line in diagram.lines if line.get_label() == "measured")
    points = [(x, y) for x, y in np.asarray(measured.get_xydata()).tolist() if not np.isnan(y)]
    np.testing.assert_allclose(points, [(55, 50), (95, 100)])
    bars: Any = counts.patches
    assert {round(bar.get_x()): bar.get_height() for bar in bars if bar.get_height()} == {50: 2, 90: 2}
    assert sum(bar.get_height() for bar in bars) == len(TARGETS)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(2, 12))
def test_reliability_states_the_calibration_error_of_the_metric(seed: int, num_bins: int, num_classes: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.multinomial(10, random.dirichlet(np.ones(num_classes), 30)) / 10  # on the edges of bins too
    targets = random.integers(0, num_classes, 30)
    expected = lenet5.expected_calibration_error(targets, scores, num_bins=num_bins)
    title = plot_reliability(targets, scores, num_bins=num_bins).axes[0].get_title()
    assert title == f"expected calibration error {100 * expected:.2f} %"


def test_evaluation_draws_on_one_axes_or_two() -> None:
    report = Evaluation(TARGETS, PROBABILITIES)
    ax: Any = Figure().subplots()
    assert report.plot_reliability(ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence (%)", "accuracy (%)")
    both: Any = Figure().subplots(2)
    assert report.plot_reliability(num_bins=5, ax=both) is both
    assert [len(axes.patches) for axes in both] == [0, 5]
    ax = Figure().subplots()
    assert report.plot_coverage(ax=ax) is ax
    assert report.plot_per_class(ax=ax) is ax


@pytest.mark.parametrize(
    ("targets", "probabilities", "num_bins", "message"),
    [
        ([], np.ones((0, 2)), 5, "at least one"),
        ([0], PROBABILITIES, 5, "1 targets and 4 rows"),
        ([7, 8, 9, 7], PROBABILITIES, 5, r"targets are int64 in \[7, 9\]; expected integers from 0 to 1"),
        ([0, 1, -1, 0], PROBABILITIES, 5, "expected integers from 0 to 1"),
        ([0.0, 0.5, 1.0, 1.0], PROBABILITIES, 5, "targets are float64"),
        (TARGETS, np.ones((4, 3)), 5, "a row of probabilities adds up to 3; expected 1 at most"),
        (TARGETS, [[1, 0], [1]], 5, "rows of equal lengths"),
        (TARGETS, PROBABILITIES, 0, "num_bins is 0"),
        (TARGETS, 2 * PROBABILITIES, 5, r"expected \[0, 1\]"),
        (TARGETS, np.full((4, 2), np.nan), 5, r"expected \[0, 1\]"),
    ],
)
def test_reliability_refuses_what_has_none(targets: Any, probabilities: Any, num_bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_reliability(targets, probabilities, num_bins=num_bins)


def test_coverage_curves_are_drawn_in_percent_by_name() -> None:
    curve = lenet5.coverage_curve(TARGETS, PROBABILITIES)
    (axes,) = plot_coverage(curve).axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[50, 100], [100, 75]]
    assert axes.get_legend() is None
    (axes,) = plot_coverage({"$a$": curve, "_b": curve}).axes
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [r"\$a\$", " _b"]
    with pytest.raises(ValueError, match="no curve"):
        plot_coverage({})


@pytest.mark.parametrize("names", [["x" * 100], ["x" * 100, "y" * 300], ["名" * 80], [f"run {i}" for i in range(40)]])
def test_long_and_many_names_of_curves_leave_room_for_the_curves(names: list[str]) -> None:
    curve = lenet5.coverage_curve(TARGETS, PROBABILITIES)
    figure = plot_coverage(dict.fromkeys(names, curve))
    to_png(figure)  # a layout without room is a warning
    assert figure.axes[0].get_position().width > 0.5
