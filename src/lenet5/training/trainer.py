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

from ..data.loader import derive_seed
from ..data.sources import EVALUATION_BATCH_SIZE, Data, Source, as_source, warn_unresumable
from ..metrics import Evaluation
from ..models import load_model
from ..models.pretrained import assign_tensors
from ..runtime.checkpoint import shared_checkpoint, write_checkpoint
from ..runtime.device import resolve_device
from ..runtime.distributed import join_processes, local_rank
from ..runtime.interrupts import Interrupt, interruptible
from ..runtime.randomness import deterministic, seeded
from .callbacks import Callback
from .checkpoints import checkpoint_to_resume, find_checkpoint
from .config import TrainerConfig
from .history import History
from .inference import Predictions, evaluate, images_of, predict_logits
from .loop import Loop
from .optimization import Optimization, OptimizerFactory, SchedulerFactory
from .state import TrainingState


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
        An optimizer of the model's parameters, or what makes one of them; None for AdamW with the schedule of the
        settings. With an optimizer of your own the learning rate stays as it says, unless a scheduler changes it.
    lr_scheduler
        A scheduler of that optimizer, or what makes one of (optimizer, number of optimizer steps); it is advanced after
        each optimizer step.

    Attributes
    ----------
    device
        Where the model is.
    state
        How far the latest training is; None before the first.
    should_stop
        Set to True, it ends the training after the current step.
    processes
        The processes that train together; of them this one has the number `processes.rank`.
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
        config = config or TrainerConfig()
        if config.fast_dev_run:
            config = replace(config, max_epochs=1, checkpoint_dir=None)
        if loss_fn is not None and config.label_smoothing:
            raise ValueError("there are a loss_fn and a label_smoothing; expected one of the two")
        if config.compile is not None and config.compile not in torch.compiler.list_backends(()):
            known = ", ".join(torch.compiler.list_backends())
            raise ValueError(f"compile is {config.compile!r}; expected a backend of torch.compile, such as {known}")
        self.config = config
        self.device = resolve_device(config.device, local_rank())
        self.processes = join_processes(self.device)
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

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and shows: the only one, or the first under torchrun."""
        return self.processes.rank == 0

    def fit(self, train: Data, val: Data | None = None, *, resume: str | os.PathLike[str] | None = None) -> History:
        """Train the model on `train`, and look at `val` after each epoch.

        Ctrl-C ends the training after the current step, with a checkpoint where the settings name a folder for them,
        and the model as that step left it; a second Ctrl-C raises at once. SIGTERM does the same, then exits with 143.

        Under torchrun every process calls `fit` with the same data. They share each batch, so that the settings mean
        the same for any number of them, and validate each example once. The first one writes. A process that torchrun
        started anew continues from the newest checkpoint of its settings' folder, whatever `resume` says.

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
        config, device, rank = self.config, self.device, self.processes.rank
        if config.patience is not None and val is None:
            raise ValueError(f"patience is {config.patience}, but there is no validation data; expected some")
        self.should_stop = False
        seed = config.seed if rank == 0 else derive_seed(config.seed, rank) % 2**32
        alone = self.processes.size == 1  # torchrun passes a Ctrl-C on to those that heard it already
        with (
            seeded(seed, device),
            deterministic(config.deterministic),
            interruptible(second_raises=alone) as interrupt,
        ):
            train_source = as_source(
                train, device, batch_size=config.batch_size, shuffle=True, seed=config.seed, limit=config.limit
            )
            val_source = None if val is None else as_source(val, device, limit=2 if config.fast_dev_run else None)
            if config.checkpoint_dir is not None:
                warn_unresumable(train_source)
            self.state = self._start(train_source, None if config.fast_dev_run else resume)
            self._run(self.state, train_source, val_source, interrupt)
        if interrupt.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        return self.state.history

    def _run(self, state: TrainingState, train: Source, val: Source | None, interrupt: Interrupt) -> None:
        """Train, with a module that lives no longer than that: at a process's end it would hold up the others."""
        module: Any = self.processes.wrap(self.model)
        if self.config.compile is not None:
            module = torch.compile(module, backend=self.config.compile)
        Loop(self, module, state, train, val, interrupt).run()

    def _start(self, train: Source, resume: str | os.PathLike[str] | None) -> TrainingState:
        """Return the state of a training before its first step, or the one to resume, with the model's weights."""
        config, processes = self.config, self.processes
        num_updates = config.max_epochs * math.ceil(len(train) / config.accumulate_steps)
        optimization = Optimization(self.model, config, num_updates, self.optimizer, self.lr_scheduler)
        state = TrainingState(optimization, train, self.device)
        self.model.zero_grad()  # what an earlier training, or its error, left there
        found = shared_checkpoint(
            lambda: checkpoint_to_resume(resume, config.checkpoint_dir, within_epoch=train.resumable), processes
        )
        if found is not None:
            state.check_same(found.state, config, self.callbacks, processes.size)
            state.restore(found.state, self.callbacks, processes.rank, processes.size)
            assign_tensors(self.model, found.tensors, found.path)  # at the end, when nothing else can fail
            self.model.train(not state.finished)
        return state

    def evaluate(self, data: Data) -> Evaluation:
        """Compare the model's answers with the targets of a whole set, given as for `fit`.

        Under torchrun every process must call it; they share the work, and all get the same report.

        Raises
        ------
        ValueError
            The data is empty, does not fit the model, or holds NaN or infinite values.
        """
        return evaluate(self, as_source(data, self.device), self.model)

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
        """Write the model and the state of its training to a folder, in the place of one that is there.

        Under torchrun the first process writes. While a training goes on, every process must call it.

        Raises
        ------
        ValueError
            The optimizer's step is half accumulated, or the path holds something other than a checkpoint.
        """
        state = self.state
        if state is None:
            content = self._loaded
        elif self.is_main or not state.finished:
            content = state.to_dict(self.config, self.callbacks, self.processes)
        if self.is_main:
            write_checkpoint(path, self.model, content)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, model: nn.Module | None = None, device: str | None = None, **options: Any
    ) -> Trainer:
        """Make a Trainer of a folder that `save` or a training wrote, ready to evaluate and predict.

        The checkpoint of a training that has not ended has the weights as they are trained; their average, if there is
        one, is beside them for the resume.

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
        found = find_checkpoint(Path(path))
        if model is None:
            model = load_model(found.path)
        else:
            assign_tensors(model, found.tensors, found.path)
        config = TrainerConfig(**found.state["config"])
        trainer = cls(model.eval(), replace(config, device=device or config.device), **options)
        trainer._loaded = found.state
        return trainer
