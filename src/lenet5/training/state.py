"""Mutable state of a training run, excluding the model's weights."""

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.images import check_finite
from ..data.loader import Batch
from ..inference import not_ignored
from ..runtime.acceleration import LossFunction
from ..runtime.distributed import Processes
from .config import TrainerConfig
from .history import History, Row


class TrainingState:
    """The state of one training run, which callbacks receive.

    Attributes
    ----------
    model, config, device, loss_fn
        The model, the settings, the device and the loss function of the run.
    processes
        The process group.
    optimizer
        The optimizer; None before the first `fit`.
    history
        The metrics of the finished epochs.
    best
        The `state_dict` of the best epoch; None without validation data.
    last
        The `state_dict` after the last step, if the run is finished and the model has other weights; else None.
    epoch, step
        The current epoch, counted from 0, and the number of batches trained in it. In `on_epoch_end`, they already
        refer to the next epoch.
    num_steps
        Batches per epoch.
    lr
        The learning rate of the last optimizer step.
    loss_sum
        Sum of the loss over this rank's examples in this epoch, on the device.
    num_seen
        Examples trained in this epoch, over all ranks.
    window
        Examples since the last optimizer step, over all ranks.
    finished
        Whether the run is complete and the model has its final weights.
    should_stop
        Set to True to stop after the current optimizer step.

    Examples
    --------
    >>> class PrintStep(lenet5.Callback):
    ...     def on_step_end(self, state):
    ...         if state.is_main and state.step == state.num_steps:
    ...             print(f"epoch {state.epoch + 1}, step {state.step}, {state.num_seen} examples")
    >>> config = lenet5.TrainerConfig(max_epochs=1)
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), config, callbacks=[PrintStep()])
    >>> history = trainer.fit(lenet5.load_data("digits").train)
    epoch 1, step 21, 1294 examples
    """

    model: nn.Module
    config: TrainerConfig
    device: torch.device
    loss_fn: LossFunction
    history: History
    epoch: int
    step: int
    num_steps: int
    num_seen: int
    window: int
    lr: float
    loss_sum: Tensor
    finished: bool

    def __init__(
        self, model: nn.Module, config: TrainerConfig, device: torch.device, loss_fn: LossFunction, processes: Processes
    ) -> None:
        self.model, self.config, self.device, self.loss_fn = model, config, device, loss_fn
        self.processes = processes
        self.optimizer: Optimizer | None = None
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.last: dict[str, Tensor] | None = None
        self.epoch = self.step = self.num_steps = self.num_seen = self.window = 0
        self.lr = 0.0
        dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.loss_sum = torch.zeros((), dtype=dtype)
        self.finished = self.should_stop = False

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, which alone writes and prints; True without torchrun."""
        return self.processes.is_main

    @property
    def global_step(self) -> int:
        """The number of batches since the start of the run."""
        return self.epoch * self.num_steps + self.step

    @property
    def is_over(self) -> bool:
        """Whether the run is finished, all epochs are done, or there was no improvement for `patience` epochs."""
        best_epoch, patience = self.history.best_epoch, self.config.patience
        patient = patience is None or best_epoch is None or self.epoch - best_epoch < patience
        return self.finished or self.epoch == self.config.max_epochs or not patient

    def begin(self, num_steps: int) -> None:
        """Prepare for a run of `num_steps` batches per epoch."""
        self.num_steps = num_steps
        self.loss_sum = self.loss_sum.to(self.device)

    def add_step(self, loss: Tensor, batch: Batch) -> None:
        """Count a batch and add its loss.

        Raises
        ------
        FloatingPointError
            The loss is NaN or infinite. On an accelerator, it is checked only every 100 steps and at the end of an
            epoch, because each check waits for the device.
        ValueError
            The loss is not finite because an image has a value that is not, or because no target of the batch counts.
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
        if not not_ignored(batch.targets, self.loss_fn).any():
            raise ValueError(
                f"all targets of the batch in step {self.step} of {self.num_steps} are the ignore_index of the loss;"
                " expected one that counts: choose a larger batch_size, or leave such examples out"
            )
        place = f"epoch {self.epoch + 1}, step {self.step} of {self.num_steps}"
        place += "" if every == 1 else f", or in one of the {every} previous steps"
        raise self._diverged(f"the loss became NaN or infinite in {place}")

    def check_weights(self) -> None:
        """Raise FloatingPointError if a weight is NaN or infinite, so that it is neither validated nor saved."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            raise self._diverged(f"a weight became NaN or infinite before epoch {self.epoch + 1}, step {self.step + 1}")

    def end_epoch(self, row: Row, weights: nn.Module) -> None:
        """Add the metrics of an epoch, keep its weights if it is the best so far, and advance to the next epoch."""
        self.history.rows.append(row)
        if "val_loss" in row and self._is_best(row):
            self.history.best_epoch = self.epoch + 1
            self.best = {name: tensor.detach().clone() for name, tensor in weights.state_dict().items()}
        self.epoch, self.step, self.num_seen = self.epoch + 1, 0, 0
        self.loss_sum.zero_()

    def finish(self, weights: nn.Module, *, interrupted: bool) -> None:
        """Set the model to evaluation mode and, unless the run was interrupted, load its final weights."""
        self.history.interrupted = interrupted and not self.is_over
        self.finished = not self.history.interrupted
        if self.finished:
            best = self.best if self.config.restore_best else None
            if weights is not self.model or best is not None:
                self.last = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
                self.model.load_state_dict(weights.state_dict() if best is None else best)
            self.history.finish(restore_best=self.config.restore_best)
        self.model.eval()

    def _is_best(self, row: Row) -> bool:
        """Return True if an epoch is better than the best so far."""
        if self.history.best_epoch is None:
            return True
        best = self.history[self.history.best_epoch - 1]
        accuracy, best_accuracy = row.get("val_accuracy", 0.0), best.get("val_accuracy", 0.0)
        if self.config.monitor == "val_accuracy" and accuracy != best_accuracy:
            return accuracy > best_accuracy
        return row["val_loss"] < best["val_loss"]

    def _diverged(self, event: str) -> FloatingPointError:
        return FloatingPointError(f"{event}; try a lower lr (now {self.lr:.3g}) or a max_grad_norm")


def loss_check_steps(device: torch.device) -> int:
    """Return the number of steps between two checks of the loss on a device."""
    return 1 if device.type == "cpu" else 100
