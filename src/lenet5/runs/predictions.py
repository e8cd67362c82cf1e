"""The predictions of a run for its test set, and the images that it misclassified, as its folder stores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from .. import storage
from ..data.datasets import ImageDataset
from ..metrics.report import Evaluation

PREDICTIONS = "predictions.safetensors"
_NAMES = {"targets", "probabilities", "mistakes", "images"}
_MOST_IMAGES, _MOST_BYTES = 100, 4 << 20
_LARGEST = 1 << 30


class Mistakes(NamedTuple):
    """Misclassified test images, in order of decreasing confidence."""

    indices: npt.NDArray[np.int64]
    """(M,): positions in the test set."""

    images: npt.NDArray[np.uint8]
    """(M, C, H, W)."""


def predictions_bytes(evaluation: Evaluation, test: ImageDataset) -> bytes:
    """Serialise the predictions for a test set, and its most confidently misclassified images."""
    wrong = np.flatnonzero(evaluation.predictions != evaluation.targets)
    confidence = evaluation.probabilities.max(axis=1)[wrong]
    most = max(1, min(_MOST_IMAGES, _MOST_BYTES // test.images[0].numel()))
    mistakes = torch.from_numpy(wrong[np.argsort(-confidence, kind="stable")][:most])
    return storage.tensors_bytes(
        {
            "targets": torch.from_numpy(evaluation.targets),
            "probabilities": torch.from_numpy(evaluation.probabilities),
            "mistakes": mistakes,
            "images": test.images[mistakes],
        }
    )


def read_predictions(path: Path, classes: Sequence[str], loss: float | None) -> tuple[Evaluation, Mistakes]:
    """Read what `predictions_bytes` returned.

    Raises
    ------
    ValueError
        The file is damaged, or its content does not fit the classes.
    """
    tensors = storage.parse_tensors(storage.read_file(path, limit=_LARGEST), path)
    if tensors.keys() != _NAMES:
        raise ValueError(f"{path} holds {sorted(tensors)}; expected {sorted(_NAMES)}")
    try:
        evaluation = Evaluation(tensors["targets"], tensors["probabilities"], classes=classes, loss=loss)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    mistakes = Mistakes(tensors["mistakes"].numpy(), tensors["images"].numpy())
    indices, images = mistakes
    fits = indices.ndim == 1 and indices.dtype == np.int64 and images.ndim == 4 and images.dtype == np.uint8
    if not fits or len(indices) != len(images) or ((indices < 0) | (indices >= len(evaluation))).any():
        raise ValueError(f"{path} is damaged: its images do not belong to its mistakes")
    return evaluation, mistakes
