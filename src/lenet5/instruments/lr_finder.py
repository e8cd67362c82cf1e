"""The learning-rate range test (Smith, arXiv:1506.01186): raise the rate step by step, and see where the loss falls."""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..data.sources import Data
from ..training import Callback, Trainer
from ..training.optimization import OptimizerFactory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMOOTHING = 0.9  # of the mean over the losses so far, in which each step's loss has a tenth of the weight
_DIVERGED = 4  # times the lowest smoothed loss: from here on it only grows


@dataclass(frozen=True)
class LRSearch:
    """What `find_lr` saw."""

    lrs: tuple[float, ...]
    """The learning rates that were tried, in order."""

    losses: tuple[float, ...]
    """The smoothed training loss after the step with each of them."""

    suggestion: float
    """Where, before its lowest, the loss fell most steeply over the logarithm of the rate."""

    def plot(self) -> Figure:
        """Draw the losses by learning rate, and the suggestion."""
        from ..metrics.plots import plot_lr_search

        return plot_lr_search(self.lrs, self.losses, self.suggestion)


class _Recorder(Callback):
    """Keeps the loss of each step, and ends the training when all rates were tried or the loss has grown."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._before = (0.0, 0)
        self._mean = 0.0

    def on_step_end(self, trainer: Trainer) -> None:
        state = trainer.state
        assert state is not None
        before, seen = self._before if state.step > 1 else (0.0, 0)
        total = state.loss_sum.item()
        self._before = total, state.num_seen
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * (total - before) / (state.num_seen - seen)
        self.lrs.append(state.lr)
        self.losses.append(self._mean / (1 - _SMOOTHING ** len(self.lrs)))
        diverged = self.losses[-1] > _DIVERGED * min(self.losses)
        trainer.should_stop = diverged or len(self.lrs) == self.num_steps


def find_lr(
    trainer: Trainer, train: Data, *, lowest: float = 1e-6, highest: float = 1.0, num_steps: int = 100
) -> LRSearch:
    """Try learning rates from the lowest to the highest, by equal factors, on a copy of a trainer's model.

    Parameters
    ----------
    trainer
        Its settings, loss and optimizer are used; the optimizer must not be one of the model's own parameters, but None
        or what makes one. The trainer and its model stay as they are.
    train
        As for `Trainer.fit`.
    lowest, highest
        The first rate and the last; the search ends early when the loss has grown to four times its lowest.
    num_steps
        How many rates.

    Raises
    ------
    ValueError
        An argument is out of range, the optimizer is of the model itself, fewer than 10 rates gave a finite loss, or
        there are several processes.
    KeyboardInterrupt
        Ctrl-C ended the search.
    """
    if not (0 < lowest < highest < math.inf and num_steps >= 10):
        raise ValueError(
            f"lowest, highest and num_steps are {lowest}, {highest} and {num_steps}; expected 0 < lowest < highest,"
            " and at least 10"
        )
    if isinstance(trainer.optimizer, Optimizer):
        raise ValueError("the trainer has an optimizer of its model's parameters; expected a function that makes one")
    if trainer.processes.size > 1:
        raise ValueError(f"there are {trainer.processes.size} processes; expected one: search before torchrun")
    config = replace(
        trainer.config,
        lr=lowest,
        max_epochs=num_steps,
        accumulate_steps=1,
        patience=None,
        checkpoint_dir=None,
        ema_decay=None,
        swa_epochs=None,
        fast_dev_run=False,
        device=str(trainer.device),
    )
    recorder = _Recorder(num_steps)
    make_optimizer: OptimizerFactory = trainer.optimizer or (
        lambda parameters: torch.optim.AdamW(parameters, lr=lowest, weight_decay=config.weight_decay)
    )

    def rising(optimizer: Optimizer, _num_updates: int) -> LRScheduler:
        for group in optimizer.param_groups:
            group["lr"] = lowest
        return LambdaLR(optimizer, lambda step: (highest / lowest) ** (step / (num_steps - 1)))

    loss_fn = None if config.label_smoothing else trainer.loss_fn
    search = Trainer(
        copy.deepcopy(trainer.model),
        config,
        callbacks=[recorder],
        loss_fn=loss_fn,
        optimizer=make_optimizer,
        lr_scheduler=rising,
    )
    with contextlib.suppress(FloatingPointError):  # the loss has grown beyond all bounds
        if search.fit(train).interrupted:
            raise KeyboardInterrupt
    lrs, losses = recorder.lrs, recorder.losses
    if len(lrs) < 10:
        raise ValueError(f"only {len(lrs)} rates gave a finite loss; expected 10 or more: try a lower `lowest`")
    slopes = np.gradient(np.array(losses), np.log(lrs))
    lowest_loss = max(int(np.argmin(losses)), 6)
    steepest = int(slopes[5:lowest_loss].argmin()) + 5  # the first means are of few losses; beyond the lowest is noise
    return LRSearch(tuple(lrs), tuple(losses), lrs[steepest])
