import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lenet5.plots import plot_confusion_matrix, plot_curves, plot_errors, plot_lr_search, plot_predictions

MATRIX = np.array([[90, 10, 0], [0, 50, 1], [0, 0, 0]])
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


@pytest.mark.parametrize(("names", "rotation"), [(["a", "b", "abc"], 0), (["a", "b", "abcd"], 45)])
def test_confusion_matrix_rotates_long_class_names(names: list[str], rotation: int) -> None:
    axes = plot_confusion_matrix(MATRIX, names).axes[0]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


@pytest.mark.parametrize("matrix", [np.diag([3, 4]), np.zeros((2, 2), np.int64), np.array([[7]])])
def test_confusion_matrix_without_errors_or_counts(matrix: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> None:
    figure = plot_confusion_matrix(matrix, ["Ankle boot", "$x"][: len(matrix)])
    render(figure)
    assert not np.asarray(figure.axes[0].images[0].get_array()).any()
    assert [text.get_text() for text in figure.axes[0].texts] == [str(n) for n in matrix[matrix > 0]]


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
        legend = axes.get_legend()
        assert legend is not None
        assert "best: epoch 2" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(
    ("best", "kept", "labels"),
    [(2, 3, {"best: epoch 2": 2, "saved weights: epoch 3": 3}), (2, 2, {"best, saved weights: epoch 2": 2})],
)
def test_curves_mark_the_epoch_of_the_weights(best: int, kept: int, labels: dict[str, int]) -> None:
    for axes in plot_curves(FRAME, best, kept_epoch=kept).axes:
        marks = {str(each.get_label()): each for each in axes.lines if "epoch" in str(each.get_label())}
        assert {label: np.asarray(each.get_xdata())[0] for label, each in marks.items()} == labels


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
