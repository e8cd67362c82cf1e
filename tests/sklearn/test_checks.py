"""scikit-learn's own checks of estimators, without an exception."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils import estimator_checks

from lenet5 import LeNet5Classifier

ESTIMATORS = [LeNet5Classifier(), LeNet5Classifier(patience=20, class_weight="balanced")]
CHECKS_OF_ARRAYS = """
from sklearn.utils.estimator_checks import estimator_checks_generator
from lenet5 import LeNet5Classifier
for estimator, check in estimator_checks_generator(LeNet5Classifier()):
    if "array_api" in repr(check):
        check(estimator)
        print(check)
"""


@estimator_checks.parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_estimator_passes(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.skipif(
    not hasattr(estimator_checks, "estimator_checks_generator"), reason="this scikit-learn does not check the array API"
)
def test_estimator_passes_the_checks_that_need_scipy_array_api() -> None:
    command, environment = [sys.executable, "-c", CHECKS_OF_ARRAYS], {**os.environ, "SCIPY_ARRAY_API": "1"}
    result = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert "check_array_api_input" in result.stdout
