"""Arguments of the wrong kind: every figure refuses them in one sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lenet5
from lenet5 import plots

IMAGES = np.zeros((3, 1, 8, 8), np.uint8)
INPUTS, PROBABILITIES = np.zeros((1, 8, 8)), np.eye(2)[:1]
WRONG: list[Any] = [None, 5, "text", [], [None], {"a": 1}, object()]
NOTHING: Any = 5
FIGURES: dict[str, Callable[[Any], object]] = {
    "architecture": plots.plot_architecture,
    "classes": lambda value: plots.plot_confusion_matrix(np.eye(5), value or NOTHING),
    "comparison": plots.plot_comparison,
    "connections": plots.plot_connection_table,
    "coverage": plots.plot_coverage,
    "curves": plots.plot_curves,
    "errors": plots.plot_errors,
    "filters": plots.plot_filters,
    "images": plots.plot_images,
    "labels": lambda value: plots.plot_images(IMAGES, value or NOTHING),
    "lr_search": lambda value: plots.plot_lr_search(value, value),
    "maps": plots.plot_feature_maps,
    "matrix": plots.plot_confusion_matrix,
    "per_class": plots.plot_per_class,
    "predictions": lambda value: plots.plot_predictions(value, INPUTS, PROBABILITIES),
    "prototypes": plots.plot_prototypes,
}


@pytest.mark.parametrize(
    "value", WRONG, ids=lambda value: f"{type(value).__name__}{len(value) if hasattr(value, '__len__') else ''}"
)
@pytest.mark.parametrize("figure", FIGURES)
def test_figure_refuses_an_argument_of_another_kind_in_a_sentence(figure: str, value: Any) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        FIGURES[figure](value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.plot_per_class([]), "per_class is an empty list; expected metrics by class name, or a table"),  # type: ignore[call-overload]
        (lambda: plots.plot_comparison([pd.DataFrame()]), "histories is of type list; expected tables by name"),  # type: ignore[call-overload]
        (lambda: plots.plot_coverage({"a": 1}), "the curve 'a' is of type int; expected a curve"),  # type: ignore[dict-item]
        (lambda: plots.plot_images(IMAGES, None, None), "title is None; expected a text"),  # type: ignore[arg-type]
        (lambda: plots.plot_predictions([INPUTS[0]], INPUTS, PROBABILITIES), "image 0 is of type ndarray; expected"),
        (lambda: plots.plot_predictions([("a", IMAGES)], INPUTS, PROBABILITIES), "image 'a' has shape"),
        (lambda: plots.plot_architecture(None), "table is None; expected the result of lenet5.layer_table"),  # type: ignore[arg-type]
        (
            lambda: plots.plot_predictions([("a", INPUTS[0])] * 251, np.zeros((251, 8, 8)), np.ones((251, 1))),
            "251 images",
        ),
    ],
)
def test_message_names_what_was_given_and_what_was_expected(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_metrics_and_figure_refuse_the_same_probabilities() -> None:
    for function in (plots.plot_reliability, lenet5.expected_calibration_error, lenet5.temperature):
        with pytest.raises(ValueError, match="a row of probabilities adds up to 3; expected 1 at most"):
            function([0, 1], np.ones((2, 3)))
