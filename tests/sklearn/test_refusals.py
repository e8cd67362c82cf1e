"""Bad data and bad parameters get one sentence."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError

from lenet5 import LeNet5Classifier

from .conftest import Array


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0; expected an integer from 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5; expected an integer"),
        ({"lr": "fast"}, "lr is 'fast'; expected a finite number above 0"),
        ({"weight_decay": -1}, "weight_decay is -1; expected a finite number of at least 0"),
        ({"patience": 0}, "patience is 0; expected None or an integer"),
        ({"patience": 1, "validation_fraction": 1}, "validation_fraction is 1; expected a number between 0 and 1"),
        ({"patience": 1, "validation_fraction": "a"}, "validation_fraction is 'a'"),
        ({"pooling": "mean"}, "pooling is 'mean'; expected 'max' or 'avg'"),
        ({"activation": "relu"}, "activation is 'relu'; expected the name of an activation in torch.nn"),
        ({"image_size": 11}, "image_size is 11; expected an integer of at least 12"),
        ({"image_size": 1e6}, "image_size is 1000000, for which C5 has .* weights, more than memory holds"),
        ({"image_shape": (7, 7)}, "X has 64 features; expected 49, as image_shape=\\(7, 7\\) holds"),
        ({"image_shape": 64}, "image_shape is 64; expected None, \\(height, width\\)"),
        ({"image_shape": (0, 8)}, "image_shape is \\(0, 8\\)"),
        ({"device": "abacus"}, "device 'abacus' is unknown to torch"),
        ({"random_state": "a"}, "'a' cannot be used to seed"),
        ({"class_weight": "unbalanced"}, "class_weight"),
        ({"class_weight": {0: -1}}, "class_weight is {0: -1}; expected finite weights of at least 0"),
    ],
)
def test_parameter_out_of_range_is_refused_by_fit(
    pixels: Array, labels: Array, parameters: dict[str, Any], message: str
) -> None:
    classifier = LeNet5Classifier().set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        classifier.fit(pixels, labels)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(300), "y has one class, .*0.0.*; expected at least two"),
        (np.linspace(0, 1, 300), "Unknown label type"),
        (np.eye(300)[:, :5], "y should be a 1d array"),
        (np.arange(299), "inconsistent numbers of samples"),
        (None, "requires y"),
        (np.where(np.arange(300) > 9, 1.0, np.nan), "y contains NaN"),
    ],
)
def test_labels_without_classes_are_refused(pixels: Array, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeNet5Classifier().fit(pixels, y)


def test_labels_of_mixed_types_are_refused(pixels: Array) -> None:
    mixed = np.array([1, "a"] * 150, dtype=object)
    with pytest.raises((TypeError, ValueError), match="Unknown label type|str"):
        LeNet5Classifier().fit(pixels, mixed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(pixels: Array, labels: Array, value: float) -> None:
    broken = pixels.copy()
    broken[3, 3] = value
    classifier = LeNet5Classifier(max_epochs=1).fit(pixels, labels)
    for call in (lambda: classifier.predict(broken), lambda: classifier.fit(broken, labels)):
        with pytest.raises(ValueError, match="NaN|infinity"):
            call()


def test_values_whose_variance_overflows_are_refused(pixels: Array, labels: Array) -> None:
    with pytest.raises(ValueError, match="whose variance overflows; expected smaller ones"):
        LeNet5Classifier().fit(pixels * 1e300, labels)


def test_sparse_data_is_refused_with_what_to_do(pixels: Array, labels: Array) -> None:
    with pytest.raises(TypeError, match="toarray"):
        LeNet5Classifier().fit(scipy.sparse.csr_matrix(pixels), labels)


def test_other_features_than_in_fit_are_refused(pixels: Array, labels: Array) -> None:
    classifier = LeNet5Classifier(max_epochs=1).fit(pixels, labels)
    with pytest.raises(ValueError, match="X has 63 features, but LeNet5Classifier is expecting 64"):
        classifier.predict(pixels[:, 1:])
    with pytest.raises(ValueError, match="X has images of shape \\(1, 4, 16\\); expected \\(1, 8, 8\\), as in fit"):
        classifier.predict(pixels.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="expected images \\(N, H, W\\), \\(N, C, H, W\\) or \\(N, H, W, C\\)"):
        classifier.predict(pixels.reshape(-1, 2, 4, 8))
    with pytest.raises(ValueError, match="X has 5 dimensions; expected rows \\(N, num_features\\) or images"):
        classifier.predict(pixels.reshape(-1, 1, 1, 8, 8))


def test_shape_of_images_that_contradicts_image_shape_is_refused(pixels: Array, labels: Array) -> None:
    with pytest.raises(
        ValueError, match="X has images of shape \\(1, 8, 8\\); expected \\(1, 4, 16\\), the image_shape"
    ):
        LeNet5Classifier(image_shape=(4, 16)).fit(pixels.reshape(-1, 8, 8), labels)


def test_prediction_before_fit_is_refused(pixels: Array) -> None:
    with pytest.raises(NotFittedError):
        LeNet5Classifier().predict(pixels)


def test_class_that_the_validation_split_would_take_whole_is_refused(pixels: Array) -> None:
    names = np.arange(12) % 11
    with pytest.raises(ValueError, match="a class has no example left beside the validation split"):
        LeNet5Classifier(patience=1, validation_fraction=0.5).fit(pixels[:12], names)


def test_sample_weights_are_refused(pixels: Array, labels: Array) -> None:
    arguments: Any = {"sample_weight": np.ones(300)}
    with pytest.raises(TypeError, match="sample_weight"):
        LeNet5Classifier().fit(pixels, labels, **arguments)
