"""Evaluation and prediction with any model, without a Trainer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from . import notebook
from .data.images import check_finite
from .data.loader import TensorLoader
from .data.sources import EVALUATION_BATCH_SIZE, Data, Source, evaluation_source, image_batches
from .data.targets import check_targets
from .metrics.report import Evaluation
from .runtime.acceleration import LossFunction
from .runtime.device import Device, autocast, resolve_device
from .runtime.distributed import Processes, join_processes
from .runtime.modes import evaluation_mode
from .runtime.threads import iterate_in_one_thread, shared_processors

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Predictions:
    """The predictions of a model; both tensors are on the CPU.

    Examples
    --------
    >>> predictions = lenet5.load("mnist_v2").predict(lenet5.load_data("digits").test.images[:3])
    >>> predictions
    <Predictions: 3 images, 10 classes>
    >>> predictions.labels, predictions.probabilities.shape
    (tensor([0, 1, 2]), torch.Size([3, 10]))
    >>> len(predictions.to_frame())
    3
    """

    labels: Tensor
    """(N,) int64: the most probable class of each image."""

    probabilities: Tensor
    """(N, num_classes) float32; each row sums to 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Predictions: {len(self)} images, {self.probabilities.shape[-1]} classes>"

    def _repr_html_(self) -> str:
        return notebook.table_html(f"{len(self)} predictions", self.to_frame())

    @property
    def confidence(self) -> Tensor:
        """(N,) float32: the probability of the predicted class."""
        return self.probabilities.amax(1)

    def to_frame(self) -> "pd.DataFrame":
        """Return a table with one row per image: its label and confidence."""
        import pandas as pd

        return pd.DataFrame({"label": self.labels.cpu(), "confidence": self.confidence.cpu()})

    def abstain(self, threshold: float | None) -> Tensor:
        """Return the labels (N,), with -1 where the confidence is below the threshold. None accepts every prediction.

        Raises
        ------
        ValueError
            The threshold is not in [0, 1].

        Examples
        --------
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
        >>> lenet5.Predictions(probabilities.argmax(1), probabilities).abstain(0.8)
        tensor([ 0, -1])
        """
        if threshold is None:
            return self.labels.clone()
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
        An ImageDataset, a TensorLoader, a torch or Hugging Face dataset, a DataLoader or any other iterable of batches.
        Each example counts once, in the order of the data: a loader's `shuffle`, `drop_last` and `augment` serve
        training alone, and are not used. A DataLoader with a sampler of its own gives the examples that it selects.
    device
        Device to compute on; the model is moved to it. None for the model's own device.
    precision
        Precision of the forward pass. "auto" is float32. "bfloat16" and "float16" use torch's autocast.
    loss_fn
        Maps logits and targets to the mean loss; None for cross-entropy. Examples whose target is the `ignore_index` of
        the loss do not count.

    Raises
    ------
    ValueError
        The data is empty, does not fit the model, or holds NaN or infinite values, or targets that name no classes. The
        model returns NaN or infinite logits. Or the device is not available, or the precision is unknown.
    TypeError
        The data is of an unsupported type.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits").test
    >>> digits.transform = weights.preprocess
    >>> evaluation = lenet5.evaluate(weights.model, digits)
    >>> round(evaluation.accuracy, 2)
    0.95
    """
    place = _move(model, device)
    with shared_processors(place):
        source = evaluation_source(data, place)
        logits, targets = predict_outputs_and_targets(model, source, place, precision, join_processes(place))
        _check_logits(logits)
        counted = not_ignored(targets, loss_fn)
        if targets.ndim != 1 or targets.is_floating_point():
            raise ValueError(
                f"targets have shape {tuple(targets.shape)} and dtype {targets.dtype}, which name no classes; expected"
                " integers (N,). Trainer.fit reports the validation loss of any targets"
            )
        check_targets(targets[counted], logits.shape[1])
        loss = whole_loss(loss_fn or nn.functional.cross_entropy, logits, targets, place)
        classes = source.classes
        if classes and not isinstance(source, TensorLoader) and len(classes) != logits.shape[1]:
            classes = None  # what other data calls its classes need not be what the model tells apart
        return Evaluation(targets[counted], logits[counted].double().softmax(1), classes=classes, loss=loss)


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
        optional. A loader with a sampler of its own is refused, because the predictions would not match the data.

    Returns
    -------
    Predictions
        One for each image, in the order of the data.

    Raises
    ------
    ValueError
        There are no images, they do not fit the model, their order is unknown, or a value or a logit is NaN or
        infinite. Or the device is not available, or the precision is unknown.
    TypeError
        The images are of an unsupported type.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits").test
    >>> images = weights.preprocess(digits.images[:4])
    >>> lenet5.predict(weights.model, images).labels
    tensor([0, 1, 2, 3])
    """
    place = _move(model, device)
    single = isinstance(images, Tensor | np.ndarray) and len(images) <= EVALUATION_BATCH_SIZE
    with shared_processors(place, enabled=not single):  # it takes longer than a single small batch
        logits = predict_outputs(model, image_batches(images, place), place, precision)
        _check_logits(logits)
        return Predictions(logits.argmax(1), logits.double().softmax(1).float())


