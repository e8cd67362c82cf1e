"""How far a training is: everything that changes as it goes on, but for the model's own weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..data.sources import Batch, Source, check_finite
from ..runtime.checkpoint import decode, encode
from ..runtime.distributed import Processes, launch_id
from ..runtime.randomness import random_state, restore_random_state
from .callbacks import Callback
from .config import TrainerConfig
from .history import History, Row
from .optimization import Optimization

# a device only rounds otherwise
_FREE_TO_CHANGE = (
    "device",
    "cuda_graph",
    "checkpoint_dir",
    "checkpoint_steps",
    "checkpoint_minutes",
    "keep_checkpoints",
)


class TrainingState:
    """The state of one training.

    Attributes
    ----------
    optimization
        The optimizer, its schedule, and the average of the weights.
    history
        Of the epochs that have ended.
    best
        The weights of the best of them, once there is one.
    epoch, step
        What comes next, counted from 0: the epoch, and the batch in it.
    num_steps
        Batches per epoch.
    loss_sum
        Over this epoch's examples of this process; it lies on the device.
    num_seen
        Examples of this epoch, of all processes.
    window
        Examples since the last optimizer step, of all processes.
    finished
        Whether the training came to its end, and the model has its final weights.
    """

    def __init__(self, optimization: Optimization, train: Source, device: torch.device) -> None:
        self.optimization, self.train, self.device = optimization, train, device
        self.num_steps = len(train)
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.epoch = self.step = self.num_seen = self.window = 0
        sum_dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.loss_sum = torch.zeros((), dtype=sum_dtype, device=device)
        self.finished = False

    @property
    def lr(self) -> float:
        """The learning rate of the last optimizer step."""
        return self.optimization.lr

    def add_step(self, loss: Tensor, batch: Batch) -> None:
        """Count a batch that has been taken, with its loss.

        Raises
        ------
        FloatingPointError
            The loss is no longer finite. On an accelerator, where to look at it is to wait for it, this is seen after
            some steps only.
        ValueError
            It is not, and the images are to blame.
        """
        every = loss_check_steps(self.device)
        if every == 1:
            self.loss_sum += loss.item() * batch.num_own
        else:
            self.loss_sum.add_(loss, alpha=batch.num_own)
        self.num_seen += batch.num_all
        self.window += batch.num_all
        self.step += 1
        if (self.step % every and self.step != self.num_steps) or math.isfinite(self.loss_sum.item()):
            return
        check_finite(batch.images)
        earlier = "" if every == 1 else f", or in one of the {every} steps before"
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

    def end_epoch(self, row: Row, monitor: str) -> None:
        """Add an epoch's row, keep the weights if it is the best, and turn to the next epoch."""
        self.history.rows.append(row)
        if "val_loss" in row and self._is_best(row, monitor):
            self.history.best_epoch = row["epoch"]
            weights = self.optimization.averaged.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        self.epoch, self.step, self.num_seen = self.epoch + 1, 0, 0
        self.loss_sum.zero_()

    def is_over(self, config: TrainerConfig) -> bool:
        """Whether all epochs are done, or the last `patience` of them were none of them the best."""
        best_epoch = self.history.best_epoch
        patient = config.patience is None or best_epoch is None or self.epoch - best_epoch < config.patience
        return self.finished or self.epoch == config.max_epochs or not patient

    def finish(self, model: nn.Module, config: TrainerConfig, *, interrupted: bool) -> None:
        """Give the model its final weights, unless the training is to be continued, and put it into evaluation mode."""
        self.history.interrupted = interrupted and not self.is_over(config)
        self.finished = not self.history.interrupted
        if self.finished:
            best = self.best if config.restore_best else None
            model.load_state_dict(self.optimization.averaged.state_dict() if best is None else best)
        model.eval()

    def _is_best(self, row: Row, monitor: str) -> bool:
        """Whether an epoch is better than the best so far; among equals the earlier one stays."""
        if self.history.best_epoch is None:
            return True
        best = self.history[self.history.best_epoch - 1]
        if monitor == "val_accuracy" and row["val_accuracy"] != best["val_accuracy"]:
            return row["val_accuracy"] > best["val_accuracy"]
        return row["val_loss"] < best["val_loss"]

    def to_dict(self, config: TrainerConfig, callbacks: list[Callback], processes: Processes) -> dict[str, Any]:
        """Return all of it, the settings, and the states of the callbacks and of each process.

        Every process must call it, unless the training is finished.

        Raises
        ------
        ValueError
            The optimizer's step is half accumulated; what is there of it would be lost.
        """
        if self.window:
            raise ValueError(
                f"epoch {self.epoch + 1} has taken {self.step} of {self.num_steps} steps, and the last of them have not"
                " come to an optimizer step yet; expected a place between two of those"
            )
        own = {"random": random_state(self.device), "loss_sum": self.loss_sum, "loader": self.train.state_dict()}
        together = processes.size > 1 and not self.finished
        return {
            "launch": launch_id(),
            "config": config.to_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "num_steps": self.num_steps,
            "data": str(self.train),
            "finished": self.finished,
            "rows": [dict(row) for row in self.history.rows],
            "best_epoch": self.history.best_epoch,
            "best": self.best,
            "lr": self.lr,
            "num_seen": self.num_seen,
            "parts": {name: part.state_dict() for name, part in self.optimization.parts.items()},
            "callbacks": [(type(callback).__name__, callback.state_dict()) for callback in _stateful(callbacks)],
            "made_of": self.optimization.made_of(),
            "processes": [decode(data) for data in processes.all_gather_bytes(encode(own))] if together else [own],
        }

    def check_same(self, saved: dict[str, Any], config: TrainerConfig, callbacks: list[Callback], size: int) -> None:
        """Raise ValueError unless what `to_dict` returned is of this training: settings, data and callbacks."""
        _check_same("the number of batches per epoch", saved["num_steps"], self.num_steps)
        names = [type(callback).__name__ for callback in _stateful(callbacks)]
        _check_same("the list of callbacks with a state", [name for name, _ in saved["callbacks"]], names)
        for name, value in config.to_dict().items():
            if name not in _FREE_TO_CHANGE:
                _check_same(name, saved["config"].get(name), value)
        _check_same("what the optimization is made of", saved["made_of"], self.optimization.made_of())
        _check_same("the source of batches", saved["data"], str(self.train))
        if saved["step"] and any(process["loader"] for process in saved["processes"]):
            _check_same("the number of processes, in the middle of a loader's epoch", len(saved["processes"]), size)

    def restore(self, saved: dict[str, Any], callbacks: list[Callback], rank: int, size: int) -> None:
        """Take back what `to_dict` returned; `check_same` comes first.

        With another number of processes than before, the first takes over what all had summed up, and a process that
        is new draws its own random numbers.
        """
        for name, part in self.optimization.parts.items():
            part.load_state_dict(saved["parts"][name])
        self.optimization.lr = saved["lr"]
        for callback, (_, state) in zip(_stateful(callbacks), saved["callbacks"], strict=True):
            callback.load_state_dict(state)
        self.history = History(saved["rows"], saved["best_epoch"])
        self.best = saved["best"] and {name: tensor.to(self.device) for name, tensor in saved["best"].items()}
        for name in ("epoch", "step", "finished", "num_seen"):
            setattr(self, name, saved[name])
        processes = saved["processes"]
        if len(processes) == size:
            self.loss_sum = processes[rank]["loss_sum"].to(self.loss_sum)
            self.train.load_state_dict(processes[rank]["loader"])
        elif rank == 0:
            self.loss_sum = sum(process["loss_sum"] for process in processes).to(self.loss_sum)
        if rank < len(processes):
            restore_random_state(processes[rank]["random"], self.device)


def loss_check_steps(device: torch.device) -> int:
    """After how many steps the loss is looked at."""
    return 1 if device.type == "cpu" else 100


def _stateful(callbacks: list[Callback]) -> list[Callback]:
    return [callback for callback in callbacks if callback.state_dict()]


def _check_same(name: str, saved: object, found: object) -> None:
    if saved != found:
        raise ValueError(f"the checkpoint is of another training: {name} was {saved!r} there and is {found!r} here")
