"""The Trainer: `fit` prepares a run and hands it to the loop; `evaluate` and `predict` delegate to `inference`."""

import html
import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..data.loader import derive_seed
from ..data.sources import Data, Source, as_source, can_continue, evaluation_source
from ..inference import Predictions, evaluate, predict
from ..metrics.report import Evaluation
from ..models.pretrained import assign_tensors, load_model
from ..runtime.acceleration import LossFunction
from ..runtime.device import Device, resolve_device
from ..runtime.distributed import Processes, is_main_process, join_processes, local_rank
from ..runtime.interrupts import Interrupt, interruptible
from ..runtime.randomness import deterministic, seeded
from ..storage import StrPath, as_path
from ..wrappers import unwrapped
from .callbacks import Callback
from .checkpoints import checkpoint_to_resume, claimed_folder, find_checkpoint, write_checkpoint
from .config import TrainerConfig
from .form import read_results
from .history import History
from .loop import Loop
from .optimization import AnyOptimizer, AnyScheduler, Optimization
from .preflight import check_arguments, check_run, warn_of_whole_epochs
from .progress import with_progress
from .snapshot import Snapshot
from .state import TrainingState


class Trainer:
    """Training, evaluation and prediction for a classifier.

    Parameters
    ----------
    model
        Any module that maps a batch of images to logits (N, num_classes). `fit`, `evaluate` and `predict` move it to
        `device`. Inside `torch.compile` or `DataParallel`, `fit` trains it through its wrapper; evaluation and
        checkpoints use the module itself.
    config
        The settings; None for the defaults.
    callbacks
        Hooks into the run, called in order.
    loss_fn
        Maps logits and targets to the mean loss of a batch; None for cross-entropy. `fit` validates by it too.
    optimizer
        An optimizer of the model's parameters, or a factory that takes the parameters. None for AdamW with the
        configured schedule. Your own optimizer keeps its learning rate unless you pass a scheduler.
    lr_scheduler
        A scheduler of that optimizer, or a factory that takes the optimizer and the number of optimizer steps; one of
        torch's classes, or a `functools.partial` of it, takes the optimizer alone. It advances after each optimizer
        step. A ReduceLROnPlateau advances after each epoch instead, by the validation accuracy if its mode is "max",
        else by the validation loss, or the training loss without validation data.

    Raises
    ------
    TypeError
        An argument is of an unsupported type.
    ValueError
        The device is not available, the backend of `compile` is unknown, `loss_fn` and `label_smoothing` are both set,
        or `loss_fn` does not return a mean.

    Attributes
    ----------
    model
        The model, without its wrapper.
    device
        The device of the model.
    state
        The state of the latest run. In a new Trainer, the state before the first step.

    Examples
    --------
    >>> digits = lenet5.load_data("digits")
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=5))
    >>> history = trainer.fit(digits.train, digits.val)
    >>> trainer.evaluate(digits.test).accuracy > 0.9
    True
    >>> labels = trainer.predict(digits.test).labels
    >>> trainer.save("trained")
    >>> trainer = lenet5.Trainer.load("trained")
    """

    config: TrainerConfig
    device: torch.device
    model: nn.Module
    loss_fn: LossFunction
    callbacks: list[Callback]
    optimizer: AnyOptimizer
    lr_scheduler: AnyScheduler
    state: TrainingState

    def __init__(
        self,
        model: nn.Module,
        config: TrainerConfig | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        loss_fn: LossFunction | None = None,
        optimizer: AnyOptimizer = None,
        lr_scheduler: AnyScheduler = None,
    ) -> None:
        factories = {"optimizer": optimizer, "lr_scheduler": lr_scheduler}
        check_arguments(model, config, callbacks, loss_fn, factories)
        self.config = config or TrainerConfig()
        self.device = resolve_device(self.config.device, local_rank())
        self.model, self._given_model = unwrapped(model), model
        self.loss_fn = loss_fn or nn.CrossEntropyLoss()
        self.callbacks = list(callbacks)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.state = self._new_state(self.config, Processes())
        self._run: Snapshot | None = None
        self._loaded: dict[str, Any] = {"config": self.config.to_dict(), "rows": [], "best_epoch": None}

    def __repr__(self) -> str:
        progress = f"{len(self.history)} of {self.config.max_epochs} epochs"
        return f"<Trainer: {type(self.model).__name__} on {self.device}, {progress}>"

    def _repr_html_(self) -> str:
        content = self.history if len(self.history) else self.config
        return f"<p>{html.escape(repr(self).strip('<>'))}</p>{content._repr_html_() or ''}"

    @property
    def history(self) -> History:
        """The history of the latest run."""
        return self.state.history

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, which alone writes and prints; True without torchrun."""
        return is_main_process()

    def fit(self, train: Data, val: Data | None = None, *, resume: StrPath | bool | None = None) -> History:
        """Train the model, and validate it after each epoch.

        A terminal shows a progress bar, and a notebook a live table; see `TrainerConfig.progress`.

        Ctrl-C stops the run after the current optimizer step and writes a checkpoint if `checkpoint_dir` is set. A
        second Ctrl-C raises KeyboardInterrupt at once. SIGTERM stops the run in the same way and then exits with code
        143.

        Under torchrun, every rank must call `fit` with the same data. The ranks share each batch, so that the settings
        have the same meaning for any world size. Only rank 0 writes. After torchrun restarts the processes, the run
        resumes from its latest checkpoint in `checkpoint_dir`, regardless of `resume`.

        Parameters
        ----------
        train, val
            An ImageDataset, a TensorLoader, a torch or Hugging Face dataset, a DataLoader or another iterable of
            batches, for `train` with a length. Batches are pairs of images, as the model expects them, and targets, as
            the loss expects them. Validation covers each example once: see `lenet5.evaluate`. It yields `val_loss`,
            and `val_accuracy` if the targets are the indices of classes (N,).
        resume
            A checkpoint, or a folder of checkpoints, to resume exactly. "auto" or True for the latest one in
            `checkpoint_dir`, or a new run if there is none. `max_epochs` and `patience` may have grown since, even
            after the end of the run, if the learning rates so far do not depend on them.

        Returns
        -------
        History
            One row per epoch. After a complete run with validation data, the model has the weights of the best epoch,
            unless `restore_best` is False.

        Raises
        ------
        ValueError
            The data does not fit the model, the checkpoint is damaged or of a different run, or its folder is in use.
        TypeError
            The data is of an unsupported type.
        FileNotFoundError
            There is no valid checkpoint at `resume`.
        FloatingPointError
            The loss or a weight became NaN or infinite. The message names the epoch and the step.

        Examples
        --------
        >>> trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=2, checkpoint_dir="checkpoints"))
        >>> trainer.fit(lenet5.load_data("digits").train, resume="auto")  # continues where a run stopped
        <History: 2 epochs, best None>
        """
        config, device = self.config, self.device
        if config.fast_dev_run:
            config, resume = replace(config, max_epochs=1, checkpoint_dir=None), None
        check_run(self.model, config, val)
        processes = join_processes(device)
        seed = config.seed if processes.is_main else derive_seed(config.seed, processes.rank) % 2**32
        alone = processes.world_size == 1  # torchrun forwards a Ctrl-C that the processes have already received
        self._move()
        claim, determinism = claimed_folder(config.checkpoint_dir, processes), deterministic(config.deterministic)
        with claim, seeded(seed, device), determinism, interruptible(second_raises=alone) as interrupt:
            limit, settings = (2 if config.fast_dev_run else None), (config.batch_size, config.seed)
            batches = as_source(train, device, *settings, shuffle=True, limit=limit or config.overfit_batches)
            val_batches = None if val is None else evaluation_source(val, device, limit=limit, repeated=True)
            warn_of_whole_epochs(config, train, batches)
            self._run = self._prepare(self._new_state(config, processes), batches, resume)
            self.state = self._run.state
            self._train(self._run, val_batches, interrupt)
        if interrupt.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        return self.state.history

    def _prepare(self, state: TrainingState, train: Source, resume: StrPath | bool | None) -> Snapshot:
        """Prepare a run; if there is a checkpoint to resume, restore the run and the model's weights from it."""
        config = state.config
        state.begin(len(train))
        num_updates = config.max_epochs * math.ceil(len(train) / config.accumulate_steps)
        optimization = Optimization(self.model, config, num_updates, self.optimizer, self.lr_scheduler)
        state.optimizer = optimization.optimizer
        self.model.zero_grad()  # an earlier run may have left gradients
        callbacks = with_progress(self.callbacks, config.progress)
        run, mid_epoch = Snapshot.of(state, optimization, train, callbacks), can_continue(train)
        checkpoint = checkpoint_to_resume(resume, config.checkpoint_dir, state.processes, mid_epoch=mid_epoch)
        if checkpoint is not None:
            run.resume(checkpoint)
            self.model.train(not state.finished)
        return run

    def _train(self, run: Snapshot, val: Source | None, interrupt: Interrupt) -> None:
        """Run the loop. The wrapped module is released afterwards, because it would delay the exit of other ranks."""
        given = unwrapped(self._given_model) is self.model and run.state.processes.world_size == 1
        module: Any = self._given_model if given else run.state.processes.wrap(self.model)
        module = module if self.config.compile is None else torch.compile(module, backend=self.config.compile)
        Loop(run, module, val, interrupt).run()

    def evaluate(self, data: Data) -> Evaluation:
        """Evaluate the model on a whole dataset; see `lenet5.evaluate`."""
        self._move()
        return evaluate(self.model, data, device=self.device, precision=self.config.precision, loss_fn=self.loss_fn)

    def predict(self, images: Tensor | npt.NDArray[Any] | Data) -> Predictions:
        """Predict the class of each image; see `lenet5.predict`."""
        return predict(self.model, images, device=self.device, precision=self.config.precision)

    def save(self, path: StrPath) -> None:
        """Write a checkpoint of the model and its run to a folder; an existing checkpoint there is replaced.

        Under torchrun, rank 0 writes, but every rank must call this until the run has finished.

        Raises
        ------
        ValueError
            Called in mid-accumulation, or the path exists and is not a checkpoint.
        """
        content = self._loaded
        if self._run is not None and (self.is_main or not self.state.finished):
            content = self._run.to_dict(gather=not self.state.finished)
        if self.is_main:
            write_checkpoint(path, self.model, content)

    @classmethod
    def load(cls, path: StrPath, *, model: nn.Module | None = None, device: Device = None, **options: Any) -> Self:
        """Create a Trainer from a checkpoint, ready to evaluate and predict.

        From the checkpoint of an unfinished run, the model gets the weights being trained, not their average or the
        weights of the best epoch.

        Parameters
        ----------
        path
            A checkpoint, or a folder of checkpoints. To resume training, pass it to `fit` as `resume` instead.
        model
            A module to load the tensors into. None if the checkpoint holds a model of this package.
        device
            Replaces the device in the saved settings, unless it is None.
        options
            Other arguments of the constructor: `callbacks`, `loss_fn`, `optimizer`, `lr_scheduler`.

        Raises
        ------
        FileNotFoundError
            There is no valid checkpoint at the path.
        ValueError
            The checkpoint is damaged, or does not fit the model.
        """
        checkpoint = find_checkpoint(as_path(path))
        config, history = read_results(checkpoint)
        if model is None:
            model = load_model(checkpoint.path)
        else:
            assign_tensors(model, checkpoint.tensors, checkpoint.path)
        trainer = cls(model.eval(), replace(config, device=device or config.device), **options)
        trainer._loaded, trainer.state.history = checkpoint.state, history
        return trainer

    def _new_state(self, config: TrainerConfig, processes: Processes) -> TrainingState:
        return TrainingState(self.model, config, self.device, self.loss_fn, processes)

    def _move(self) -> None:
        """Move the model and the loss function to the device."""
        for module in (self.model, self.loss_fn):
            if isinstance(module, nn.Module):
                module.to(self.device)
