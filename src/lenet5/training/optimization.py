"""The optimizer with its learning-rate schedule, loss scaling and weight averaging."""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from .config import TrainerConfig
from .history import Row
from .preflight import check_optimizer

OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory: TypeAlias = Callable[[Optimizer, int], LRScheduler] | Callable[[Optimizer], LRScheduler]
AnyOptimizer: TypeAlias = Optimizer | OptimizerFactory | None
AnyScheduler: TypeAlias = LRScheduler | SchedulerFactory | None


class Optimization:
    """The optimizer of one training run, with its schedule, loss scaler and weight average.

    Parameters
    ----------
    model, config
        The model and the settings.
    num_updates
        The number of optimizer steps in the whole run.
    optimizer, scheduler
        As in the Trainer.
    """

    model: nn.Module
    config: TrainerConfig
    optimizer: Optimizer
    scheduler: LRScheduler | None
    trained: list[Any]
    untrained: list[nn.Parameter]
    scaler: torch.amp.GradScaler
    average: AveragedModel | None

    def __init__(
        self,
        model: nn.Module,
        config: TrainerConfig,
        num_updates: int,
        optimizer: AnyOptimizer,
        scheduler: AnyScheduler,
    ) -> None:
        self.model, self.config = model, config
        self.optimizer, self.scheduler = make_optimizer(model, config, num_updates, optimizer, scheduler)
        self.trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        ids = {id(parameter) for parameter in self.trained}
        self.untrained = [parameter for parameter in model.parameters() if id(parameter) not in ids]
        device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.average = _make_average(model, config)

    @property
    def parts(self) -> dict[str, Any]:
        """The parts that have a `state_dict`, by name."""
        scaler = self.scaler if self.scaler.is_enabled() else None
        parts = {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": scaler, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def structure(self) -> dict[str, Any]:
        """Return the class of each part, and the number of parameters in each group of the optimizer."""
        groups = [len(group["params"]) for group in self.optimizer.param_groups]
        return {**{name: type(part).__name__ for name, part in self.parts.items()}, "groups": groups}

    @property
    def averaged(self) -> nn.Module:
        """The model with averaged weights; the model itself if nothing has been averaged yet."""
        return self.average.module if self.average is not None and self.average.n_averaged else self.model

    def update(self, divisor: float, epoch: int) -> float:
        """Divide the gradients by `divisor`, clip, and step; return the learning rate of the step."""
        self.scaler.unscale_(self.optimizer)
        if divisor != 1:
            for parameter in self.trained:
                if parameter.grad is not None:
                    parameter.grad.div_(divisor)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.config.max_grad_norm)
        lr = float(self.optimizer.param_groups[0]["lr"])
        self._step()
        self.optimizer.zero_grad()
        for parameter in self.untrained:
            parameter.grad = None
        if self.average is not None and epoch >= self.config.max_epochs - (self.config.swa_epochs or math.inf):
            self.average.update_parameters(self.model)
        return lr

    def _step(self) -> None:
        """Step the optimizer and the schedule. The schedule advances even if the scaler skips the optimizer's step."""
        self.scaler.step(self.optimizer)
        with warnings.catch_warnings() if self.scaler.is_enabled() else contextlib.nullcontext():
            if self.scaler.is_enabled():
                self.scaler.update()
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step()

    def check_metrics(self, has_accuracy: bool) -> None:
        """Raise ValueError if a ReduceLROnPlateau watches an accuracy (mode="max") that validation does not yield."""
        if isinstance(self.scheduler, ReduceLROnPlateau) and self.scheduler.mode == "max" and not has_accuracy:
            raise ValueError(
                "lr_scheduler is ReduceLROnPlateau with mode='max', which watches val_accuracy; expected validation"
                " data whose targets are classes, or mode='min', which watches the loss"
            )

    def end_epoch(self, row: Row) -> None:
        """Step a ReduceLROnPlateau: by the accuracy if its mode is "max", else by the validation or training loss."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            loss = row.get("val_loss", row["train_loss"])
            self.scheduler.step(row["val_accuracy"] if self.scheduler.mode == "max" else loss)


def make_optimizer(
    model: nn.Module, config: TrainerConfig, num_updates: int, optimizer: AnyOptimizer, scheduler: AnyScheduler
) -> tuple[Optimizer, LRScheduler | None]:
    """Return the given optimizer and scheduler, or build them. The default is AdamW with the configured schedule."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=_can_fuse(model)
        )
        scheduler = scheduler or make_schedule(optimizer, config, num_updates)
    elif not isinstance(optimizer, Optimizer):
        optimizer = optimizer(model.parameters())
    check_optimizer(optimizer)
    ids = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in ids for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("optimizer has none of the model's parameters; expected one made of model.parameters()")
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        scheduler = _made_scheduler(scheduler, optimizer, num_updates)
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError("lr_scheduler belongs to a different optimizer; expected one of `optimizer`, or a factory")
    return optimizer, scheduler


def _made_scheduler(make: Any, optimizer: Optimizer, num_updates: int) -> LRScheduler:
    """Call a factory; torch's own classes, and partials of them, take the optimizer alone."""
    function = make.func if isinstance(make, functools.partial) else make
    own = isinstance(function, type) and issubclass(function, LRScheduler)
    scheduler = make(optimizer) if own else make(optimizer, num_updates)
    if not isinstance(scheduler, LRScheduler):
        raise TypeError(f"lr_scheduler made a {type(scheduler).__name__}; expected a scheduler of torch.optim")
    return scheduler


def make_schedule(optimizer: Optimizer, config: TrainerConfig, num_updates: int) -> LRScheduler:
    """Build the configured learning-rate schedule."""
    if config.schedule == "one_cycle":
        pct_start = 0.3 if config.warmup is None else float(config.warmup)
        if pct_start * num_updates == 1:  # torch would divide by zero
            pct_start = math.nextafter(pct_start, 1)
        return OneCycleLR(optimizer, config.lr, total_steps=num_updates, pct_start=pct_start)
    num_warmup = round((config.warmup or 0) * num_updates)

    def factor(update: int) -> float:
        if update < num_warmup:
            return (update + 1) / (num_warmup + 1)
        progress = min(1.0, (update - num_warmup) / max(num_updates - num_warmup, 1))
        if config.schedule == "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        if config.schedule == "step":
            return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
        return 1.0

    return LambdaLR(optimizer, factor)


def _make_average(model: nn.Module, config: TrainerConfig) -> AveragedModel | None:
    if config.ema_decay is not None:
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]
    if config.swa_epochs is not None:
        return AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]
    return None


def _can_fuse(model: nn.Module) -> bool | None:
    """Return True if AdamW's fused implementation supports all parameters; else None, which lets torch decide."""
    parameters = list(model.parameters())
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters) or None
