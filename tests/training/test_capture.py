"""When a training run captures its gradients as a CUDA graph."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lenet5 import Callback, DataSplits, LeNet5, TensorLoader, Trainer, TrainerConfig, TrainingState
from lenet5.data.sources import as_source
from lenet5.runtime.graphs import CapturedGradients
from lenet5.runtime.interrupts import Interrupt
from lenet5.training.loop import Loop


def is_captured(trainer: Trainer, data: Any, device: str) -> bool:
    """Return True if a loop on the device would capture the gradients."""
    run = trainer._prepare(trainer.state, as_source(data, torch.device("cpu")), None)
    run.state.device = torch.device(device)
    loop = Loop(run, trainer.model, None, Interrupt(second_raises=True))
    return isinstance(loop.compute, CapturedGradients)


@pytest.mark.parametrize(
    ("model", "settings", "captured"),
    [
        (LeNet5(), {}, True),
        (LeNet5(), {"label_smoothing": 0.1, "max_grad_norm": 1.0, "ema_decay": 0.9, "precision": "bfloat16"}, True),
        (LeNet5(), {"cuda_graph": False}, False),
        (LeNet5(), {"accumulate_steps": 2}, False),
        (LeNet5(), {"precision": "float16"}, False),
        (LeNet5(), {"compile": "eager"}, False),
        (nn.Sequential(LeNet5()), {}, False),
        (nn.Sequential(LeNet5()), {"cuda_graph": True}, True),
    ],
)
def test_settings_and_model_decide_about_capture(
    digits: DataSplits, model: nn.Module, settings: Any, captured: bool
) -> None:
    trainer = Trainer(model, TrainerConfig(device="cpu", **settings))
    loader = TensorLoader(digits.train, batch_size=32)
    assert not is_captured(trainer, loader, "cpu")
    assert is_captured(trainer, loader, "cuda") == captured


def test_only_batches_of_a_tensor_loader_are_captured(digits: DataSplits) -> None:
    trainer = Trainer(LeNet5(), TrainerConfig(device="cpu", cuda_graph=True))
    assert not is_captured(trainer, DataLoader(digits.train), "cuda")


@pytest.mark.parametrize(("cuda_graph", "captured"), [(None, False), (True, True)])
def test_custom_loss_is_captured_only_on_request(digits: DataSplits, cuda_graph: bool | None, captured: bool) -> None:
    config = TrainerConfig(device="cpu", cuda_graph=cuda_graph)
    trainer = Trainer(LeNet5(), config, loss_fn=nn.MultiMarginLoss())
    assert is_captured(trainer, TensorLoader(digits.train, batch_size=32), "cuda") == captured


def test_loop_and_its_captures_are_released_at_the_end_of_a_run(digits: DataSplits) -> None:
    class FindLoop(Callback):
        def on_fit_start(self, state: TrainingState) -> None:
            loops.extend(weakref.ref(candidate) for candidate in gc.get_objects() if type(candidate) is Loop)

    loops: list[weakref.ref[Loop]] = []
    gc.collect()
    gc.disable()
    try:
        config = TrainerConfig(fast_dev_run=True, device="cpu")
        Trainer(LeNet5(), config, callbacks=[FindLoop()]).fit(digits.train)
        assert len(loops) == 1
        assert loops[0]() is None
    finally:
        gc.enable()
