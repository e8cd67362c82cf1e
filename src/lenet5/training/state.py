"""How far a training is: everything that changes as it goes on, but for the model's own weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .callbacks import Callback
from .config import TrainerConfig
from .history import History, Row
from .randomness import random_state, restore_random_state
from .sources import check_finite

LOSS_CHECK_STEPS = 100  # on an accelerator, where to look at a loss is to wait for it
_FREE_TO_CHANGE = ("device", "checkpoint_dir", "checkpoint_steps", "keep_checkpoints")  # a device only rounds otherwise


class TrainingState:
    """The state of one training.

    Attributes
    ----------
    optimizer, scheduler
        Of this training.
    history
        Of the epochs that have ended.
    best
        The weights of the best of them, once there is one.
    epoch, step
        What comes next, counted from 0: the epoch, and the batch in it.
    num_steps
        Batches per epoch.
    data
        What makes the batches, as `str(source)` says.
    lr
        Of the last optimizer step.
    loss_sum, num_seen
        Over this epoch's examples; the sum lies on the device.
    window
        Examples since the last optimizer step.
    finished
        Whether the training came to its end, and the model has its final weights.
    """

    def __init__(
        self, optimizer: Optimizer, scheduler: LRScheduler | None, num_steps: int, data: str, device: torch.device
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.num_steps, self.data = num_steps, data
        self.device = device
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.epoch = self.step = self.num_seen = self.window = 0
        self.lr = 0.0
        sum_dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.loss_sum = torch.zeros((), dtype=sum_dtype, device=device)
        self.finished = False

    def check_loss(self, images: Tensor) -> None:
        """Raise FloatingPointError if the loss is no longer finite, or ValueError if the images are to blame."""
        if math.isfinite(self.loss_sum.item()):
            return
        check_finite(images)
        earlier = "" if self.device.type == "cpu" else f", or in one of the {LOSS_CHECK_STEPS} steps before"
        raise FloatingPointError(
            f"the loss became NaN or infinite in epoch {self.epoch + 1}, step {self.step} of {self.num_steps}{earlier};"
            f" a lower lr (it is {self.lr:.3g} now) or a max_grad_norm may help"
        )

    def check_weights(self, model: nn.Module) -> None:
        """Raise FloatingPointError if a weight is no longer finite, so that none such is validated or saved."""
        if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
            raise FloatingPointError(
                f"a weight became NaN or infinite before epoch {self.epoch + 1}, step {self.step + 1};"
                f" a lower lr (it is {self.lr:.3g} now) or a max_grad_norm may help"
            )

    def update(self, model: nn.Module, config: TrainerConfig) -> None:
        """Take the optimizer's step with the mean gradient of the window."""
        if config.accumulate_steps > 1:  # the gradients are of a sum
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(self.window)
        if config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler is not None:
            self.scheduler.step()
        self.window = 0

    def end_epoch(self, row: Row, model: nn.Module, monitor: str) -> None:
        """Add an epoch's row, keep the weights if it is the best, and turn to the next epoch."""
        self.history.rows.append(row)
        if "val_loss" in row and self._is_best(row, monitor):
            self.history.best_epoch = row["epoch"]
            self.best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.epoch, self.step, self.num_seen = self.epoch + 1, 0, 0
        self.loss_sum.zero_()

    def is_over(self, config: TrainerConfig) -> bool:
        """Whether all epochs are done, or the last `patience` of them were none of them the best."""
        best_epoch = self.history.best_epoch
        patient = config.patience is None or best_epoch is None or self.epoch - best_epoch < config.patience
        return self.finished or self.epoch == config.max_epochs or not patient

    def finish(self, model: nn.Module, config: TrainerConfig, *, interrupted: bool) -> None:
        """Give the model its best weights, unless the training is to be continued, and put it into evaluation mode."""
        self.history.interrupted = interrupted and not self.is_over(config)
        self.finished = not self.history.interrupted
        if self.finished and self.best is not None and config.restore_best:
            model.load_state_dict(self.best)
        model.eval()

    def _is_best(self, row: Row, monitor: str) -> bool:
        """Whether an epoch is better than the best so far; among equals the earlier one stays."""
        if self.history.best_epoch is None:
            return True
        best = self.history[self.history.best_epoch - 1]
        if monitor == "val_accuracy" and row["val_accuracy"] != best["val_accuracy"]:
            return row["val_accuracy"] > best["val_accuracy"]
        return row["val_loss"] < best["val_loss"]

    def to_dict(self, config: TrainerConfig, callbacks: list[Callback]) -> dict[str, Any]:
        """Return all of it, the settings, and the state of the callbacks and of every random generator."""
        return {
            "config": config.to_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "num_steps": self.num_steps,
            "data": self.data,
            "finished": self.finished,
            "rows": [dict(row) for row in self.history.rows],
            "best_epoch": self.history.best_epoch,
            "best": self.best,
            "lr": self.lr,
            "loss_sum": self.loss_sum,
            "num_seen": self.num_seen,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "callbacks": [(type(callback).__name__, callback.state_dict()) for callback in _stateful(callbacks)],
            "random": random_state(self.device),
        }

    def check_same(self, saved: dict[str, Any], config: TrainerConfig, callbacks: list[Callback]) -> None:
        """Raise ValueError unless what `to_dict` returned is of this training: settings, data and callbacks."""
        _check_same("the number of batches per epoch", saved["num_steps"], self.num_steps)
        names = [type(callback).__name__ for callback in _stateful(callbacks)]
        _check_same("the list of callbacks with a state", [name for name, _ in saved["callbacks"]], names)
        _check_same("a learning-rate schedule", saved["scheduler"] is not None, self.scheduler is not None)
        for name, value in config.to_dict().items():
            if name not in _FREE_TO_CHANGE:
                _check_same(name, saved["config"].get(name), value)
        _check_same("the source of batches", saved["data"], self.data)

    def restore(self, saved: dict[str, Any], callbacks: list[Callback]) -> None:
        """Take back what `to_dict` returned; `check_same` comes first."""
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(saved["scheduler"])
        for callback, (_, state) in zip(_stateful(callbacks), saved["callbacks"], strict=True):
            callback.load_state_dict(state)
        self.history = History(saved["rows"], saved["best_epoch"])
        self.best = saved["best"] and {name: tensor.to(self.device) for name, tensor in saved["best"].items()}
        self.loss_sum = saved["loss_sum"].to(self.loss_sum)
        for name in ("epoch", "step", "finished", "lr", "num_seen"):
            setattr(self, name, saved[name])
        restore_random_state(saved["random"], self.device)


def _stateful(callbacks: list[Callback]) -> list[Callback]:
    return [callback for callback in callbacks if callback.state_dict()]


def _check_same(name: str, saved: object, found: object) -> None:
    if saved != found:
        raise ValueError(f"the checkpoint is of another training: {name} was {saved!r} there and is {found!r} here")
