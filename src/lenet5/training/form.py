"""The form of a saved run: which values of `state.json` a run can take over, before anything is restored."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import storage
from .checkpoints import STATE, Checkpoint
from .config import TrainerConfig
from .history import METRICS, History

_COUNTERS = ("epoch", "step", "num_seen", "num_steps")
_LARGEST = 2**53
_VARIABLE = ("callbacks", "parts.optimizer.state", "best", "last", "launch", "config", "rows", "best_epoch")


@contextlib.contextmanager
def one_error(folder: Path) -> Iterator[None]:
    """Turn whatever a malformed state raises into a ValueError that names its file."""
    path = storage.shown(folder / STATE)
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} does not hold the state of this run: {error!r}") from error


def read_results(checkpoint: Checkpoint) -> tuple[TrainerConfig, History]:
    """Return the settings and the history of a saved run.

    Raises
    ------
    ValueError
        The state of the checkpoint is malformed.
    """
    state = checkpoint.state
    with one_error(checkpoint.path):
        config = TrainerConfig(**state["config"])
        config.to_dict()  # finds a path that is none
        history = read_history(state)
        if state.get("finished"):
            history.finish(restore_best=config.restore_best)
    return config, history


def read_history(state: dict[str, Any]) -> History:
    """Return the history in a saved state; raise ValueError if it is malformed."""
    rows, best = state["rows"], state["best_epoch"]
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise ValueError("rows holds no metrics of epochs")
    if [row.get("epoch") for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(f"rows does not number its epochs from 1 to {len(rows)}")
    for name, value in ((name, value) for row in rows for name, value in row.items()):
        if not isinstance(name, str) or (name in METRICS and not _is_number(value)):
            raise ValueError(f"rows holds {value!r} as {name}; expected a number")
    if best is not None and not (type(best) is int and 1 <= best <= len(rows)):
        raise ValueError(f"best_epoch is {best!r}; expected None, or one of {len(rows)} epochs")
    return History(rows, best)


def check_form(saved: dict[str, Any], own: dict[str, Any]) -> None:
    """Raise ValueError unless a saved state has the form of a run's own: its containers, types and shapes.

    Callbacks and loaders, whose states may take other forms in the course of a run, check their own.
    """
    fixed = {name: saved[name] for name in own if name not in _VARIABLE}
    _compare(fixed, {name: own[name] for name in fixed}, "")
    for name in _COUNTERS:
        if not 0 <= saved[name] < _LARGEST:
            raise ValueError(f"{name} is {saved[name]}; expected at least 0 and less than 2**53")
    if saved["epoch"] != len(saved["rows"]):
        raise ValueError(f"epoch is {saved['epoch']}; expected {len(saved['rows'])}, as many as there are rows")
    if saved["step"] > saved["num_steps"]:
        raise ValueError(f"step is {saved['step']}; expected at most {saved['num_steps']}")
    if not saved["ranks"]:
        raise ValueError("ranks is empty; expected the state of each process")
    for rank in saved["ranks"]:
        _compare(rank, {name: value for name, value in own["ranks"][0].items() if name != "loader"}, "ranks")


def check_optimizer_state(entries: Any, parameters: list[Tensor]) -> None:
    """Raise ValueError unless an optimizer's state has entries of one form for all parameters of as many dimensions."""
    if not isinstance(entries, dict):
        raise ValueError(f"the optimizer's state is {_kind(entries)}; expected one entry per parameter")
    forms: dict[int, dict[str, Any]] = {}
    for index, entry in entries.items():
        if type(index) is not int or not 0 <= index < len(parameters) or not isinstance(entry, dict):
            raise ValueError(f"the optimizer's state of the parameter {index!r} is {_kind(entry)}; expected a dict")
        shape = parameters[index].shape
        form = {name: (type(value), getattr(value, "shape", None) == shape) for name, value in entry.items()}
        if form and forms.setdefault(len(shape), form) != form:
            raise ValueError(f"the optimizer's state of the parameter {index} differs in form from that of others")


def _compare(saved: Any, own: Any, place: str) -> None:
    """Compare values; None may stand for a value that a part has not got yet, or a flag that the device decides.

    Flags may be missing as well: another version of torch may not have them.
    """
    if place in _VARIABLE or own is None or (saved is None and isinstance(own, bool)):
        return
    if not _is_alike(saved, own):
        raise ValueError(f"{place} is {_kind(saved)}; expected {_kind(own)}")
    if isinstance(own, dict):
        missing = {name for name in own.keys() - saved.keys() if not isinstance(own[name], bool | None)}
        if missing and place != "ranks.random":  # a device of another type has no state
            raise ValueError(f"{place or 'the state'} lacks {min(map(str, missing))!r}")
        for name in own.keys() & saved.keys():
            _compare(saved[name], own[name], f"{place}.{name}" if place else str(name))
    elif isinstance(own, list | tuple) and place != "ranks":
        for index, (one, other) in enumerate(zip(saved, own, strict=False)):
            _compare(one, other, f"{place}.{index}")


def _is_alike(saved: Any, own: Any) -> bool:
    if _is_number(own):
        return _is_number(saved) and (isinstance(saved, int) or isinstance(own, float))
    if isinstance(own, Tensor):
        return isinstance(saved, Tensor) and saved.shape == own.shape
    if isinstance(own, np.ndarray):
        return isinstance(saved, np.ndarray) and (saved.shape, saved.dtype) == (own.shape, own.dtype)
    return type(saved) is type(own)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} {tuple(value.shape)} of {value.dtype}"
    return type(value).__name__
