"""Learning-rate schedules: the configured ones, and those of the user's factories."""

import functools
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from .config import TrainerConfig

SchedulerFactory: TypeAlias = Callable[[Optimizer, int], LRScheduler] | Callable[[Optimizer], LRScheduler]


def make_schedule(config: TrainerConfig, optimizer: Optimizer, num_updates: int) -> LRScheduler:
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


def call_factory(make: Any, optimizer: Optimizer, num_updates: int) -> LRScheduler:
    """Call a factory; torch's own classes, and partials of them, take the optimizer alone."""
    function = make.func if isinstance(make, functools.partial) else make
    if not (isinstance(function, type) and issubclass(function, LRScheduler)):
        scheduler = make(optimizer) if _takes_one(make) else make(optimizer, num_updates)
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"lr_scheduler made a {type(scheduler).__name__}; expected a scheduler of torch.optim")
        return scheduler
    try:
        made: LRScheduler = make(optimizer)
    except TypeError as error:
        raise TypeError(
            f"lr_scheduler cannot be made of the optimizer alone ({error}); expected a functools.partial of"
            f" {function.__name__}, or a function of the optimizer and the number of optimizer steps"
        ) from error
    return made


def _takes_one(make: Any) -> bool:
    """Return True if a function takes the optimizer, and not the number of steps as well."""
    try:
        signature = inspect.signature(make)
    except ValueError:  # of a function in C
        return False
    try:
        signature.bind(None, None)
    except TypeError:
        return True
    return False


def same_start(factory: SchedulerFactory, optimizer: Optimizer, first: int, second: int, done: int) -> bool:
    """Return True if the schedules of `first` and of `second` steps agree in their settings and in `done` steps."""
    return _course(factory, optimizer, first, done) == _course(factory, optimizer, second, done)


def _course(factory: SchedulerFactory, optimizer: Optimizer, num_updates: int, done: int) -> list[Any]:
    """Return the state of a new schedule, and the settings of the optimizer before each of its first steps."""
    dropped = ("params", "param_names", "initial_lr")
    groups = []
    for group in optimizer.param_groups:
        settings = {name: value for name, value in group.items() if name not in dropped}
        groups.append({**settings, "params": [torch.zeros(1)], "lr": group.get("initial_lr", group["lr"])})
    trial = SGD(groups, lr=1.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)  # no optimizer steps
        scheduler = call_factory(factory, trial, num_updates)
        course: list[Any] = [dict(scheduler.state_dict())]
        for _ in range(0 if isinstance(scheduler, ReduceLROnPlateau) else min(done, num_updates)):
            course.append([(group["lr"], group.get("momentum"), group.get("betas")) for group in trial.param_groups])
            scheduler.step()
    return course
