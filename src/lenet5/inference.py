"""Evaluation and prediction with any model, without a Trainer."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from .data.datasets import check_targets
from .data.loader import TensorLoader
from .data.preprocess import check_finite
from .data.sources import Data, Source, as_source, image_batches
from .metrics.report import Evaluation
from .runtime.acceleration import LossFunction
from .runtime.device import Device, autocast, resolve_device
from .runtime.distributed import Processes, join_processes


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model; both tensors are on the CPU."""

    labels: Tensor
    """(N,) int64: the most probable class of each image."""

    probabilities: Tensor
    """(N, num_classes) float32; each row sums to 1."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def confidence(self) -> Tensor:
        """(N,) float32: the probability of the predicted class."""
        return self.probabilities.amax(1)

    def abstain(self, threshold: float) -> Tensor:
        """Return the labels (N,), with -1 where the confidence is below the threshold.

        Raises
        ------
        ValueError
            The threshold is not in [0, 1].
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; expected a probability from 0 to 1")
        return self.labels.masked_fill(self.confidence < threshold, -1)


def evaluate(
    model: nn.Module, data: Data, *, device: Device = None, precision: str = "auto", loss_fn: LossFunction | None = None
) -> Evaluation:
    """Evaluate a model on a whole dataset.

    With several processes, every rank must call it. The ranks share the batches and return the same report.

    Parameters
    ----------
    model
        Maps a batch of images to logits (N, num_classes). It runs in evaluation mode, and its mode is restored.
    data
        An ImageDataset, a TensorLoader, a torch Dataset or a DataLoader.
    device
        Device to compute on; the model is moved to it. None for the model's own device.
    precision
        Precision of the forward pass. "auto" is float32. "bfloat16" and "float16" use torch's autocast.
    loss_fn
        Maps logits and targets to the mean loss; None for cross-entropy.

    Raises
    ------
    ValueError
        The data is empty, does not fit the model, or holds NaN or infinite values. Or the device is not available, or
        the precision is unknown.
    TypeError
        The data is of an unsupported type.
    """
    place = _move(model, device)
    source = as_source(data, place)
    logits, targets = predict_logits_and_targets(model, source, place, precision, join_processes(place))
    check_targets(targets, logits.shape[1])
    with torch.inference_mode():
        loss = (loss_fn or nn.functional.cross_entropy)(logits.to(place), targets.to(place)).item()
    return Evaluation(targets, logits.double().softmax(1), classes=source.classes, loss=loss)


def predict(
    model: nn.Module, images: Tensor | npt.NDArray[Any] | Data, *, device: Device = None, precision: str = "auto"
) -> Predictions:
    """Predict the class of each image.

    Parameters
    ----------
    model, device, precision
        As in `evaluate`.
    images
        A tensor or array (N, C, H, W), normalised as the model expects. Or data as in `evaluate`, where targets are
        optional.

    Raises
    ------
    ValueError
        There are no images, they do not fit the model, or a value is NaN or infinite. Or the device is not available,
        or the precision is unknown.
    TypeError
        The images are of an unsupported type.
    """
    place = _move(model, device)
    logits = predict_logits(model, image_batches(images, place), place, precision)
    return Predictions(logits.argmax(1), logits.double().softmax(1).float())


def predict_logits(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> Tensor:
    """Compute the logits (N, num_classes) of all images, as float32 on the CPU.

    Raises
    ------
    ValueError
        The model does not return one row of logits per image.
    """
    rows = []
    with _evaluation_mode(model), torch.inference_mode(), autocast(device, precision):
        for images in batches:
            logits = model(images.to(device))
            if logits.ndim != 2 or len(logits) != len(images):
                raise ValueError(
                    f"the model returned shape {tuple(logits.shape)}; expected ({len(images)}, num_classes) logits"
                )
            rows.append(logits)
        if not rows:
            raise ValueError("the data yielded no batches; expected at least one")
        return torch.cat(rows).float().cpu()


def predict_logits_and_targets(
    model: nn.Module, source: Source, device: torch.device, precision: str, processes: Processes
) -> tuple[Tensor, Tensor]:
    """Compute the logits and targets of a source on every rank; the ranks share the batches if the source allows."""
    targets: list[Tensor] = []
    steps = source.evaluation_range(processes.rank, processes.world_size)

    def images() -> Iterator[Tensor]:
        for batch in source.batches(0) if steps is None else source.batches(0, steps.start, steps.stop):
            if not isinstance(source, TensorLoader):  # its images are uint8, so they are finite
                check_finite(batch.images)
            targets.append(batch.targets)
            yield batch.images

    logits = predict_logits(model, images(), device, precision)
    all_targets = torch.cat(targets).cpu()
    if steps is None:
        return logits, all_targets
    return torch.cat(processes.all_gather(logits)), torch.cat(processes.all_gather(all_targets))


def _move(model: nn.Module, device: Device) -> torch.device:
    """Move the model to a device, unless it is None; return the model's device."""
    if device is not None:
        place = resolve_device(device)
        model.to(place)
        return place
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}  # parts of a model may be in different modes
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
