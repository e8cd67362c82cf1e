import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tests.plots.legibility import faults

from lenet5 import Evaluation
from lenet5.plots import plot_confusion_matrix, plot_per_class

MATRIX = np.array([[90, 10, 0], [0, 50, 1], [0, 0, 0]])
REPORT = Evaluation([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 0]], classes=["$a$", "b"])


def render(figure: Figure) -> None:
    """Render a figure. Overlaps and missing glyphs raise warnings."""
    figure.savefig(io.BytesIO(), format="png")


def test_confusion_matrix_cells_contain_counts() -> None:
    figure = plot_confusion_matrix(MATRIX, ["a", "b", "c"])
    axes = figure.axes[0]
    texts = {text.get_position(): text for text in axes.texts}
    assert {place: text.get_text() for place, text in texts.items()} == {
        (0, 0): "90",
        (1, 0): "10",
        (1, 1): "50",
        (2, 1): "1",
    }
    assert [texts[place].get_fontweight() for place in [(0, 0), (1, 1), (1, 0), (2, 1)]] == [
        "bold",
        "bold",
        "normal",
        "normal",
    ]
    assert [texts[place].get_color() for place in [(0, 0), (1, 0), (2, 1)]] == ["black", "white", "black"]
    render(figure)


def test_confusion_matrix_colours_errors_by_fraction_of_true_class() -> None:
    figure = plot_confusion_matrix(MATRIX, ["a", "b", "c"])
    colours = np.asarray(figure.axes[0].images[0].get_array())
    assert colours.tolist() == [[0, 0.1, 0], [0, 0, 1 / 51], [0, 0, 0]]
    assert figure.axes[0].images[0].get_clim() == (0, 0.1)
    assert figure.axes[1].get_ylabel() == "fraction of the true class"
    assert MATRIX[0, 0] == 90


def test_confusion_matrix_labels_axes_and_accuracy() -> None:
    axes = plot_confusion_matrix(MATRIX, ["a", "b", "c"]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert axes.get_title() == "140 of 151 correct (92.72%)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(("names", "rotation"), [(["a", "b", "abc"], 0), (["a", "b", "an Ankle boot"], 45)])
def test_confusion_matrix_rotates_long_class_names(names: list[str], rotation: int) -> None:
    axes = plot_confusion_matrix(MATRIX, names).axes[0]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


@pytest.mark.parametrize("matrix", [np.diag([3, 4]), np.zeros((2, 2), np.int64), np.array([[7]])])
def test_confusion_matrix_without_errors_or_counts(matrix: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> None:
    figure = plot_confusion_matrix(matrix, ["Ankle boot", "$x"][: len(matrix)])
    render(figure)
    assert not np.asarray(figure.axes[0].images[0].get_array()).any()
    assert [text.get_text() for text in figure.axes[0].texts] == [str(n) for n in matrix[matrix > 0]]


@pytest.mark.parametrize(("size", "num_counts"), [(2, 2), (20, 20), (47, 0), (100, 0)])
def test_confusion_matrix_has_counts_only_where_they_fit(size: int, num_counts: int) -> None:
    figure = plot_confusion_matrix(1000 * np.eye(size, dtype=np.int64))
    assert len(figure.axes[0].texts) == num_counts
    assert figure.get_size_inches().max() < 10
    assert faults(figure) == []
    small: Any = Figure((3, 3)).subplots()
    assert plot_confusion_matrix(1000 * np.eye(size, dtype=np.int64), ax=small) is small
    assert len(small.texts) == (2 if size == 2 else 0)


@pytest.mark.parametrize(
    ("matrix", "classes", "message"),
    [
        (np.zeros((0, 0)), None, "at least one"),
        (np.ones((2, 3)), None, r"shape \(2, 3\); expected counts"),
        ([[1, -1], [0, 1]], None, "expected counts"),
        ([[1, float("nan")], [0, 1]], None, "expected counts"),
        ([[float("inf"), 1], [1, 1]], None, "expected counts"),
        ([[1e308, 1e308], [0, 1]], None, "expected counts"),
        (MATRIX, "abc", "classes is of type str; expected a sequence of names"),
        (MATRIX, ["a"], "1 class names; expected 3"),
    ],
)
def test_confusion_matrix_refuses_what_is_none(matrix: Any, classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_confusion_matrix(matrix, classes)


def test_dots_show_the_metrics_of_every_class_in_percent() -> None:
    for per_class in (REPORT.per_class, REPORT.to_frame(), REPORT.to_dict()["per_class"]):
        (axes,) = plot_per_class(per_class).axes
        scores = {str(line.get_label()): np.asarray(line.get_xdata()) for line in axes.lines}
        assert scores["precision"] == pytest.approx([100 * 2 / 3, 100])
        assert scores["recall"] == pytest.approx([100, 50])
        assert scores["F1 score"] == pytest.approx([80, 100 * 2 / 3])
        assert not axes.patches  # a bar that does not start at 0 misleads
        assert [label.get_text() for label in axes.get_yticklabels()] == [r"\$a\$", "b"]
        assert axes.get_xlim()[0] < 50
        assert axes.get_xlabel() == "score (%)"


@pytest.mark.parametrize("value", [0.0, 1.0, 0.999, float("nan")])
def test_dots_of_equal_or_missing_values_are_drawn(value: float) -> None:
    scores = {str(number): {"precision": value, "recall": value, "f1": value} for number in range(60)}
    figure = plot_per_class(scores)
    low, high = figure.axes[0].get_xlim()
    assert 0 <= low < high
    assert faults(figure) == []


def test_dots_refuse_a_report_without_classes_or_metrics() -> None:
    with pytest.raises(ValueError, match="no classes"):
        plot_per_class({})
    with pytest.raises(ValueError, match="no f1; expected precision, recall and f1"):
        plot_per_class(pd.DataFrame({"precision": [1.0], "recall": [1.0]}))
