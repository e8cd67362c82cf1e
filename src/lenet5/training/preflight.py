"""Checks before the first step, so that a run never fails late for what was known at its start."""

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from .. import storage
from ..data.sources import Source, can_continue, ends_with_one_example, evaluation_source
from ..runtime.acceleration import LossFunction
from ..storage import StrPath
from .callbacks import Callback
from .checkpoints import write_checkpoint
from .config import TrainerConfig

_HOOKS = {**dict.fromkeys(("on_fit_start", "on_step_end", "on_fit_end"), ("state",)), "on_epoch_end": ("state", "row")}
_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


def check_arguments(
    model: object,
    config: object,
    callbacks: Sequence[Callback],
    loss_fn: LossFunction | None,
    factories: dict[str, Any],
) -> None:
    """Check the arguments of a Trainer; errors are as there.

    Parameters
    ----------
    model, config, callbacks, loss_fn
        As in the Trainer.
    factories
        The optimizer and the scheduler, by the names of their parameters.
    """
    if not isinstance(model, nn.Module) or not isinstance(config, TrainerConfig | None):
        types = f"{type(model).__name__} and {type(config).__name__}"
        raise TypeError(f"model and config are {types}; expected a torch.nn.Module and a TrainerConfig")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"a callback is {callback!r}; expected an instance of a lenet5.Callback")
        _check_hooks(callback)
    _check_loss_fn(loss_fn)
    for name, factory in factories.items():
        if factory is not None and not callable(factory) and not hasattr(factory, "step"):
            raise TypeError(f"{name} is {factory!r}; expected an instance, or a function that makes one")
    if config is None:
        return
    if loss_fn is not None and config.label_smoothing:
        raise ValueError("loss_fn and label_smoothing are both set; expected at most one of them")
    if config.compile is not None and config.compile not in torch.compiler.list_backends(()):
        known = ", ".join(torch.compiler.list_backends())
        raise ValueError(f"compile is {config.compile!r}; expected a backend of torch.compile, such as {known}")


def _check_hooks(callback: Callback) -> None:
    """Raise TypeError unless the hooks of a callback take what they are called with."""
    for name, arguments in _HOOKS.items():
        signature = inspect.signature(getattr(callback, name))
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise TypeError(
                f"{type(callback).__name__}.{name} takes {signature}; expected ({', '.join(arguments)})"
            ) from error


def _check_loss_fn(loss_fn: object) -> None:
    if isinstance(loss_fn, type) or not (loss_fn is None or callable(loss_fn)):
        raise TypeError(f"loss_fn is {loss_fn!r}; expected a function or an instance, such as torch.nn.MSELoss()")
    if (reduction := getattr(loss_fn, "reduction", "mean")) not in ("mean", "batchmean"):
        raise ValueError(f"loss_fn has reduction={reduction!r}; expected 'mean', the mean loss of a batch")


def check_run(model: nn.Module, config: TrainerConfig, val: object) -> None:
    """Raise ValueError unless a model has parameters to train, and `patience` has validation data."""
    if config.patience is not None and val is None:
        raise ValueError(f"patience is {config.patience}, but there is no validation data; pass val to fit")
    parameters = list(model.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise ValueError("the model has lazy layers without parameters; expected one call of the model before training")
    if not any(parameter.requires_grad for parameter in parameters):
        raise ValueError(
            f"none of the {len(parameters)} parameters of the model requires gradients; expected one to train"
        )


def check_optimizer(optimizer: object) -> None:
    """Raise TypeError unless an object is an optimizer, and ValueError if its step needs a closure, as LBFGS's does."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"the optimizer is {type(optimizer).__name__}; expected a torch.optim.Optimizer")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"the optimizer is {type(optimizer).__name__}, whose step needs a closure; expected one that steps from the"
            " gradients, such as torch.optim.AdamW"
        )


def check_last_batch(model: nn.Module, source: Source, device: torch.device) -> None:
    """Raise ValueError if the last batch of an epoch has one example and the model needs two, as BatchNorm does."""
    if not (ends_with_one_example(source) and any(isinstance(module, _NORMS) for module in model.modules())):
        return
    images = next(evaluation_source(getattr(source, "loader", source), device).batches(0)).images
    try:
        with torch.no_grad():
            copy.deepcopy(model).train()(images[:1].to(device))
    except ValueError as error:
        raise ValueError(
            f"the last batch of an epoch has one example, which the model cannot train on ({error}); expected two or"
            " more: choose a different batch_size, or a DataLoader with drop_last"
        ) from error


def rehearse_checkpoint(directory: StrPath, model: nn.Module, state: dict[str, Any]) -> None:
    """Write a checkpoint and remove it again, to find out before the first step whether one can be written."""
    directory = storage.as_path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with storage.trial_folder(directory / "step-trial") as folder:
        write_checkpoint(folder / "step-0", model, state)


def warn_of_whole_epochs(config: TrainerConfig, data: object, batches: Source) -> None:
    """Warn the caller of `fit` if its data gives batches that cannot continue in the middle of an epoch."""
    if config.checkpoint_dir is not None and not can_continue(batches):
        warnings.warn(
            f"a {type(data).__name__} cannot continue in the middle of an epoch, so checkpoints are written only at the"
            " end of an epoch; pass the dataset itself or a TensorLoader for more",
            stacklevel=3,  # the caller of fit
        )
