"""The classifier inside scikit-learn's own tools."""

import copy
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lenet5 import LeNet5Classifier

from .conftest import Array


@pytest.fixture
def tiny() -> LeNet5Classifier:
    return LeNet5Classifier(max_epochs=8, random_state=0)


@pytest.fixture(scope="module")
def fitted(pixels: Array, labels: Array) -> LeNet5Classifier:
    return LeNet5Classifier(max_epochs=2, random_state=0).fit(pixels, labels)


def test_grid_search_in_two_processes_equals_one_in_this_process(
    tiny: LeNet5Classifier, pixels: Array, labels: Array
) -> None:
    pipeline = make_pipeline(StandardScaler(), tiny)
    grid = {"lenet5classifier__lr": [0.002, 0.006]}
    searches = [GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(pixels, labels) for jobs in (1, 2)]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert np.array_equal(*scores)
    assert searches[1].best_score_ > 0.5
    assert np.array_equal(*(search.predict_proba(pixels) for search in searches))


@pytest.mark.parametrize(
    "combine",
    [
        lambda tiny: CalibratedClassifierCV(tiny, cv=2),
        lambda tiny: VotingClassifier([("lenet5", tiny), ("linear", LogisticRegression(max_iter=1000))], voting="soft"),
        lambda tiny: StackingClassifier([("lenet5", tiny)], LogisticRegression(max_iter=1000), cv=2),
        lambda tiny: BaggingClassifier(tiny, n_estimators=2, random_state=0),
        OneVsRestClassifier,
        lambda tiny: HalvingGridSearchCV(tiny, {"batch_size": [16, 32]}, cv=2, min_resources=100),
    ],
)
def test_ensembles_and_searches_learn_with_it(
    combine: Any, tiny: LeNet5Classifier, pixels: Array, labels: Array
) -> None:
    combined = combine(tiny).fit(pixels, labels % 3)
    assert combined.score(pixels, labels % 3) > 0.6
    assert combined.predict_proba(pixels).shape == (300, 3)


def test_validation_tools_score_it(tiny: LeNet5Classifier, pixels: Array, labels: Array) -> None:
    assert cross_val_score(tiny, pixels, labels, cv=2, scoring="neg_log_loss").shape == (2,)
    assert cross_val_score(tiny, pixels.reshape(-1, 8, 8), labels, cv=2).min() > 0.5
    sizes, _, scores = learning_curve(tiny, pixels, labels, cv=2, train_sizes=[0.3, 1.0])
    assert scores.shape == (2, 2)
    assert sizes.tolist() == [45, 150]


def test_class_that_a_fold_lacks_has_probability_zero(tiny: LeNet5Classifier, pixels: Array, labels: Array) -> None:
    names = np.where(np.arange(300) == 0, "rare", np.where(labels < 5, "low", "high"))
    with pytest.warns(match="least populated class|Number of classes in training fold"):
        probabilities = cross_val_predict(tiny, pixels, names, cv=2, method="predict_proba")
    assert probabilities.shape == (300, 3)
    assert probabilities[0, 2] == 0


def test_permutation_importance_finds_the_pixels_that_matter(
    fitted: LeNet5Classifier, pixels: Array, labels: Array
) -> None:
    importances = permutation_importance(fitted, pixels, labels, n_repeats=1, random_state=0).importances_mean
    assert np.all(importances[pixels.std(0) == 0] == 0)  # the corners are always white


def test_clone_has_the_parameters_and_no_model(fitted: LeNet5Classifier) -> None:
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert not hasattr(cloned, "model_")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_predict_the_same(fitted: LeNet5Classifier, pixels: Array, protocol: int) -> None:
    content = pickle.dumps(fitted, protocol)
    assert b"torch" not in content  # arrays alone, so that any device and version of torch can read them
    assert np.array_equal(pickle.loads(content).predict_proba(pixels), fitted.predict_proba(pixels))


def test_copies_are_independent(fitted: LeNet5Classifier, pixels: Array, labels: Array) -> None:
    before = fitted.predict_proba(pixels)
    copied = copy.deepcopy(fitted)
    for parameter in copied.model_.parameters():
        parameter.data.zero_()
    assert np.array_equal(fitted.predict_proba(pixels), before)
    assert copied.fit(pixels, labels).score(pixels, labels) > 0


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_joblib_files_predict_and_learn_the_same(
    fitted: LeNet5Classifier, pixels: Array, labels: Array, tmp_path: Path, mmap_mode: Any
) -> None:
    joblib.dump(fitted, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    assert np.array_equal(loaded.predict_proba(pixels), fitted.predict_proba(pixels))
    assert np.array_equal(loaded.fit(pixels, labels).predict_proba(pixels), fitted.predict_proba(pixels))


def test_unfitted_classifier_is_pickled(tiny: LeNet5Classifier) -> None:
    assert pickle.loads(pickle.dumps(tiny)).get_params() == tiny.get_params()
