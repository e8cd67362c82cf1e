import random
import signal
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from lenet5 import LeNet5Classifier, ProgressBar, TrainingState

from .conftest import Array


def tiny(**parameters: Any) -> LeNet5Classifier:
    """A classifier that learns a little in little time."""
    return LeNet5Classifier(**{"max_epochs": 3, "random_state": 0, **parameters})


def same_model(one: LeNet5Classifier, other: LeNet5Classifier) -> bool:
    pairs = zip(one.model_.parameters(), other.model_.parameters(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


def test_classifier_learns_the_digits(pixels: Array, labels: Array) -> None:
    classifier = LeNet5Classifier(random_state=0).fit(pixels[:200], labels[:200])
    assert classifier.score(pixels[200:], labels[200:]) > 0.8
    assert len(classifier.history_) == 20
    assert not classifier.model_.training


@pytest.mark.parametrize("scale", [1 / 16, 1, 255 / 16, -1])
def test_scale_of_the_pixels_does_not_matter(pixels: Array, labels: Array, scale: float) -> None:
    classifier = tiny().fit(pixels, labels)
    scaled = tiny().fit(pixels * abs(scale) + min(scale, 0), labels)
    probabilities = scaled.predict_proba(pixels * abs(scale) + min(scale, 0))
    assert np.allclose(classifier.predict_proba(pixels), probabilities, atol=1e-3)
    assert np.isclose(classifier.mean_ * abs(scale) + min(scale, 0), scaled.mean_)


def test_forms_of_the_same_images_give_the_same_model(pixels: Array, labels: Array) -> None:
    images = pixels.reshape(-1, 8, 8)
    classifier = tiny().fit(pixels, labels)
    frame = pd.DataFrame(pixels).add_prefix("pixel")
    forms = [images, images[:, None], images[..., None], list(images), images.astype(np.uint8), torch.tensor(images)]
    for form in [*forms, pixels.astype(">f4"), pixels.tolist(), np.asfortranarray(pixels), frame]:
        other = tiny().fit(form, labels)
        assert same_model(classifier, other)
        assert other.n_features_in_ == 64
        assert other.image_shape_ == (1, 8, 8)
        assert np.array_equal(classifier.predict_proba(pixels), other.predict_proba(form))
    assert list(other.feature_names_in_[:2]) == ["pixel0", "pixel1"]


def test_colour_images_keep_their_channels(pixels: Array, labels: Array) -> None:
    images = np.stack([pixels.reshape(-1, 8, 8)] * 2 + [np.zeros((300, 8, 8))], 1)
    classifier = tiny().fit(images, labels)
    assert classifier.model_.in_channels == 3
    assert classifier.n_features_in_ == 192
    last = tiny().fit(images.transpose(0, 2, 3, 1), labels)
    assert same_model(classifier, last)
    flat = tiny(image_shape=(3, 8, 8)).fit(images.reshape(300, 192), labels)
    assert same_model(classifier, flat)


@pytest.mark.parametrize("num_features", [1, 2, 7, 100, 784, 800])
def test_any_number_of_features_is_an_image(num_features: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    rows = generator.normal(size=(60, num_features)) + 3 * labels[:, None] - 3 * (1 - labels[:, None])
    classifier = LeNet5Classifier(random_state=0).fit(rows, labels)
    assert classifier.score(rows, labels) > 0.9
    side = classifier.image_shape_[1]
    assert (side - 1) ** 2 < num_features <= side**2
    assert classifier.model_.image_shape == (1, 28, 28)


@pytest.mark.parametrize(
    "names",
    [
        np.array(list("abc")),
        np.array(list("abc"), dtype=object),
        np.array([1.0, 2.0, 5.0]),
        np.array([-7, 0, 9], dtype=np.int8),
        np.array([False, True]),
    ],
)
def test_labels_of_any_kind_are_predicted_as_they_were_given(pixels: Array, labels: Array, names: Array) -> None:
    classifier = tiny().fit(pixels, names[labels % len(names)])
    assert np.array_equal(classifier.classes_, names)
    assert classifier.predict(pixels[:9]).dtype == names.dtype
    assert set(classifier.predict(pixels)) <= set(names)


def test_labels_of_pandas_and_torch_are_labels(pixels: Array, labels: Array) -> None:
    names = pd.Series(labels).map("digit {}".format)
    expected = tiny().fit(pixels, names.to_numpy()).predict(pixels)
    for series in (names, names.astype("category"), names.astype("string")):
        assert list(tiny().fit(pixels, series).predict(pixels)) == list(expected)
    assert np.array_equal(tiny().fit(pixels, torch.tensor(labels)).classes_, np.arange(10))


def test_same_random_state_gives_the_same_model(pixels: Array, labels: Array) -> None:
    first, second, third = (tiny(random_state=seed).fit(pixels, labels) for seed in (1, 1, 2))
    assert same_model(first, second)
    assert not same_model(first, third)
    assert not same_model(*(tiny(random_state=None).fit(pixels, labels) for _ in range(2)))


def test_random_state_object_advances(pixels: Array, labels: Array) -> None:
    random_state = np.random.RandomState(0)
    first, second = (tiny(random_state=random_state).fit(pixels, labels) for _ in range(2))
    assert not same_model(first, second)
    assert same_model(first, tiny(random_state=np.random.RandomState(0)).fit(pixels, labels))


@pytest.mark.parametrize("random_state", [0, None])
def test_global_generators_keep_their_states(pixels: Array, labels: Array, random_state: int | None) -> None:
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = states()
    tiny(random_state=random_state, weights="mnist_v2").fit(pixels, labels % 2).predict(pixels)
    assert states() == before


def test_fits_in_threads_give_the_models_of_fits_in_turn(pixels: Array, labels: Array) -> None:
    in_turn = [tiny(random_state=seed).fit(pixels, labels) for seed in range(3)]
    in_threads = [tiny(random_state=seed) for seed in range(3)]
    threads = [threading.Thread(target=each.fit, args=(pixels, labels)) for each in in_threads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(same_model, in_turn, in_threads))


def test_second_fit_starts_anew_with_the_parameters_of_the_moment(pixels: Array, labels: Array) -> None:
    classifier = tiny().fit(pixels, labels)
    classifier.set_params(pooling="avg", activation="Tanh", max_epochs=2).fit(pixels[:, :49], labels % 3)
    assert same_model(classifier, clone(classifier).fit(pixels[:, :49], labels % 3))
    assert classifier.n_features_in_ == 49
    assert list(classifier.classes_) == [0, 1, 2]
    assert len(classifier.history_) == 2


def test_patience_holds_out_a_split_and_keeps_the_best_epoch(pixels: Array, labels: Array) -> None:
    classifier = tiny(patience=1, max_epochs=50, lr=0.02).fit(pixels, labels)
    history = classifier.history_
    assert len(history) < 50
    assert history.kept_epoch == history.best_epoch == len(history) - 1
    assert "val_accuracy" in history[0]
    assert "val_accuracy" not in tiny().fit(pixels, labels).history_[0]


def test_class_weight_moves_the_decisions(pixels: Array, labels: Array) -> None:
    is_three = labels == 3
    counts = [
        tiny(class_weight=weight).fit(pixels, is_three).predict(pixels).sum()
        for weight in ({True: 0, False: 1}, None, "balanced", {True: 1000, False: 0.001})
    ]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 300


def test_balanced_weights_are_those_of_scikit_learn(pixels: Array, labels: Array) -> None:
    names = np.where(labels < 2, "few", "many")
    share = (names == "few").mean()
    balanced = tiny(class_weight="balanced").fit(pixels, names)
    by_hand = tiny(class_weight={"few": 1 / share, "many": 1 / (1 - share)}).fit(pixels, names)
    for first, second in zip(balanced.model_.parameters(), by_hand.model_.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-5)


def test_pretrained_weights_need_fewer_epochs(pixels: Array, labels: Array) -> None:
    new, pretrained = (
        tiny(weights=weights, max_epochs=2).fit(pixels[:200], labels[:200]) for weights in (None, "mnist_v2")
    )
    assert pretrained.score(pixels[200:], labels[200:]) > 0.85 > new.score(pixels[200:], labels[200:])


def test_parameters_that_contradict_the_weights_are_refused(pixels: Array, labels: Array) -> None:
    with pytest.raises(ValueError, match="pooling is 'avg'; expected 'max', as weights='mnist_v2' has it"):
        tiny(weights="mnist_v2", pooling="avg").fit(pixels, labels)


def test_probabilities_do_not_depend_on_the_other_rows(pixels: Array, labels: Array) -> None:
    classifier = tiny().fit(pixels, labels)
    together = classifier.predict_proba(pixels)
    assert together.dtype == np.float64
    assert np.allclose(together.sum(1), 1, atol=1e-15)
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(classifier.predict_proba(pixels[order]), together[order])
    assert np.array_equal(np.concatenate([classifier.predict_proba(row[None]) for row in pixels[:20]]), together[:20])


def test_ctrl_c_raises_and_stores_no_model(pixels: Array, labels: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    class Press(ProgressBar):
        def on_step_end(self, state: TrainingState) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("lenet5.training.progress.ProgressBar", Press)
    classifier = tiny(verbose=True)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(pixels, labels)
    with pytest.raises(NotFittedError):
        check_is_fitted(classifier)


def test_failed_fit_keeps_the_model_before(pixels: Array, labels: Array) -> None:
    classifier = tiny().fit(pixels, labels)
    before = dict(vars(classifier))
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        classifier.set_params(lr=1e30).fit(pixels[:, :49], labels % 2)
    assert vars(classifier) == {**before, "lr": 1e30}
    assert classifier.predict(pixels).shape == (300,)


def test_verbose_shows_the_epochs_on_stderr(pixels: Array, labels: Array, capsys: pytest.CaptureFixture[str]) -> None:
    tiny(verbose=True).fit(pixels, labels)
    assert capsys.readouterr().err.count("epoch") == 3
    tiny().fit(pixels, labels)
    assert capsys.readouterr() == ("", "")


def test_displays_show_the_parameters_that_were_set(pixels: Array, labels: Array) -> None:
    classifier = LeNet5Classifier(pooling="avg", max_epochs=1)
    assert repr(classifier) == "LeNet5Classifier(max_epochs=1, pooling='avg')"
    assert "LeNet5Classifier" in classifier._repr_html_()
    assert "LeNet5Classifier" in classifier.fit(pixels, labels)._repr_html_()
