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
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from .adamw import AdamW
from .config import TrainerConfig
from .description import describe_optimizer, describe_scheduler
from .history import Row
from .preflight import check_optimizer
from .schedules import SchedulerFactory, call_factory, make_schedule, same_start

OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]
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
    factory: SchedulerFactory | None
    num_updates: int
    description: dict[str, str]
    """What determines its steps besides the settings; "" where that is unknown."""
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
        self.optimizer, self.num_updates = _make_optimizer(model, config, optimizer), num_updates
        self.description = {"the optimizer": describe_optimizer(self.optimizer, model), "the schedule": ""}
        given = scheduler if isinstance(scheduler, LRScheduler) else None
        self.factory = None if isinstance(scheduler, LRScheduler) else scheduler
        if optimizer is None and scheduler is None:
            self.factory = functools.partial(make_schedule, config)
        self.scheduler = _make_scheduler(given, self.factory, self.optimizer, num_updates)
        if scheduler is not None and self.scheduler is not None:  # the settings describe a configured one
            self.description["the schedule"] = describe_scheduler(self.scheduler, num_updates)
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

    def continues(self, num_updates: int, done: int) -> bool:
        """Return True if the first `done` steps would have been the same in a run of `num_updates` steps."""
        if self.config.swa_epochs is not None:  # counts from the last epoch
            return False
        return self.factory is None or same_start(self.factory, self.optimizer, num_updates, self.num_updates, done)

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


def _make_optimizer(model: nn.Module, config: TrainerConfig, optimizer: AnyOptimizer) -> Optimizer:
    """Return the given optimizer, or build one. The default is AdamW."""
    if optimizer is None:
        return AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=_can_fuse(model))
    if not isinstance(optimizer, Optimizer):
        optimizer = optimizer(model.parameters())
    check_optimizer(optimizer)
    ids = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in ids for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("optimizer has none of the model's parameters; expected one made of model.parameters()")
    return optimizer


def _make_scheduler(
    scheduler: LRScheduler | None, factory: SchedulerFactory | None, optimizer: Optimizer, num_updates: int
) -> LRScheduler | None:
    """Return the given scheduler, or call the factory if there is one."""
    if factory is not None:
        scheduler = call_factory(factory, optimizer, num_updates)
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError("lr_scheduler belongs to a different optimizer; expected one of `optimizer`, or a factory")
    total = getattr(scheduler, "total_steps", None)  # of OneCycleLR, which raises beyond it
    if scheduler is not None and total is not None and scheduler.last_epoch + num_updates > total:
        raise ValueError(
            f"lr_scheduler ends after {total} optimizer steps; expected at least {num_updates}, those of this run"
        )
    return scheduler


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
