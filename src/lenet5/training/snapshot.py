"""Snapshots of a training run: everything that a checkpoint holds besides the model's weights."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..data.sources import Source, can_continue
from ..models.pretrained import assign_tensors, check_tensors
from ..runtime.distributed import launch_id
from ..runtime.randomness import random_state, restore_random_state
from .callbacks import Callback
from .checkpoints import Checkpoint, check_packable, decode, encode
from .description import describe, describe_data, describe_loss, describe_source
from .form import check_form, check_optimizer_state, one_error, read_history
from .optimization import Optimization
from .state import TrainingState

# settings that may change on resume; a different device changes results by rounding only
_CHANGEABLE = (
    "device",
    "cuda_graph",
    "progress",
    "checkpoint_dir",
    "checkpoint_steps",
    "checkpoint_minutes",
    "keep_checkpoints",
)
_EXTENDABLE = ("max_epochs", "patience")
_COUNTERS = ("epoch", "step", "finished", "num_seen", "lr")


@dataclass(frozen=True)
class Snapshot:
    """The parts of a training run that a snapshot covers."""

    state: TrainingState
    optimization: Optimization
    train: Source
    callbacks: Sequence[Callback]
    description: dict[str, str]
    """What determines the run besides its settings."""

    @classmethod
    def of(cls, state: TrainingState, optimization: Optimization, train: Source, callbacks: Sequence[Callback]) -> Self:
        """Cover the parts of a run before its first step."""
        description = {
            "the source of batches": describe_source(train),
            "the loss": describe_loss(state.loss_fn),
            "the model": describe(state.model),
            "the data": describe_data(train),
            **optimization.description,
        }
        return cls(state, optimization, train, callbacks, description)

    def to_dict(self, *, gather: bool) -> dict[str, Any]:
        """Return the settings, the state of all parts, and, with `gather`, the state of each rank.

        With `gather`, every rank must call this.

        Raises
        ------
        ValueError
            Called in mid-accumulation, where partial gradients would be lost.
        TypeError
            A checkpoint cannot hold the state of a callback.
        """
        state = self.state
        if state.window:
            raise ValueError(
                f"epoch {state.epoch + 1}, step {state.step} of {state.num_steps} is in the middle of an accumulation;"
                " expected a call between two optimizer steps"
            )
        callbacks = [(type(callback).__name__, callback.state_dict()) for callback in self._stateful()]
        for name, callback_state in callbacks:
            check_packable(callback_state, f"the state of the callback {name}")
        own = {"random": random_state(state.device), "loss_sum": state.loss_sum, "loader": self.train.state_dict()}
        together = state.processes.world_size > 1 and gather
        return {
            **{name: getattr(state, name) for name in _COUNTERS},
            "launch": launch_id(),
            "config": state.config.to_dict(),
            "num_steps": state.num_steps,
            "description": self.description,
            "rows": [dict(row) for row in state.history.rows],
            "best_epoch": state.history.best_epoch,
            "best": state.best,
            "last": state.last,
            "parts": {name: part.state_dict() for name, part in self.optimization.parts.items()},
            "structure": self.optimization.structure(),
            "callbacks": callbacks,
            "ranks": [decode(data) for data in state.processes.all_gather_bytes(encode(own))] if together else [own],
        }

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take over the run and the weights of a checkpoint, or nothing.

        Raises
        ------
        ValueError
            The checkpoint belongs to a different run, or its state is malformed.
        """
        with one_error(checkpoint.path):
            own = decode(encode(self.to_dict(gather=False)))  # with the types that a checkpoint has
            self._check(checkpoint.state)
            check_form(checkpoint.state, own)
            check_optimizer_state(checkpoint.state["parts"]["optimizer"]["state"], self.optimization.trained)
            try:
                self._restore(checkpoint.state)
                self._assign_weights(checkpoint)
            except BaseException:
                self._restore({**own, "ranks": own["ranks"] * self.state.processes.world_size})
                raise

    def _assign_weights(self, checkpoint: Checkpoint) -> None:
        state = self.state
        if state.best is not None:
            check_tensors(state.model, state.best, checkpoint.path)
        tensors = checkpoint.tensors if state.finished else state.last or checkpoint.tensors
        assign_tensors(state.model, tensors, checkpoint.path)  # last, when nothing else can fail
        state.last = state.last if state.finished else None

    def _check(self, saved: dict[str, Any]) -> None:
        """Raise ValueError unless a saved snapshot belongs to this run: same settings, data and callbacks."""
        names = [type(callback).__name__ for callback in self._stateful()]
        _check_equal("the list of callbacks with a state", [name for name, _ in saved["callbacks"]], names)
        for name, value in self.state.config.to_dict().items():
            if name not in (*_CHANGEABLE, *_EXTENDABLE):
                _check_equal(name, saved["config"].get(name), value)
        batches = "the data changed: the number of batches per epoch"
        _check_equal(batches, saved["num_steps"], self.state.num_steps)
        _check_equal("the structure of the optimizer", saved["structure"], self.optimization.structure())
        longer = saved["config"]["max_epochs"] != self.state.config.max_epochs  # see `_check_length`
        for name, text in self.description.items():
            if text and saved["description"][name] and not (longer and name == "the schedule"):
                _check_text(name, saved["description"][name], text)
        self._check_length(saved)
        if saved["step"] and any(rank["loader"] for rank in saved["ranks"]):
            world_size = self.state.processes.world_size
            _check_equal("the number of processes, in the middle of a loader's epoch", len(saved["ranks"]), world_size)

    def _restore(self, saved: dict[str, Any]) -> None:
        """Restore the result of `to_dict`, after `_check`.

        If the world size has changed, rank 0 takes over the loss sums of all ranks, and added ranks keep the random
        state of their own seeds.
        """
        state, rank, world_size = self.state, self.state.processes.rank, self.state.processes.world_size
        for name, part in self.optimization.parts.items():
            part.load_state_dict(saved["parts"][name])
        for callback, (_, callback_state) in zip(self._stateful(), saved["callbacks"], strict=True):
            callback.load_state_dict(callback_state)
        state.history = read_history(saved)
        state.best = saved["best"] and {name: tensor.to(state.device) for name, tensor in saved["best"].items()}
        for name in _COUNTERS:
            setattr(state, name, saved[name])
        state.last = saved["last"]
        self._reopen(saved)
        if state.finished:
            state.history.finish(restore_best=state.config.restore_best)
        ranks = saved["ranks"]
        if len(ranks) == world_size:
            state.loss_sum = ranks[rank]["loss_sum"].to(state.loss_sum)
            self.train.load_state_dict(ranks[rank]["loader"])
        elif rank == 0:
            state.loss_sum = sum(saved_rank["loss_sum"] for saved_rank in ranks).to(state.loss_sum)
        if rank < len(ranks):
            restore_random_state(ranks[rank]["random"], state.device)

    def _check_length(self, saved: dict[str, Any]) -> None:
        """Raise ValueError if a changed `max_epochs` or `patience` would have changed the run so far."""
        before, now = saved["config"], self.state.config
        if now.patience is not None and (before["patience"] or math.inf) > now.patience:
            _check_equal("patience", before["patience"], now.patience)
        if now.max_epochs < saved["epoch"]:
            _check_equal("max_epochs", before["max_epochs"], now.max_epochs)
        per_epoch = math.ceil(saved["num_steps"] / now.accumulate_steps)
        done = saved["epoch"] * per_epoch + math.ceil(saved["step"] / now.accumulate_steps)
        changed = now.max_epochs != before["max_epochs"]
        if changed and not self.optimization.continues(before["max_epochs"] * per_epoch, done):
            raise ValueError(
                f"the checkpoint belongs to a different run: max_epochs was {before['max_epochs']}, now"
                f" {now.max_epochs}, and the schedule or the weight average would have begun differently; expected"
                f" {before['max_epochs']}. Runs with schedule='constant' or a scheduler of your own can become longer;"
                " otherwise, train a new run from the weights: Trainer.load(path).model"
            )
        if changed and saved["finished"] and saved["step"] and not can_continue(self.train):
            raise ValueError(
                f"max_epochs was {before['max_epochs']}, now {now.max_epochs}, but the run ended in the middle of an"
                " epoch, where this loader cannot continue; expected the dataset itself to train on"
            )

    def _reopen(self, saved: dict[str, Any]) -> None:
        """Let a finished run go on if it has become longer; its last weights are then those to train."""
        state, before = self.state, saved["config"]
        longer = state.config.max_epochs > before["max_epochs"] or state.config.patience != before["patience"]
        if state.finished and longer:
            state.finished = False
            state.finished = state.is_over  # patience may have run out even so

    def _stateful(self) -> list[Callback]:
        return [callback for callback in self.callbacks if callback.state_dict()]


def _check_equal(name: str, saved: object, current: object) -> None:
    if saved != current:
        raise ValueError(f"the checkpoint belongs to a different run: {name} was {saved!r}, now {current!r}")


def _check_text(name: str, saved: str, current: str) -> None:
    """Compare descriptions of several lines; the message has the first lines that differ."""
    for before, now in itertools.zip_longest(saved.splitlines(), current.splitlines()):
        _check_equal(name, before and before.strip(), now and now.strip())
