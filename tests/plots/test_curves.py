import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tests.plots.legibility import faults

from lenet5.plots import plot_curves, plot_errors, plot_lr_search

FRAME = pd.DataFrame(
    {"epoch": [1, 2, 3], "train_loss": [0.5, 0.2, 0.1], "val_loss": [0.6, 0.3, 0.35], "val_accuracy": [0.9, 0.96, 0.95]}
)


@pytest.fixture(autouse=True)
def _pyplot_is_untouched() -> Iterator[None]:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


def render(figure: Figure) -> None:
    """Render a figure. Overlaps and missing glyphs raise warnings."""
    figure.savefig(io.BytesIO(), format="png")


def line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.lines if line.get_label() == label)


def points(axes: Axes, label: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line(axes, label).get_xydata())]


def test_curves_show_losses_and_accuracy_in_percent() -> None:
    figure = plot_curves(FRAME)
    losses, accuracies = figure.axes
    assert points(losses, "training") == [(1, 0.5), (2, 0.2), (3, 0.1)]
    assert points(losses, "validation") == [(1, 0.6), (2, 0.3), (3, 0.35)]
    assert points(accuracies, "validation") == [(1, 90), (2, 96), (3, 95)]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [
        ("epoch", "loss"),
        ("epoch", "accuracy (%)"),
    ]
    assert (losses.get_yscale(), accuracies.get_yscale()) == ("log", "linear")
    assert len(losses.lines) == 2
    render(figure)
    for axes in figure.axes:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_curves_mark_best_epoch_in_both_panels() -> None:
    figure = plot_curves(FRAME, best_epoch=2)
    for axes in figure.axes:
        assert np.asarray(line(axes, "best: epoch 2").get_xdata()).tolist() == [2, 2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "best: epoch 2"]


@pytest.mark.parametrize(
    ("best", "kept", "labels"),
    [(2, 3, {"best: epoch 2": 2, "saved weights: epoch 3": 3}), (2, 2, {"best, saved weights: epoch 2": 2})],
)
def test_curves_mark_the_epoch_of_the_weights(best: int, kept: int, labels: dict[str, int]) -> None:
    for axes in plot_curves(FRAME, best, kept_epoch=kept).axes:
        marks = {str(each.get_label()): each for each in axes.lines if "epoch" in str(each.get_label())}
        assert {label: np.asarray(each.get_xdata())[0] for label, each in marks.items()} == labels


def test_legend_names_the_lines_of_all_panels() -> None:
    (legend,) = plot_curves(FRAME.drop(columns="val_loss")).legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_curves_without_validation_have_one_panel() -> None:
    figure = plot_curves(FRAME[["epoch", "train_loss"]])
    assert len(figure.axes) == 1
    assert [line.get_label() for line in figure.axes[0].lines] == ["training"]
    render(figure)


def test_curves_use_linear_scale_for_zero_loss() -> None:
    figure = plot_curves(FRAME.assign(train_loss=[0.5, 0.1, 0.0]))
    assert figure.axes[0].get_yscale() == "linear"
    render(figure)


def test_errors_in_percent_beside_published_values() -> None:
    frame = FRAME.assign(train_accuracy=[0.97, 0.98, 0.995], test_accuracy=[0.96, 0.97, 0.98])
    (axes,) = plot_errors(frame, {"test": (2, 3, 0.95)}).axes
    np.testing.assert_allclose(points(axes, "training: 0.50 % (final)"), [(1, 3), (2, 2), (3, 0.5)])
    np.testing.assert_allclose(points(axes, "test: 2.00 % (final)"), [(1, 4), (2, 3), (3, 2)])
    assert points(axes, "test: 0.95 % (published)") == [(2, 0.95), (3, 0.95)]
    assert len(axes.lines) == 3
    figure = plot_errors(frame, {})
    assert len(figure.axes[0].lines) == 2
    render(figure)


@pytest.mark.parametrize("accuracies", [[0.1, 0.2, 0.3], [0.9, 1.0, 1.0], [1.0, 1.0, 1.0], [0.1, 0.98, 0.99]])
def test_errors_of_last_epoch_are_visible(accuracies: list[float]) -> None:
    figure = plot_errors(FRAME.assign(train_accuracy=accuracies, test_accuracy=accuracies), {})
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert 100 * (1 - accuracies[-1]) < high
    render(figure)


def test_lr_search_marks_suggestion_on_logarithmic_axis() -> None:
    figure = plot_lr_search([0.01, 0.1, 1.0], [2.0, 1.0, 3.0], 0.05)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "learning rate", "loss (smoothed)")
    (point,) = points(axes, "steepest: 0.05")
    assert point == pytest.approx((0.05, 1 + 0.05 / 0.09))
    render(figure)


@pytest.mark.parametrize("num_epochs", [1, 2, 300])
def test_curves_of_any_length_have_whole_epochs_as_ticks_and_some_markers(num_epochs: int) -> None:
    frame = pd.DataFrame({"epoch": range(1, num_epochs + 1), "train_loss": np.linspace(0.5, 0.1, num_epochs)})
    figure = plot_curves(frame, 1, kept_epoch=num_epochs)
    assert faults(figure) == []
    (axes,) = figure.axes
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    step: object = axes.lines[0].get_markevery()
    assert step == -(-num_epochs // 20)


def test_curves_with_missing_values_have_gaps() -> None:
    frame = FRAME.assign(train_loss=[np.nan, 0.2, 0.1], val_accuracy=np.nan)
    figure = plot_curves(frame)
    assert figure.axes[0].get_yscale() == "log"
    assert np.isnan(points(figure.axes[0], "training")[0][1])
    assert faults(figure) == []


def test_logarithmic_ticks_are_plain_numbers() -> None:
    figure = plot_lr_search(np.logspace(-6, 1, 8).tolist(), [1.0] * 8)
    render(figure)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert {"0.0001", "0.01", "1"} <= set(labels)
    assert not any("$" in label for label in labels)


def test_a_history_without_rows_or_losses_is_refused() -> None:
    with pytest.raises(ValueError, match="no row; expected one row per epoch"):
        plot_curves(FRAME[:0])
    with pytest.raises(ValueError, match="no column train_loss"):
        plot_curves(FRAME[["epoch"]])
    with pytest.raises(ValueError, match="no test_accuracy"):
        plot_errors(FRAME.assign(train_accuracy=1))
    with pytest.raises(ValueError, match="no row"):
        plot_errors(FRAME.assign(train_accuracy=1, test_accuracy=1)[:0])
    with pytest.raises(ValueError, match="2 rates and 1 losses"):
        plot_lr_search([0.1, 1.0], [1.0])
