from typing import Any

import numpy as np
import pytest
import torch
from tests.plots.legibility import faults

from lenet5 import Evaluation
from lenet5.plots import plot_images, plot_mistakes

IMAGES = np.arange(5 * 16, dtype=np.uint8).reshape(5, 1, 4, 4)
TARGETS = np.array([0, 1, 1, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.0003, 0.9997], [1, 0]])


def mistakes(**changes: Any) -> Any:
    predictions = PROBABILITIES.argmax(1)
    arguments = {"images": IMAGES, "targets": TARGETS, "predictions": predictions, "probabilities": PROBABILITIES}
    return plot_mistakes(**{**arguments, **changes})


def test_mistakes_have_prediction_confidence_and_truth_the_most_confident_first() -> None:
    figure = mistakes()
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["0 (100.0%)\ntrue: 1", "1 (> 99.9%)\ntrue: 0", "0 (70.0%)\ntrue: 1"]
    shown = [np.asarray(axes.images[0].get_array()) * 255 for axes in figure.axes if axes.images]
    np.testing.assert_allclose(shown, IMAGES[[4, 3, 2], 0])
    assert figure.get_suptitle() == "all 3 mistakes in 5 images, the most confident first"
    assert mistakes(num_images=2).get_suptitle().startswith("2 of 3 mistakes in 5 images")


def test_mistakes_name_the_classes_of_the_evaluation() -> None:
    figure = Evaluation(TARGETS, PROBABILITIES, classes=["cat", "Ankle boot"]).plot_mistakes(torch.as_tensor(IMAGES))
    assert figure.axes[0].get_title() == "cat\n(100.0%)\ntrue: Ankle boot"
    assert faults(figure) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES[:4]}, "4 images and 5 targets"),
        ({"images": IMAGES[0]}, "images has shape"),
        ({"predictions": TARGETS[:2]}, "5 targets, 2 predictions and 5 rows"),
        ({"predictions": TARGETS}, "all 5 images are classified correctly"),
        ({"classes": ["a"]}, "1 class names"),
        ({"targets": TARGETS + 1}, "from 0 to 2; expected 2 names"),
        ({"num_images": 0}, "num_images is 0"),
        ({"images": np.zeros((0, 1, 4, 4))}, "at least one"),
    ],
)
def test_mistakes_refuse_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mistakes(**changes)


@pytest.mark.parametrize("length", [1, 10, 40])
@pytest.mark.parametrize("num_images", [1, 9])
def test_labels_of_any_length_are_legible(length: int, num_images: int) -> None:
    figure = plot_images(np.zeros((num_images, 1, 6, 6), np.uint8), ["W%" * length] * num_images, "a title")
    assert faults(figure) == []


def test_ten_images_of_short_labels_are_a_row() -> None:
    figure = plot_images(np.zeros((20, 1, 6, 6), np.uint8), ["read as 8"] * 20)
    assert {axes.get_subplotspec().get_gridspec().get_geometry() for axes in figure.axes} == {(2, 10)}  # type: ignore[union-attr]
    assert faults(figure) == []


def test_images_of_floats_are_scaled_to_their_range() -> None:
    images = np.linspace(-3, 5, 32).reshape(2, 1, 4, 4)
    images[0, 0, 0, 1] = np.nan
    figure = plot_images(images)
    shown = np.array([axes.images[0].get_array() for axes in figure.axes if axes.images])
    assert (shown.min(), shown.max()) == (0, 1)
    assert plot_images(np.zeros((1, 3, 4, 4), bool)).axes


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.array([0, 51], np.uint8), [0, 0.2]),
        (np.array([0, 1]), [0, 1 / 255]),  # as the network sees them
        (np.array([0, 257, 514], np.uint16), [0, 0.5, 1]),
        (np.array([-4, 0, 4]), [0, 0.5, 1]),
        (np.array([False, True]), [0, 1]),
        (np.array([1.0, 1.0]), [1, 1]),
        (np.array([0.0, 0.0]), [0, 0]),
        (np.array([0.25, np.nan]), [0.25, 0]),
    ],
)
def test_images_have_the_greys_of_their_values(images: Any, expected: list[float]) -> None:
    (axes,) = plot_images(images[None, None, None]).axes
    assert np.asarray(axes.images[0].get_array())[0].tolist() == pytest.approx(expected)


def test_images_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="5 images and 1 labels"):
        plot_images(IMAGES, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        plot_images(IMAGES[:0])
