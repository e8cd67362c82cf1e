"""A malformed state of a run, even under a right digest, is one error that names its file, and restores nothing."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from lenet5 import Trainer, TrainerConfig, storage

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

VALUES: tuple[Any, ...] = (None, True, -1, 10**30, 0.5, "text", [], [1], {"dict": []}, {"tuple": []}, {"tensor": "no"})
DELETED = object()


@pytest.fixture(scope="module")
def checkpoint(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint from the middle of the second epoch, with the best epoch and a schedule."""
    folder = tmp_path_factory.mktemp("form")
    config = tiny.config(checkpoint_dir=folder, checkpoint_steps=1)
    with pytest.raises(InterruptedError):
        make_trainer(tiny, config, functools.partial(torch.optim.AdamW, lr=0.02), stop_after=7).fit(
            tiny.images(), tiny.images(12)
        )
    return folder / "step-00000006"


def places(packed: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every entry of a packed state, without the numbers of a random generator."""
    if path:
        yield path
    inner = dict(enumerate(packed)) if isinstance(packed, list) else packed
    if not isinstance(inner, dict) or len(inner) > 50:
        return
    for key, value in inner.items():
        yield from places(value, (*path, key))


def changed(packed: Any, path: tuple[Any, ...], value: Any) -> Any:
    packed = copy.deepcopy(packed)
    parent = packed
    for key in path[:-1]:
        parent = parent[key]
    if value is DELETED:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return packed


def generators() -> str:
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    return repr(
        (
            random.getstate(),
            [part.tolist() if isinstance(part, np.ndarray) else part for part in numpy_state],
            torch.get_rng_state().tolist(),
        )
    )


def test_malformed_state_is_one_error_and_restores_nothing(tiny: Tiny, tmp_path: Path, checkpoint: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "step-00000006")
    record = json.loads((folder / "state.json").read_bytes())
    chosen = random.Random(0)
    paths = list(places(record["state"]))
    cases = [(path, value) for path in paths for value in (*VALUES, DELETED)]
    top = [(path, value) for path, value in cases if len(path) <= 3]
    for path, value in [*chosen.sample(top, 60), *chosen.sample(cases, 60)]:
        state = changed(record["state"], path, value)
        content = {name: entry for name, entry in {**record, "state": state}.items() if name != "digest"}
        (folder / "state.json").write_bytes(storage.json_bytes(storage.sealed(content)))
        check_load(tiny, folder)
        check_resume(tiny, folder)


def refused(call: Callable[[], object], folder: Path) -> bool:
    """Return whether a call raises a ValueError that names the folder; other errors pass through."""
    with contextlib.suppress(ValueError):
        call()
        return False
    with pytest.raises(ValueError, match=re.escape(str(folder))):
        call()
    return True


def check_load(tiny: Tiny, folder: Path) -> None:
    model = tiny.noisy_model()
    before = repr(model.state_dict())
    if refused(lambda: Trainer.load(folder, model=model, device="cpu"), folder):
        assert repr(model.state_dict()) == before


def check_resume(tiny: Tiny, folder: Path) -> None:
    made: list[torch.optim.Optimizer] = []

    def condition() -> str:
        callbacks = [callback.state_dict() for callback in trainer.callbacks]
        return repr((trainer.model.state_dict(), callbacks, [made[0].state_dict()] if made else [], generators()))

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        made.append(torch.optim.AdamW(parameters, lr=0.02))
        return made[0]

    trainer = make_trainer(tiny, tiny.config(), make)
    before = condition()
    if refused(lambda: trainer.fit(tiny.images(), tiny.images(12), resume=folder), folder):
        if made:
            assert made[0].state_dict()["state"] == {}
        made.clear()
        assert condition() == before


def make_trainer(tiny: Tiny, config: TrainerConfig, optimizer: Any, **options: Any) -> Trainer:
    scheduler = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=5)
    return tiny.trainer(config, optimizer=optimizer, lr_scheduler=scheduler, **options)
