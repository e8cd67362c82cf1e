"""scikit-learn's own checks of estimators, without an exception."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils import estimator_checks

from lenet5 import LeNet5Classifier

ARRAY_CHECK = "check_array_api_input"
ESTIMATORS = [LeNet5Classifier(), LeNet5Classifier(patience=20, class_weight="balanced")]
PROGRAM = f"""
from sklearn.utils.estimator_checks import {ARRAY_CHECK}, estimator_checks_generator
from lenet5 import LeNet5Classifier
checks = [check for check in estimator_checks_generator(LeNet5Classifier()) if "{ARRAY_CHECK}" in repr(check)]
for estimator, check in checks:
    check(estimator)
assert checks
"""


@estimator_checks.parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_estimator_passes(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.skipif(
    not hasattr(estimator_checks, ARRAY_CHECK), reason="this scikit-learn has no check of the array API"
)
def test_estimator_passes_the_check_that_needs_scipy_array_api() -> None:
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=environment)
