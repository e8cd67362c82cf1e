"""The Trainer: `fit` runs epochs, an epoch runs steps."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..metrics import Evaluation
from ..models import load_model
from ..models.pretrained import TENSORS, load_tensors
from .callbacks import Callback
from .checkpoint import add_checkpoint, checkpoint_to_resume, find_checkpoint, write_checkpoint
from .config import TrainerConfig
from .device import autocast, resolve_device
from .history import History, Row
from .inference import Predictions, images_of, predict_logits, predict_pairs
from .interrupts import Interrupt, interruptible
from .optimization import OptimizerFactory, SchedulerFactory, make_optimizer
from .randomness import seeded
from .sources import EVALUATION_BATCH_SIZE, Data, Source, as_source, warn_unresumable
from .state import LOSS_CHECK_STEPS, TrainingState


class Trainer:
    """Train, evaluate and use a classifier.

    Parameters
    ----------
    model
        Any module that maps a batch of images to logits (N, num_classes). It is moved to the device.
    config
        The settings; None for the defaults. A device that is not here is a ValueError.
    callbacks
        Called as the training goes on.
    loss_fn
        Maps logits and targets to the mean loss of a batch; None for cross-entropy.
    optimizer
        An optimizer of the model's parameters, or what makes one of them; None for AdamW. With an optimizer of your own
        the learning rate stays as it says, unless a scheduler changes it.
    lr_scheduler
        A scheduler of that optimizer, or what makes one of (optimizer, number of optimizer steps); it is advanced after
        each optimizer step. None for one cycle with AdamW.

    Attributes
    ----------
    device
        Where the model is.
    state
        How far the latest training is; None before the first.
    should_stop
        Set to True, it ends the training after the current step.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainerConfig | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: Optimizer | OptimizerFactory | None = None,
        lr_scheduler: LRScheduler | SchedulerFactory | None = None,
    ) -> None:
        if not isinstance(model, nn.Module) or not isinstance(config, TrainerConfig | None):
            found = f"{type(model).__name__} and {type(config).__name__}"
            raise TypeError(f"model and config are {found}; expected a torch.nn.Module and a TrainerConfig")
        self.config = config or TrainerConfig()
        self.device = resolve_device(self.config.device)
        self.model = model.to(self.device)
        self.callbacks = list(callbacks)
        self.loss_fn = loss_fn or nn.CrossEntropyLoss()
        if isinstance(self.loss_fn, nn.Module):
            self.loss_fn.to(self.device)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.state: TrainingState | None = None
        self.should_stop = False
        self._loaded: dict[str, Any] = {"config": self.config.to_dict(), "rows": [], "best_epoch": None}

    @property
    def history(self) -> History:
        """The epochs of the latest training."""
        return self.state.history if self.state else History(self._loaded["rows"], self._loaded["best_epoch"])

    def fit(self, train: Data, val: Data | None = None, *, resume: str | os.PathLike[str] | None = None) -> History:
        """Train the model on `train`, and look at `val` after each epoch.

        Ctrl-C ends the training after the current step, with a checkpoint where the settings name a folder for them,
        and the model as that step left it; a second Ctrl-C raises at once. SIGTERM does the same, then exits with 143.

        Parameters
        ----------
        train, val
            An ImageDataset, a TensorLoader, a torch Dataset or a DataLoader. Batches are pairs of images, as the model
            takes them, and int64 targets (N,).
        resume
            A checkpoint, or a folder of them, to continue from as if the training had never stopped; "auto" for the
            newest in the settings' `checkpoint_dir`, or a fresh start where there is none.

        Returns
        -------
        History
            One row per epoch. The model has the weights of the best epoch, if there was validation.

        Raises
        ------
        ValueError
            The data is empty or does not fit the model, or the checkpoint is of another training.
        FloatingPointError
            The loss became NaN or infinite; the message says where.
        """
        config = self.config
        train_source = as_source(train, self.device, batch_size=config.batch_size, shuffle=True, seed=config.seed)
        val_source = None if val is None else as_source(val, self.device)
        if config.patience is not None and val is None:
            raise ValueError(f"patience is {config.patience}, but there is no validation data; expected some")
        if config.checkpoint_dir is not None:
            warn_unresumable(train_source)
        self.should_stop = False
        with seeded(config.seed, self.device), interruptible() as interrupt:
            self.state = state = self._start(train_source, resume)
            self._call("on_fit_start")
            try:
                while not (self.should_stop or state.is_over(config)):
                    self._run_epoch(state, train_source, interrupt)
                    if state.step == state.num_steps:
                        self._end_epoch(state, val_source)
                if not state.finished:
                    state.finish(self.model, config, interrupted=interrupt.received is not None)
                    if state.finished or state.step == 0 or train_source.resumable:
                        self._checkpoint(state)
            finally:
                self._call("on_fit_end", state.history)
        if interrupt.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        return state.history

    def _start(self, train: Source, resume: str | os.PathLike[str] | None) -> TrainingState:
        """Return the state of a training before its first step, or the one to resume, with the model's weights."""
        num_updates = self.config.max_epochs * math.ceil(len(train) / self.config.accumulate_steps)
        optimizer = make_optimizer(self.model, self.config, num_updates, self.optimizer, self.lr_scheduler)
        state = TrainingState(*optimizer, len(train), str(train), self.device)
        self.model.zero_grad()  # what an earlier training, or its error, left there
        found = checkpoint_to_resume(resume, self.config.checkpoint_dir, within_epoch=train.resumable)
        if found is not None:
            folder, saved = found
            state.check_same(saved, self.config, self.callbacks)
            load_tensors(self.model, folder / TENSORS, sha256=None)  # its hash was checked with the others
            state.restore(saved, self.callbacks)
            self.model.train(not state.finished)
        return state

    def _run_epoch(self, state: TrainingState, train: Source, interrupt: Interrupt) -> None:
        """Train to the end of the epoch, or to where a stop was asked for."""
        every, due = self.config.checkpoint_steps, False
        self.model.train()
        for images, targets in train.pairs(state.epoch, state.step):
            if state.step == state.num_steps:
                raise ValueError(f"the loader gave more than {state.num_steps} batches, which its length is")
            self._train_step(state, images, targets, train)
            self._call("on_step_end")
            due |= every is not None and state.step % every == 0
            if state.window:
                continue
            self.should_stop |= interrupt.received is not None
            if self.should_stop:
                return
            if due and train.resumable and state.step < state.num_steps:
                self._checkpoint(state)
                due = False
        if state.step != state.num_steps:
            raise ValueError(f"the loader gave {state.step} batches; expected {state.num_steps}, as its length says")

    def _train_step(self, state: TrainingState, images: Tensor, targets: Tensor, train: Source) -> None:
        """Take one batch: its gradients, and the optimizer's step if it completes a window."""
        accumulate, count = self.config.accumulate_steps, len(targets)
        with autocast(self.device, self.config.precision):
            logits = self.model(images.to(self.device))
            if isinstance(self.loss_fn, nn.CrossEntropyLoss) and targets.ndim == 1:
                train.check_targets(targets, logits.shape[1])
            loss = self.loss_fn(logits, targets.to(self.device))
        (loss if accumulate == 1 else loss * count).backward()
        state.loss_sum += loss.detach() * count
        state.num_seen += count
        state.window += count
        state.step += 1
        last = state.step == state.num_steps
        if self.device.type == "cpu" or last or state.step % LOSS_CHECK_STEPS == 0:
            state.check_loss(images)
        if last or state.step % accumulate == 0:
            state.update(self.model, self.config)

    def _end_epoch(self, state: TrainingState, val: Source | None) -> None:
        """Validate, and write the epoch's checkpoint, unless that of the end follows at once."""
        state.check_weights(self.model)
        row = Row(epoch=state.epoch + 1, lr=state.lr, train_loss=state.loss_sum.item() / state.num_seen)
        if val is not None:
            evaluation = self._evaluate(val)
            assert evaluation.loss is not None
            row["val_loss"], row["val_accuracy"] = evaluation.loss, evaluation.accuracy
        state.end_epoch(row, self.model, self.config.monitor)
        self._call("on_epoch_end", row)
        if not (self.should_stop or state.is_over(self.config)):
            self._checkpoint(state)

    def _checkpoint(self, state: TrainingState) -> None:
        if self.config.checkpoint_dir is not None:
            state.check_weights(self.model)
            content = state.to_dict(self.config, self.callbacks)
            add_checkpoint(self.config.checkpoint_dir, self.model, content, keep=self.config.keep_checkpoints)

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def evaluate(self, data: Data) -> Evaluation:
        """Compare the model's answers with the targets of a whole set, given as for `fit`.

        Raises
        ------
        ValueError
            The data is empty, does not fit the model, or holds NaN or infinite values.
        """
        return self._evaluate(as_source(data, self.device))

    def _evaluate(self, source: Source) -> Evaluation:
        logits, targets = predict_pairs(self.model, source, self.device, self.config.precision)
        source.check_targets(targets, logits.shape[1])
        with torch.inference_mode():
            loss = self.loss_fn(logits.to(self.device), targets.to(self.device)).item()
        return Evaluation(targets, logits.double().softmax(1), classes=source.classes, loss=loss)

    def predict(self, images: Tensor | Data) -> Predictions:
        """Label images.

        Parameters
        ----------
        images
            A tensor or array (N, C, H, W) as the model takes it, normalised; or data as for `fit`, targets or not.

        Raises
        ------
        ValueError
            The images do not fit the model, there are none, or a value is NaN or infinite.
        """
        if isinstance(images, Tensor | np.ndarray):
            images = torch.split(torch.as_tensor(images), EVALUATION_BATCH_SIZE) if len(images) else ()
        batches = images_of(as_source(images, self.device).epoch(0))
        logits = predict_logits(self.model, batches, self.device, self.config.precision)
        return Predictions(logits.argmax(1), logits.double().softmax(1).float())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and the state of its training to a folder, in the place of one that is there."""
        content = self.state.to_dict(self.config, self.callbacks) if self.state else self._loaded
        write_checkpoint(path, self.model, content)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, model: nn.Module | None = None, device: str | None = None, **options: Any
    ) -> Trainer:
        """Make a Trainer of a folder that `save` or a training wrote, ready to evaluate and predict.

        Parameters
        ----------
        path
            The folder. To go on training, give it to `fit` as `resume`.
        model
            A module whose tensors are to be replaced; None where the folder holds a model of this package.
        device
            Takes the place of the device in the saved settings.
        options
            As for the constructor: `callbacks`, `loss_fn`, `optimizer`, `lr_scheduler`.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        ValueError
            A file is damaged, or the model is another.
        """
        folder, saved = find_checkpoint(Path(path))
        if model is None:
            model = load_model(folder)
        else:
            load_tensors(model, folder / TENSORS, sha256=None)  # its hash was checked with the others
        config = TrainerConfig(**saved["config"])
        trainer = cls(model.eval(), replace(config, device=device or config.device), **options)
        trainer._loaded = saved
        return trainer
