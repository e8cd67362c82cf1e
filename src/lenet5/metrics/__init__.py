"""What a classifier's answers are worth: functions, the report that gathers them, and its pictures."""

from .abstention import Abstention, CoverageCurve, abstention, coverage_curve
from .calibration import temperature
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
    "Abstention",
    "ClassMetrics",
    "CoverageCurve",
    "Evaluation",
    "abstention",
    "accuracy",
    "classification_report",
    "confidence_interval",
    "confusion_matrix",
    "coverage_curve",
    "error_rate",
    "expected_calibration_error",
    "temperature",
    "top_k_accuracy",
]
