"""The training loop: `run` goes through the epochs, an epoch through its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..data.sources import Batch, Source, TensorSource
from ..runtime.checkpoint import decode, encode
from ..runtime.device import autocast
from ..runtime.graphs import RecordedGradients
from ..runtime.interrupts import Interrupt
from .checkpoints import add_checkpoint
from .history import Row
from .inference import evaluate
from .state import TrainingState

if TYPE_CHECKING:
    from .trainer import Trainer


class Loop:
    """One call of `Trainer.fit`, between its first step and its last.

    Parameters
    ----------
    trainer
        Whose model is trained.
    module
        The model as the training calls it: wrapped for several processes, compiled.
    state
        Where it begins.
    train, val
        The data.
    interrupt
        The signal that may end it.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: nn.Module,
        state: TrainingState,
        train: Source,
        val: Source | None,
        interrupt: Interrupt,
    ) -> None:
        self.trainer, self.module, self.state = trainer, module, state
        self.train, self.val, self.interrupt = train, val, interrupt
        self.config, self.processes, self.device = trainer.config, trainer.processes, trainer.device
        smoothing = self.config.label_smoothing
        self.loss_fn = nn.CrossEntropyLoss(label_smoothing=smoothing) if smoothing else trainer.loss_fn
        self.fused: Callable[[Tensor, Tensor], Tensor | None] | None = None
        self.compute: Callable[..., Tensor] = self._compute
        if self._can_record():
            self.compute = RecordedGradients(self._compute, trainer.model)
        self.saved_at = time.monotonic()
        self.signal = 0  # that all the processes know of

    def run(self) -> None:
        """Train to the end, or to where a stop was asked for."""
        state, trainer = self.state, self.trainer
        self._call("on_fit_start")
        try:
            self._agree()
            while not (trainer.should_stop or state.is_over(self.config)):
                self._run_epoch()
                if state.step == state.num_steps:
                    self._end_epoch()
            if not state.finished:
                self.processes.share_buffers(trainer.model)
                state.finish(trainer.model, self.config, interrupted=self.signal != 0)
                if state.finished or state.step == 0 or self.train.resumable:
                    self._checkpoint()
        finally:
            del self.compute  # which refers to this loop, and may hold memory of the device
            self._call("on_fit_end", state.history)

    def _run_epoch(self) -> None:
        state, due = self.state, False
        self.module.train()
        if isinstance(self.compute, RecordedGradients):
            self.compute.refresh()
        self.fused = self._find_fused()
        rank, size = self.processes.rank, self.processes.size
        for batch in self.train.shares(state.epoch, state.step, rank=rank, num_replicas=size):
            if state.step == state.num_steps:
                raise ValueError(f"the loader gave more than {state.num_steps} batches, which its length is")
            self._train_step(batch)
            self._call("on_step_end")
            due |= self._is_due()
            if state.window:
                continue
            due = self._agree(due)
            if self.trainer.should_stop:
                return
            if due and self.train.resumable and state.step < state.num_steps:
                self._checkpoint()
                due = False
        if state.step != state.num_steps:
            raise ValueError(f"the loader gave {state.step} batches; expected {state.num_steps}, as its length says")

    def _train_step(self, batch: Batch) -> None:
        """Take one batch: its gradients, and the optimizer's step if it completes a window."""
        state, accumulate = self.state, self.config.accumulate_steps
        complete = (state.step + 1) % accumulate == 0 or state.step + 1 == state.num_steps
        # gradients are averaged over the processes; with accumulation they are of a sum until it is complete
        share = batch.num_own * self.processes.size
        weight = share / batch.num_all if accumulate == 1 else share
        with self.processes.exchanging(self.module, complete):
            images, targets = batch.images.to(self.device), batch.targets.to(self.device)
            loss = self.compute(images, targets) if weight == 1 else self._compute(images, targets, weight)
        state.add_step(loss, batch)
        if complete:
            state.optimization.update(1 if accumulate == 1 else state.window, state.epoch)
            state.window = 0

    def _compute(self, images: Tensor, targets: Tensor, weight: float = 1) -> Tensor:
        """Return the mean loss of a batch, and add its gradients, times a weight, to those of the parameters."""
        if self.fused and weight == 1 and (fused_loss := self.fused(images, targets)) is not None:
            return fused_loss
        with autocast(self.device, self.config.precision):
            logits = self.module(images)
            if isinstance(self.loss_fn, nn.CrossEntropyLoss) and targets.ndim == 1:
                self.train.check_targets(targets, logits.shape[1])
            loss: Tensor = self.loss_fn(logits, targets)
        self.state.optimization.backward(loss, weight)
        return loss.detach()

    def _can_record(self) -> bool:
        """Whether the gradients of a step can be recorded as a CUDA graph."""
        config, wanted = self.config, self.config.cuda_graph
        if wanted is None:
            wanted = type(self.loss_fn) is nn.CrossEntropyLoss and getattr(self.trainer.model, "static_graph", False)
        plain = config.compile is None and config.accumulate_steps == 1 and config.precision != "float16"
        alone = self.processes.size == 1 and isinstance(self.train, TensorSource)
        return wanted and plain and alone and self.device.type == "cuda"

    def _find_fused(self) -> Callable[[Tensor, Tensor], Tensor | None] | None:
        """Return the function that the model has for its gradients, if it has one for this training."""
        offer = getattr(self.trainer.model, "fused_gradients", None)
        plain = self.module is self.trainer.model and self.config.precision in ("auto", "float32")
        found: Callable[[Tensor, Tensor], Tensor | None] | None = offer(self.loss_fn) if offer and plain else None
        return found

    def _end_epoch(self) -> None:
        """Validate, and write the epoch's checkpoint, unless that of the end follows at once."""
        state, trainer = self.state, self.trainer
        state.check_weights(trainer.model)
        for model in (trainer.model, state.optimization.averaged):
            self.processes.share_buffers(model)
        train_loss = self.processes.all_sum(state.loss_sum) / state.num_seen
        row = Row(epoch=state.epoch + 1, lr=state.lr, train_loss=train_loss)
        if self.val is not None:
            evaluation = evaluate(trainer, self.val, state.optimization.averaged)
            assert evaluation.loss is not None
            row["val_loss"], row["val_accuracy"] = evaluation.loss, evaluation.accuracy
        row = decode(self.processes.from_first(lambda: encode(dict(row))))  # so that all decide alike
        state.end_epoch(row, self.config.monitor)
        self._call("on_epoch_end", row)
        self._agree()
        if not (trainer.should_stop or state.is_over(self.config)):
            self._checkpoint()

    def _is_due(self) -> bool:
        """Whether the settings ask for a checkpoint within the epoch."""
        every, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        return (every is not None and self.state.step % every == 0) or (
            minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes
        )

    def _agree(self, due: bool = False) -> bool:
        """Stop all processes if one of them is to stop, or has received a signal; return whether one has a due."""
        trainer = self.trainer
        self.signal, stop, dues = self.processes.all_max(self.interrupt.received, trainer.should_stop, due)
        trainer.should_stop = bool(stop or self.signal)
        return bool(dues)

    def _checkpoint(self) -> None:
        directory, state, trainer = self.config.checkpoint_dir, self.state, self.trainer
        self.saved_at = time.monotonic()
        if directory is None:
            return
        state.check_weights(trainer.model)
        content = state.to_dict(self.config, trainer.callbacks, self.processes)
        if trainer.is_main:
            add_checkpoint(directory, trainer.model, content, keep=self.config.keep_checkpoints)

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.trainer.callbacks:
            getattr(callback, hook)(self.trainer, *arguments)
