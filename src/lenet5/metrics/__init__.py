"""What a classifier's answers are worth: functions, the report that gathers them, and its pictures."""

from .evaluation import ClassMetrics, Evaluation
from .functional import (
    accuracy,
    classification_report,
    confidence_interval,
    confusion_matrix,
    error_rate,
    expected_calibration_error,
    top_k_accuracy,
)

__all__ = [
    "ClassMetrics",
    "Evaluation",
    "accuracy",
    "classification_report",
    "confidence_interval",
    "confusion_matrix",
    "error_rate",
    "expected_calibration_error",
    "top_k_accuracy",
]
