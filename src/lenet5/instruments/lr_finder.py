"""The learning-rate range test (Smith, arXiv:1506.01186): raise the rate at each step, and record the loss."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ..data.sources import Data
from ..runtime.distributed import join_processes
from ..training.callbacks import Callback
from ..training.state import TrainingState
from ..training.trainer import Trainer

if TYPE_CHECKING:
    from ..plots.display import Figure, GivenAxes

_SMOOTHING = 0.9  # decay of the moving average of the loss
_DIVERGED = 4  # stop when the smoothed loss exceeds its minimum by this factor


@dataclass(frozen=True, repr=False)
class LRSearch:
    """The result of `find_lr`.

    Examples
    --------
    >>> search = lenet5.LRSearch(lrs=(1e-3, 1e-2, 1e-1), losses=(2.3, 1.1, 9.0), suggestion=1e-2)
    >>> search
    <LRSearch: 3 rates, suggestion 0.01>
    >>> search.plot().savefig("lr_search.png")
    """

    lrs: tuple[float, ...]
    """The learning rates, in ascending order."""

    losses: tuple[float, ...]
    """The smoothed training loss after the step with each rate."""

    suggestion: float
    """The rate at which the loss, plotted over log(lr), falls most steeply before its minimum."""

    def __repr__(self) -> str:
        return f"<LRSearch: {len(self.lrs)} rates, suggestion {self.suggestion:.2g}>"

    def _repr_png_(self) -> Any:
        figure: Any = self.plot()
        return figure._repr_png_()

    @overload
    def plot(self) -> Figure: ...
    @overload
    def plot(self, *, ax: GivenAxes) -> GivenAxes: ...
    def plot(self, *, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot the loss by learning rate, and mark the suggestion.

        Parameters
        ----------
        ax
            Axes of your own; None for a new figure.

        Returns
        -------
        Figure or Axes
            The new figure, which notebooks display, or `ax`.
        """
        from ..plots import plot_lr_search

        return plot_lr_search(self.lrs, self.losses, self.suggestion, ax=ax)


class _Recorder(Callback):
    """A callback that records the loss of each step, and stops after the last rate or when the loss diverges."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._previous = (0.0, 0)
        self._mean = 0.0

    def on_step_end(self, state: TrainingState) -> None:
        previous_sum, previous_seen = self._previous if state.step > 1 else (0.0, 0)
        total = state.loss_sum.item()
        self._previous = total, state.num_seen
        loss = (total - previous_sum) / (state.num_seen - previous_seen)
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * loss
        self.lrs.append(state.lr)
        self.losses.append(self._mean / (1 - _SMOOTHING ** len(self.lrs)))
        diverged = self.losses[-1] > _DIVERGED * min(self.losses)
        state.should_stop = diverged or len(self.lrs) == self.num_steps


def find_lr(
    trainer: Trainer, train: Data, *, lowest: float = 1e-6, highest: float = 1.0, num_steps: int = 100
) -> LRSearch:
    """Find a learning rate: train a copy of the model with a rate that rises by a constant factor at each step.

    Parameters
    ----------
    trainer
        Provides the settings, the loss and the optimizer, which must be None or a factory. The trainer and its model
        stay unchanged.
    train
        Training data, as in `Trainer.fit`.
    lowest, highest
        The first and the last rate. The search ends early if the loss exceeds four times its minimum.
    num_steps
        The number of rates, at least 10.

    Raises
    ------
    ValueError
        An argument is out of range, the optimizer of the trainer is not a factory, fewer than 10 rates gave a finite
        loss, or there are several processes.
    KeyboardInterrupt
        Ctrl-C ended the search.

    Examples
    --------
    >>> trainer = lenet5.Trainer(lenet5.LeNet5())
    >>> search = lenet5.find_lr(trainer, lenet5.load_data("digits").train)
    >>> 1e-4 < search.suggestion < 1
    True
    """
    if not (0 < lowest < highest < math.inf and num_steps >= 10):
        raise ValueError(
            f"lowest, highest and num_steps are {lowest}, {highest} and {num_steps}; expected 0 < lowest < highest,"
            " and at least 10"
        )
    if isinstance(trainer.optimizer, Optimizer):
        raise ValueError("the trainer has an optimizer of its model's parameters; expected a factory, or None")
    if (world_size := join_processes(trainer.device).world_size) > 1:
        raise ValueError(f"there are {world_size} processes; expected one: run find_lr without torchrun")
    recorder = _Recorder(num_steps)
    search = _search_trainer(trainer, recorder, lowest, highest)
    with contextlib.suppress(FloatingPointError):  # the loss has diverged
        if search.fit(train).interrupted:
            raise KeyboardInterrupt
    lrs, losses = recorder.lrs, recorder.losses
    if len(lrs) < 10:
        raise ValueError(f"only {len(lrs)} rates gave a finite loss; expected 10 or more: try a lower `lowest`")
    slopes = np.gradient(np.array(losses), np.log(lrs))
    end = max(int(np.argmin(losses)), 6)
    steepest = int(slopes[5:end].argmin()) + 5  # the first averages cover few losses; beyond the minimum is noise
    return LRSearch(tuple(lrs), tuple(losses), lrs[steepest])


def _search_trainer(trainer: Trainer, recorder: _Recorder, lowest: float, highest: float) -> Trainer:
    last, device = recorder.num_steps - 1, str(trainer.device)
    config = replace(
        trainer.config, lr=lowest, max_epochs=recorder.num_steps, device=device, accumulate_steps=1, patience=None,
        checkpoint_dir=None, ema_decay=None, swa_epochs=None, fast_dev_run=False, progress=False,
    )  # fmt: skip

    def make_optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        make: Any = trainer.optimizer or partial(torch.optim.AdamW, weight_decay=config.weight_decay)
        optimizer: Optimizer = make(parameters)
        for group in optimizer.param_groups:
            group["lr"] = lowest
        return optimizer

    return Trainer(
        copy.deepcopy(trainer.model),
        config,
        callbacks=[recorder],
        loss_fn=None if config.label_smoothing else trainer.loss_fn,
        optimizer=make_optimizer,
        lr_scheduler=lambda optimizer, _: LambdaLR(optimizer, lambda step: (highest / lowest) ** (step / last)),
    )
