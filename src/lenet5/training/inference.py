"""Running a model over data without training it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..data.sources import Source, TensorSource, check_finite
from ..metrics import Evaluation
from ..runtime.device import autocast
from ..runtime.distributed import Processes

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass(frozen=True)
class Predictions:
    """What a model answers; both tensors lie on the CPU."""

    labels: Tensor
    """(N,) int64: the most probable class of each image."""

    probabilities: Tensor
    """(N, num_classes) float32; each row sums to 1."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def confidence(self) -> Tensor:
        """(N,) float32: the probability of each label."""
        return self.probabilities.amax(1)

    def abstain(self, threshold: float) -> Tensor:
        """Return the labels (N,), with -1 for images whose label is less probable than the threshold.

        Raises
        ------
        ValueError
            The threshold is not in [0, 1].
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; expected a probability, from 0 to 1")
        return self.labels.masked_fill(self.confidence < threshold, -1)


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


def evaluate(trainer: Trainer, source: Source, model: nn.Module) -> Evaluation:
    """Compare the answers of a trainer's model, or of an average of it, with the targets of a whole set."""
    device = trainer.device
    logits, targets = predict_pairs(model, source, device, trainer.config.precision, trainer.processes)
    source.check_targets(targets, logits.shape[1])
    with torch.inference_mode():
        loss = trainer.loss_fn(logits.to(device), targets.to(device)).item()
    return Evaluation(targets, logits.double().softmax(1), classes=source.classes, loss=loss)


def predict_pairs(
    model: nn.Module, source: Source, device: torch.device, precision: str, processes: Processes
) -> tuple[Tensor, Tensor]:
    """Return the logits of a source's images, and their targets.

    Several processes take a part of the batches each, every batch once, and all return the same: what one would. A
    foreign loader has no parts; each process takes all of it.
    """
    if source.sampled and processes.size > 1:
        raise ValueError(
            "an evaluation by a DistributedSampler would miss some examples and count others twice;"
            " expected the dataset itself, or a loader without one"
        )
    targets: list[Tensor] = []
    rank, size = (processes.rank, processes.size) if source.divisible and len(source) >= processes.size else (0, 1)
    first, last = (number * len(source) // size for number in (rank, rank + 1))

    def images() -> Iterator[Tensor]:
        for batch, batch_targets in source.pairs(0, first, last) if source.divisible else source.pairs(0):
            if not isinstance(source, TensorSource):  # what a TensorLoader yields was checked when it was made
                check_finite(batch)
            targets.append(batch_targets)
            yield batch

    logits = predict_logits(model, images(), device, precision)
    found = torch.cat(targets).cpu()
    if size == 1:
        return logits, found
    return torch.cat(processes.all_gather(logits)), torch.cat(processes.all_gather(found))


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
