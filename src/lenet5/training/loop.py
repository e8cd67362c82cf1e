"""The training loop: a run is a sequence of epochs, and an epoch is a sequence of steps."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..data.loader import Batch, TensorLoader
from ..data.sources import Source, can_continue
from ..inference import check_loss, check_output
from ..runtime.acceleration import Accelerated, FusedGradients, LossFunction
from ..runtime.device import autocast
from ..runtime.distributed import Processes
from ..runtime.graphs import CapturedGradients
from ..runtime.interrupts import Interrupt
from ..runtime.randomness import seeded
from ..runtime.threads import iterate_in_one_thread, one_thread, shared_processors
from .checkpoints import add_checkpoint, decode, encode
from .config import TrainerConfig
from .history import Row
from .objective import check_class_targets, check_classes, validate, validate_first_batch
from .optimization import Optimization
from .preflight import check_last_batch, rehearse_checkpoint
from .snapshot import Snapshot
from .state import TrainingState


class Loop:
    """One call of `Trainer.fit`, from its first step to its last.

    Parameters
    ----------
    run
        The parts of the run.
    module
        The model to call in training. It may be wrapped in DistributedDataParallel or compiled.
    val
        The validation data, if any.
    interrupt
        The handler of the signals that stop the run.
    """

    snapshot: Snapshot
    state: TrainingState
    optimization: Optimization
    train: Source
    module: nn.Module
    val: Source | None
    interrupt: Interrupt
    config: TrainerConfig
    processes: Processes
    device: torch.device
    loss_fn: LossFunction
    saved_at: float
    signal: int

    def __init__(self, run: Snapshot, module: nn.Module, val: Source | None, interrupt: Interrupt) -> None:
        self.snapshot, self.state, self.optimization, self.train = run, run.state, run.optimization, run.train
        self.module, self.val, self.interrupt = module, val, interrupt
        self.config, self.processes, self.device = run.state.config, run.state.processes, run.state.device
        smoothing = self.config.label_smoothing
        self.loss_fn = nn.CrossEntropyLoss(label_smoothing=smoothing) if smoothing else run.state.loss_fn
        self.fused: FusedGradients | None = None
        self.compute: Callable[..., Tensor] = self._compute
        if self._can_capture():
            self.compute = CapturedGradients(self._compute, run.state.model)
        self.saved_at = time.monotonic()
        self.signal = 0  # the last signal that is known to all ranks

    def run(self) -> None:
        """Train to the end, or until a callback or a signal requests a stop."""
        state = self.state
        self._call("on_fit_start")
        try:
            with shared_processors(self.device):
                self._check_first()
                self._sync_requests()
                while not (state.should_stop or state.is_over):
                    self._run_epoch()
                    if state.step == state.num_steps:
                        self._end_epoch()
            if not state.finished:
                self.processes.broadcast_buffers(state.model)
                state.finish(self.optimization.averaged, interrupted=self.signal != 0)
                if state.finished or state.step == 0 or can_continue(self.train):
                    self._checkpoint()
        finally:
            del self.compute  # it refers back to this loop, and may hold device memory
            self._call("on_fit_end")

    def _check_first(self) -> None:
        """Check what would otherwise fail late: the last batch, the classes, the validation, the first checkpoint."""
        state, directory = self.state, self.config.checkpoint_dir
        if state.is_over:
            return
        with seeded(self.config.seed, self.device):  # data may draw random numbers, which the run must not miss
            check_last_batch(state.model, self.train, self.device)
            check_classes(self.train, self.val, state)
            validation = None if self.val is None else validate_first_batch(self.val, state)
            content = self.snapshot.to_dict(gather=True) if directory is not None else {}
        self.optimization.check_metrics(validation is not None and validation.accuracy is not None)

        def rehearse() -> bytes:
            if directory is not None:
                rehearse_checkpoint(directory, state.model, content)
            return b""

        self.processes.broadcast_from_main(rehearse)

    def _run_epoch(self) -> None:
        state, due = self.state, False
        self.module.train()
        if isinstance(self.compute, CapturedGradients):
            self.compute.refresh()
        self.fused = self._find_fused()
        rank, world_size = self.processes.rank, self.processes.world_size
        batches = self.train.batches(state.epoch, state.step, rank=rank, world_size=world_size)
        alone = self.fused is not None  # beside a kernel, which has its own threads, torch's operators are short
        for batch in iterate_in_one_thread(batches, alone):
            if state.step == state.num_steps:
                raise ValueError(f"the loader yielded more than {state.num_steps} batches; expected its length")
            with one_thread(alone):
                self._train_step(batch)
            self._call("on_step_end")
            due |= self._is_due()
            if state.window:
                continue
            due = self._sync_requests(due)
            if state.should_stop:
                return
            if due and can_continue(self.train) and state.step < state.num_steps:
                self._checkpoint()
                due = False
        if state.step != state.num_steps:
            raise ValueError(f"the loader yielded {state.step} batches; expected its length, {state.num_steps}")

    def _train_step(self, batch: Batch) -> None:
        """Compute the gradients of a batch, and step the optimizer at the end of an accumulation window."""
        state, accumulate = self.state, self.config.accumulate_steps
        complete = (state.step + 1) % accumulate == 0 or state.step + 1 == state.num_steps
        # Gradients are averaged over the ranks. With accumulation, they are sums until the window is complete.
        examples = batch.num_own * self.processes.world_size
        weight = examples / batch.num_all if accumulate == 1 else examples
        with self.processes.synchronising(self.module, complete):
            images, targets = batch.images.to(self.device), batch.targets.to(self.device)
            loss = self.compute(images, targets) if weight == 1 else self._compute(images, targets, weight)
        state.add_step(loss, batch)
        if complete:
            state.lr = self.optimization.update(1 if accumulate == 1 else state.window, state.epoch)
            state.window = 0

    def _compute(self, images: Tensor, targets: Tensor, weight: float = 1) -> Tensor:
        """Compute the mean loss of a batch, and backpropagate `weight * loss`."""
        if self.fused and weight == 1 and (fused_loss := self.fused(images, targets)) is not None:
            return fused_loss
        with autocast(self.device, self.config.precision):
            outputs = check_output(self.module(images))
            if not isinstance(self.train, TensorLoader):  # whose targets were checked before the first step
                check_class_targets(targets, outputs, self.loss_fn)
            loss = check_loss(self.loss_fn(outputs, targets))
        torch.autograd.backward(self.optimization.scaler.scale(loss if weight == 1 else loss * weight))
        return loss.detach()

    def _can_capture(self) -> bool:
        """Return True if the gradients of a step can be captured as a CUDA graph."""
        config, model, enabled = self.config, self.state.model, self.config.cuda_graph
        if enabled is None:
            safe = isinstance(model, Accelerated) and model.cuda_graph_safe()
            enabled = safe and type(self.loss_fn) is nn.CrossEntropyLoss
        plain = config.compile is None and config.accumulate_steps == 1 and config.precision != "float16"
        single = self.processes.world_size == 1 and isinstance(self.train, TensorLoader)
        return enabled and plain and single and self.device.type == "cuda"

    def _find_fused(self) -> FusedGradients | None:
        """Return the model's fused loss-and-gradient kernel, if it has one for this run."""
        model, plain = self.state.model, self.config.precision in ("auto", "float32")
        if not plain or self.module is not model or not isinstance(model, Accelerated):
            return None
        return model.fused_gradients(self.loss_fn)

    def _end_epoch(self) -> None:
        """Validate, and write a checkpoint unless the final one follows immediately."""
        state, averaged = self.state, self.optimization.averaged
        state.check_weights()
        for model in (state.model, averaged):
            self.processes.broadcast_buffers(model)
        train_loss = self.processes.all_sum(state.loss_sum) / state.num_seen
        row: Row = {"epoch": state.epoch + 1, "lr": state.lr, "train_loss": train_loss}
        if self.val is not None:
            validation = validate(averaged, self.val, state)
            row["val_loss"] = validation.loss
            if validation.accuracy is not None:
                row["val_accuracy"] = validation.accuracy
        row = decode(self.processes.broadcast_from_main(lambda: encode(dict(row))))  # so that all ranks decide the same
        self.optimization.end_epoch(row)
        state.end_epoch(row, averaged)
        self._call("on_epoch_end", row)
        self._sync_requests()
        if not (state.should_stop or state.is_over):
            self._checkpoint()

    def _is_due(self) -> bool:
        """Return True if a checkpoint within the epoch is due."""
        every, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        steps_due = every is not None and self.state.step % every == 0
        return steps_due or (minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes)

    def _sync_requests(self, due: bool = False) -> bool:
        """Synchronise stop and checkpoint requests across ranks; return True if a checkpoint is due on any rank."""
        state = self.state
        self.signal, stop, any_due = self.processes.all_max(self.interrupt.received, state.should_stop, due)
        state.should_stop = bool(stop or self.signal)
        return bool(any_due)

    def _checkpoint(self) -> None:
        directory, state = self.config.checkpoint_dir, self.state
        self.saved_at = time.monotonic()
        if directory is None:
            return
        state.check_weights()
        content = self.snapshot.to_dict(gather=True)
        if state.is_main:
            add_checkpoint(directory, state.model, content, keep=self.config.keep_checkpoints)

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.snapshot.callbacks:
            getattr(callback, hook)(self.state, *arguments)
