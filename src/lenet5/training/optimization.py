"""The optimizer and the learning-rate schedule of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from .config import TrainerConfig

OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory: TypeAlias = Callable[[Optimizer, int], LRScheduler]


def make_optimizer(
    model: nn.Module,
    config: TrainerConfig,
    num_updates: int,
    optimizer: Optimizer | OptimizerFactory | None,
    scheduler: LRScheduler | SchedulerFactory | None,
) -> tuple[Optimizer, LRScheduler | None]:
    """Return what the user gave, or what the user's functions make, or else AdamW with one cycle of `num_updates`."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=_can_fuse(model)
        )
        scheduler = scheduler or OneCycleLR(optimizer, config.lr, total_steps=num_updates)
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


def _can_fuse(model: nn.Module) -> bool | None:
    """Whether torch updates all parameters in one call; None leaves the choice to torch."""
    parameters = list(model.parameters())
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters) or None
