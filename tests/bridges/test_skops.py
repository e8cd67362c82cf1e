"""skops, which saves estimators of scikit-learn without pickle."""

import numpy as np
import pytest

from lenet5 import LeNet5Classifier, load_data

skops = pytest.importorskip("skops.io", reason="nox -s tests_bridges installs it")


def test_loaded_classifier_predicts_the_same_after_naming_two_classes_of_this_package() -> None:
    train = load_data("digits").train
    images, targets = train.images[:200].numpy(), train.targets[:200].numpy()
    classifier = LeNet5Classifier(max_epochs=2, random_state=0).fit(images, targets)
    content = skops.dumps(classifier)
    unknown = skops.get_untrusted_types(data=content)
    assert unknown == ["lenet5.sklearn.classifier.LeNet5Classifier", "lenet5.training.history.History"]
    loaded = skops.loads(content, trusted=unknown)
    assert np.array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
