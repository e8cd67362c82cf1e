"""The loss of a run: which targets it takes, and validation by it."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.loader import TensorLoader
from ..data.sources import Source
from ..data.targets import check_targets
from ..data.transforms import transform_images
from ..inference import not_ignored, predict_outputs, predict_outputs_and_targets, whole_loss
from ..metrics.functions import accuracy
from ..runtime.acceleration import LossFunction
from .state import TrainingState

_CLASS_LOSSES = nn.CrossEntropyLoss, nn.NLLLoss


class Validation(NamedTuple):
    """The metrics of a validation."""

    loss: float
    accuracy: float | None
    """The fraction of correct predictions; None if the targets name no classes."""


def validate(model: nn.Module, source: Source, state: TrainingState) -> Validation:
    """Validate a model on a whole dataset: the loss is computed once, over all examples."""
    outputs, targets = predict_outputs_and_targets(model, source, state.device, state.config.precision, state.processes)
    return _measure(outputs, targets, state)


def validate_first_batch(source: Source, state: TrainingState) -> Validation:
    """Validate the model on the first batch, to find out before the first step whether validation works."""
    batches = list(itertools.islice(source.batches(0), 1))
    outputs = predict_outputs(state.model, (batch.images for batch in batches), state.device, state.config.precision)
    return _measure(outputs, batches[0].targets.cpu(), state)


def check_classes(train: Source, val: Source | None, state: TrainingState) -> None:
    """Check the class names of a run, and the targets that are known before the first step: those of a TensorLoader.

    Raises
    ------
    ValueError
        The classes of the training and the validation data differ, or do not fit the outputs of the model.
    """
    known = all(isinstance(source, TensorLoader) for source in (train, val))  # other data may call the same otherwise
    if val is not None and known and val.classes != train.classes:
        raise ValueError(
            f"the classes of the validation data are {_shown(val.classes)}, those of the training data"
            f" {_shown(train.classes)}; expected the same: pass classes=train.classes to the ImageDataset of validation"
        )
    for source in (train, val):
        if isinstance(source, TensorLoader) and isinstance(state.loss_fn, _CLASS_LOSSES):
            transform, image = source.dataset.transform, source.images[:1]
            images = [transform_images(transform, image, seed=0)]
            outputs = predict_outputs(state.model, images, state.device, state.config.precision)
            targets = source.targets.cpu()
            check_class_targets(targets, outputs.expand(len(targets), *outputs.shape[1:]), state.loss_fn)
            if len(source.classes) != outputs.shape[1]:
                raise ValueError(
                    f"there are {len(source.classes)} class names, but the model has {outputs.shape[1]} outputs;"
                    " expected one name per output: pass all classes to the ImageDataset, or change the model"
                )


def _shown(classes: tuple[str, ...] | None) -> str:
    names = classes or ()
    return f"{len(names)} names ({', '.join(names[:12])}{', ...' if len(names) > 12 else ''})"


def check_class_targets(targets: Tensor, outputs: Tensor, loss_fn: LossFunction) -> None:
    """Check the targets of a cross-entropy; other losses take any targets.

    Raises
    ------
    ValueError
        The targets are neither indices of classes nor probabilities of classes.
    """
    if not isinstance(loss_fn, _CLASS_LOSSES):
        return
    if outputs.ndim < 2:
        raise ValueError(f"the model returned shape {tuple(outputs.shape)}; expected logits (N, num_classes)")
    if targets.is_floating_point() and targets.shape == outputs.shape and isinstance(loss_fn, nn.CrossEntropyLoss):
        return
    expected = (len(outputs), *outputs.shape[2:])
    if targets.shape != expected:
        advice = ": pass targets.squeeze(1)" if targets.shape[1:] == (1,) else ""
        advice = ": for one-hot targets, pass targets.argmax(1)" if targets.shape == outputs.shape else advice
        raise ValueError(f"targets have shape {tuple(targets.shape)}; expected {expected} indices of classes{advice}")
    check_targets(targets[targets != loss_fn.ignore_index], outputs.shape[1])


def _measure(outputs: Tensor, targets: Tensor, state: TrainingState) -> Validation:
    check_class_targets(targets, outputs, state.loss_fn)
    loss = whole_loss(state.loss_fn, outputs, targets, state.device)
    return Validation(loss, _accuracy(outputs, targets, state.loss_fn))


def _accuracy(outputs: Tensor, targets: Tensor, loss_fn: LossFunction) -> float | None:
    """Return the accuracy if the targets (N,) are indices of the outputs (N, num_classes)."""
    if outputs.ndim != 2 or outputs.shape[1] < 2 or targets.ndim != 1 or targets.is_floating_point():
        return None
    counted = not_ignored(targets, loss_fn)
    targets = targets[counted]
    if not len(targets) or int(targets.min()) < 0 or int(targets.max()) >= outputs.shape[1]:
        return None
    return accuracy(targets, torch.softmax(outputs[counted].double(), 1).argmax(1))
