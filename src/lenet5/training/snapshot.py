"""Snapshots of a training run: everything that a checkpoint holds besides the model's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data.sources import Source
from ..runtime.distributed import launch_id
from ..runtime.randomness import random_state, restore_random_state
from .callbacks import Callback
from .checkpoints import check_packable, decode, encode
from .history import History
from .optimization import Optimization
from .state import TrainingState

# settings that may change on resume; a different device changes results by rounding only
_CHANGEABLE = ("device", "cuda_graph", "checkpoint_dir", "checkpoint_steps", "checkpoint_minutes", "keep_checkpoints")
_COUNTERS = ("epoch", "step", "finished", "num_seen", "lr")


@dataclass(frozen=True)
class Snapshot:
    """The parts of a training run that a snapshot covers."""

    state: TrainingState
    optimization: Optimization
    train: Source
    callbacks: Sequence[Callback]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, the state of all parts, and the state of each rank.

        Every rank must call this, unless the run is finished.

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
        together = state.processes.world_size > 1 and not state.finished
        return {
            **{name: getattr(state, name) for name in _COUNTERS},
            "launch": launch_id(),
            "config": state.config.to_dict(),
            "num_steps": state.num_steps,
            "data": repr(self.train),
            "rows": [dict(row) for row in state.history.rows],
            "best_epoch": state.history.best_epoch,
            "best": state.best,
            "parts": {name: part.state_dict() for name, part in self.optimization.parts.items()},
            "structure": self.optimization.structure(),
            "callbacks": callbacks,
            "ranks": [decode(data) for data in state.processes.all_gather_bytes(encode(own))] if together else [own],
        }

    def check(self, saved: dict[str, Any]) -> None:
        """Raise ValueError unless a saved snapshot belongs to this run: same settings, data and callbacks."""
        _check_equal("the number of batches per epoch", saved["num_steps"], self.state.num_steps)
        names = [type(callback).__name__ for callback in self._stateful()]
        _check_equal("the list of callbacks with a state", [name for name, _ in saved["callbacks"]], names)
        for name, value in self.state.config.to_dict().items():
            if name not in _CHANGEABLE:
                _check_equal(name, saved["config"].get(name), value)
        _check_equal("the structure of the optimizer", saved["structure"], self.optimization.structure())
        _check_equal("the source of batches", saved["data"], repr(self.train))
        if saved["step"] and any(rank["loader"] for rank in saved["ranks"]):
            world_size = self.state.processes.world_size
            _check_equal("the number of processes, in the middle of a loader's epoch", len(saved["ranks"]), world_size)

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the result of `to_dict`, after `check`.

        If the world size has changed, rank 0 takes over the loss sums of all ranks, and added ranks keep the random
        state of their own seeds.
        """
        state, rank, world_size = self.state, self.state.processes.rank, self.state.processes.world_size
        for name, part in self.optimization.parts.items():
            part.load_state_dict(saved["parts"][name])
        for callback, (_, callback_state) in zip(self._stateful(), saved["callbacks"], strict=True):
            callback.load_state_dict(callback_state)
        state.history = History(saved["rows"], saved["best_epoch"])
        state.best = saved["best"] and {name: tensor.to(state.device) for name, tensor in saved["best"].items()}
        for name in _COUNTERS:
            setattr(state, name, saved[name])
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

    def _stateful(self) -> list[Callback]:
        return [callback for callback in self.callbacks if callback.state_dict()]


def _check_equal(name: str, saved: object, current: object) -> None:
    if saved != current:
        raise ValueError(f"the checkpoint belongs to a different run: {name} was {saved!r}, now {current!r}")
