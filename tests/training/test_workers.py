"""Loaders with worker processes give the results of loaders without, however the workers start."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.data import DataLoader

from lenet5 import Trainer

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of Python, for fork
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_fit_evaluate_and_predict_with_workers_equal_those_without(tiny: Tiny, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot start processes by {method}")
    threads, outcomes = torch.get_num_threads(), []
    for workers in (0, 1):
        context = method if workers else None
        loader = DataLoader(tiny.examples(), 8, shuffle=True, num_workers=workers, multiprocessing_context=context)
        trainer = Trainer(tiny.model(), tiny.config(max_epochs=2))
        trainer.fit(loader, loader)
        labels = trainer.predict(loader).labels.tolist()
        assert labels == trainer.predict(tiny.examples()).labels.tolist()
        outcomes.append((tiny.outcome(trainer), trainer.evaluate(loader).to_dict(), labels))
    assert outcomes[0] == outcomes[1]
    assert torch.get_num_threads() == threads