def predict_outputs(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> Tensor:
    """Compute the outputs (N, ...) of all images, as float32 on the CPU.

    Raises
    ------
    ValueError
        The model does not return one row of finite numbers per image.
    """
    rows = []
    with evaluation_mode(model), torch.inference_mode(), autocast(device, precision):
        for images in iterate_in_one_thread(iter(batches), device.type == "cpu"):  # short work, not worth sharing
            outputs = check_output(model(images.to(device)))
            if not outputs.ndim or len(outputs) != len(images):
                raise ValueError(
                    f"the model returned shape {tuple(outputs.shape)}; expected ({len(images)}, num_classes) logits"
                )
            rows.append(outputs)
        if not rows:
            raise ValueError("the data yielded no batches; expected at least one")
        outputs = torch.cat(rows).float().cpu()
    invalid = len(outputs) - int(outputs.reshape(len(outputs), -1).isfinite().all(1).sum())
    if invalid:
        raise ValueError(
            f"the model returned NaN or infinite outputs for {invalid} of {len(outputs)} images; expected finite"
            " logits: are its weights finite?"
        )
    return outputs


def predict_outputs_and_targets(
    model: nn.Module, source: Source, device: torch.device, precision: str, processes: Processes
) -> tuple[Tensor, Tensor]:
    """Compute the outputs and targets of a source on every rank; the ranks share the batches if the source allows."""
    targets: list[Tensor] = []
    steps = source.evaluation_range(processes.rank, processes.world_size)

    def images() -> Iterator[Tensor]:
        for batch in source.batches(0) if steps is None else source.batches(0, steps.start, steps.stop):
            if not isinstance(source, TensorLoader):  # its images are uint8, so they are finite
                check_finite(batch.images)
            targets.append(batch.targets)
            yield batch.images

    outputs = predict_outputs(model, images(), device, precision)
    all_targets = torch.cat(targets).cpu()
    if steps is None:
        return outputs, all_targets
    return torch.cat(processes.all_gather(outputs)), torch.cat(processes.all_gather(all_targets))


def check_output(output: object) -> Tensor:
    """Return the output of a model; raise ValueError if it is not a tensor."""
    if not isinstance(output, Tensor):
        raise ValueError(
            f"the model returned a {type(output).__name__}; expected a tensor of logits (N, num_classes): wrap the"
            " model in a module that returns the logits alone"
        )
    return output


def whole_loss(loss_fn: LossFunction, outputs: Tensor, targets: Tensor, device: torch.device) -> float:
    """Compute the loss of a whole dataset at once, so that class weights and ignored targets count as they should."""
    with torch.inference_mode():
        return check_loss(loss_fn(outputs.to(device), targets.to(device))).item()


def check_loss(loss: object) -> Tensor:
    """Return the result of a loss function; raise ValueError if it is not one number."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise ValueError(f"loss_fn returned {found}; expected the mean loss of the batch, a scalar tensor")
    return loss


def not_ignored(targets: Tensor, loss_fn: object) -> Tensor:
    """Return a mask (N,) of the targets (N,) that differ from the `ignore_index` of a loss, if it has one."""
    index = getattr(loss_fn, "ignore_index", None)
    if not isinstance(index, int) or targets.ndim != 1:
        return torch.ones(len(targets), dtype=torch.bool, device=targets.device)
    return targets != index


def _check_logits(outputs: Tensor) -> None:
    if outputs.ndim != 2:
        raise ValueError(
            f"the model returned shape {tuple(outputs.shape)}; expected ({len(outputs)}, num_classes) logits"
        )


def _move(model: nn.Module, device: Device) -> torch.device:
    """Move the model to a device, unless it is None; return the model's device."""
    if device is not None:
        place = resolve_device(device)
        model.to(place)
        return place
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
