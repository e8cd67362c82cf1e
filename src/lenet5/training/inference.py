"""Running a model over data without training it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .device import autocast
from .sources import Source, TensorSource, check_finite


@dataclass(frozen=True)
class Predictions:
    """What a model answers; both tensors lie on the CPU."""

    labels: Tensor
    """(N,) int64: the most probable class of each image."""

    probabilities: Tensor
    """(N, num_classes) float32; each row sums to 1."""

    def __len__(self) -> int:
        return len(self.labels)


def predict_logits(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> Tensor:
    """Return (N, num_classes) float32 logits of all images in the batches, on the CPU.

    Raises
    ------
    ValueError
        The model does not return a row of logits an image.
    """
    found = []
    with _evaluating(model), torch.inference_mode(), autocast(device, precision):
        for images in batches:
            logits = model(images.to(device))
            if logits.ndim != 2 or len(logits) != len(images):
                raise ValueError(
                    f"the model returned shape {tuple(logits.shape)}; expected ({len(images)}, num_classes) logits"
                )
            found.append(logits)
        return torch.cat(found).float().cpu()


def predict_pairs(model: nn.Module, source: Source, device: torch.device, precision: str) -> tuple[Tensor, Tensor]:
    """Return the logits of a source's images, and their targets."""
    targets: list[Tensor] = []

    def images() -> Iterator[Tensor]:
        for batch, batch_targets in source.pairs(0):
            if not isinstance(source, TensorSource):  # what a TensorLoader yields was checked when it was made
                check_finite(batch)
            targets.append(batch_targets)
            yield batch

    logits = predict_logits(model, images(), device, precision)
    return logits, torch.cat(targets).cpu()


def images_of(batches: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the images of batches that are images alone, or images and more."""
    for batch in batches:
        images = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(images, Tensor):
            raise TypeError(f"a batch of images is {type(images).__name__}; expected a tensor (N, C, H, W)")
        check_finite(images)
        yield images


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}  # a part may be frozen
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
