"""What turns gradients into weights: the optimizer, its schedule, the scaling of losses, the average of the weights."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from .config import TrainerConfig

OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory: TypeAlias = Callable[[Optimizer, int], LRScheduler]


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take back what `state_dict` returned."""


class Optimization:
    """The optimizer of one training and all that goes with it.

    Parameters
    ----------
    model, config
        What is trained, and how.
    num_updates
        The number of optimizer steps that the training will take.
    optimizer, scheduler
        As for the Trainer.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainerConfig,
        num_updates: int,
        optimizer: Optimizer | OptimizerFactory | None,
        scheduler: LRScheduler | SchedulerFactory | None,
    ) -> None:
        self.model, self.config = model, config
        self.optimizer, self.scheduler = make_optimizer(model, config, num_updates, optimizer, scheduler)
        self.trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        known = {id(parameter) for parameter in self.trained}
        self.untrained = [parameter for parameter in model.parameters() if id(parameter) not in known]
        device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.average = _make_average(model, config)
        self.lr = 0.0

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint holds of it."""
        parts: dict[str, Stateful | None] = {
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.scaler if self.scaler.is_enabled() else None,
            "average": self.average,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def made_of(self) -> dict[str, Any]:
        """Return the classes of the parts, and how many parameters each group of the optimizer has."""
        groups = [len(group["params"]) for group in self.optimizer.param_groups]
        return {**{name: type(part).__name__ for name, part in self.parts.items()}, "groups": groups}

    @property
    def averaged(self) -> nn.Module:
        """The model with averaged weights, where there is an average already; else the model."""
        return self.average.module if self.average is not None and self.average.n_averaged else self.model

    def backward(self, loss: Tensor, weight: float) -> None:
        """Add a loss's gradients, as often as `weight` says."""
        torch.autograd.backward(self.scaler.scale(loss if weight == 1 else loss * weight))

    def update(self, divisor: float, epoch: int) -> None:
        """Take the optimizer's step with the gradients over a divisor."""
        self.scaler.unscale_(self.optimizer)
        if divisor != 1:
            for parameter in self.trained:
                if parameter.grad is not None:
                    parameter.grad.div_(divisor)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.config.max_grad_norm)
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        self._step()
        self.optimizer.zero_grad()
        for parameter in self.untrained:
            parameter.grad = None
        if self.average is not None and epoch >= self.config.max_epochs - (self.config.swa_epochs or math.inf):
            self.average.update_parameters(self.model)

    def _step(self) -> None:
        """Advance the optimizer and the schedule, the latter also where the scale of the losses was too high."""
        self.scaler.step(self.optimizer)
        with warnings.catch_warnings() if self.scaler.is_enabled() else contextlib.nullcontext():
            if self.scaler.is_enabled():
                self.scaler.update()
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            if self.scheduler is not None:
                self.scheduler.step()


def make_optimizer(
    model: nn.Module,
    config: TrainerConfig,
    num_updates: int,
    optimizer: Optimizer | OptimizerFactory | None,
    scheduler: LRScheduler | SchedulerFactory | None,
) -> tuple[Optimizer, LRScheduler | None]:
    """Return what the user gave, or what the user's functions make, or else AdamW with the schedule of the settings."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=_can_fuse(model)
        )
        scheduler = scheduler or make_schedule(optimizer, config, num_updates)
    elif not isinstance(optimizer, Optimizer):
        optimizer = optimizer(model.parameters())
    known = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in known for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("optimizer has none of the model's parameters; expected one made of model.parameters()")
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        scheduler = scheduler(optimizer, num_updates)
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError(
            "lr_scheduler is of another optimizer; expected one of `optimizer`, or a function that makes it"
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("lr_scheduler is ReduceLROnPlateau, which waits for a metric; expected one that counts steps")
    return optimizer, scheduler


def make_schedule(optimizer: Optimizer, config: TrainerConfig, num_updates: int) -> LRScheduler:
    """Return the schedule that the settings name."""
    if config.schedule == "one_cycle":
        pct_start = 0.3 if config.warmup is None else float(config.warmup)
        if pct_start * num_updates == 1:  # torch would divide by the 0 steps that then are left to rise in
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
    """Whether torch updates all parameters in one call; None leaves the choice to torch."""
    parameters = list(model.parameters())
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters) or None
