"""What stands between a training step and a CUDA graph, with a graph that computes on the CPU."""

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lenet5 import Callback, DataSplits, LeNet5, TensorLoader, Trainer, TrainerConfig
from lenet5.data.sources import as_source
from lenet5.runtime.graphs import RecordedGradients
from lenet5.runtime.interrupts import Interrupt
from lenet5.training.loop import Loop


class Graph:
    """Computes again what was computed while it recorded, from the same tensors to the same tensors."""

    def __init__(self) -> None:
        self.again: Callable[[], None]
        self.num_replays = 0

    def replay(self) -> None:
        self.num_replays += 1
        self.again()


class Recorder:
    """Stands for torch.cuda."""

    CUDAGraph = Graph

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.current: Graph | None = None

    @staticmethod
    def device(device: torch.device) -> contextlib.AbstractContextManager[None]:
        assert device.type == "cpu"
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, graph: Graph) -> Iterator[None]:
        assert not gc.isenabled()  # or it might free another graph meanwhile, which ends the recording
        self.graphs.append(graph)
        self.current = graph
        yield
        self.current = None

    def gradients_of(self, model: nn.Module) -> RecordedGradients:
        def compute(images: Tensor, targets: Tensor) -> Tensor:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

            def run() -> list[Tensor]:
                loss = nn.functional.cross_entropy(model(images), targets)
                return [loss.detach(), *torch.autograd.grad(loss, trained)]

            results = run()
            for parameter, gradient in zip(trained, results[1:], strict=True):
                parameter.grad = gradient
            if self.current is not None:

                def again() -> None:
                    for old, new in zip(results, run(), strict=True):
                        old.copy_(new)

                self.current.again = again
            return results[0]

        recorded = RecordedGradients(compute, model)
        recorded.refresh()
        return recorded


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr("lenet5.runtime.graphs.torch.cuda", found)
    return found


def batch(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator), torch.randint(4, (count,), generator=generator)


def check(gradients: RecordedGradients, model: nn.Linear, count: int, seed: int) -> None:
    """Assert that a call gives the loss and the gradients that a plain step does, and forgets those of before."""
    inputs = batch(count, seed)
    model.zero_grad()
    expected = nn.functional.cross_entropy(model(inputs[0]), inputs[1])
    expected.backward()  # type: ignore[no-untyped-call]
    wanted = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    torch.testing.assert_close(gradients(*inputs), expected.detach())
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_each_shape_is_recorded_at_its_second_call_and_replayed(recorder: Recorder) -> None:
    model = nn.Linear(6, 4)
    gradients = recorder.gradients_of(model)
    for seed, count in enumerate((5, 5, 3, 5, 3, 3, 5)):
        check(gradients, model, count, seed)
        with torch.no_grad():
            model.weight.mul_(0.9)  # as an optimizer would
    assert [graph.num_replays for graph in recorder.graphs] == [3, 2]
    assert gc.isenabled()


def test_a_model_that_changed_is_recorded_anew(recorder: Recorder) -> None:
    model = nn.Linear(6, 4)
    gradients = recorder.gradients_of(model)
    for change in (
        lambda: None,
        lambda: model.bias.requires_grad_(False),
        lambda: setattr(model, "weight", nn.Parameter(model.weight.detach().clone())),
        model.eval,
    ):
        change()
        before = len(recorder.graphs)
        gradients.refresh()
        for seed in range(3):
            check(gradients, model, 5, seed)
        assert len(recorder.graphs) == before + 1
        gradients.refresh()
        check(gradients, model, 5, 9)
        assert len(recorder.graphs) == before + 1


def test_what_cannot_be_recorded_is_said(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def refuse(_: Graph) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    gradients = recorder.gradients_of(nn.Linear(6, 4))
    monkeypatch.setattr(recorder, "graph", refuse)
    gradients(*batch(5, 0))
    with pytest.raises(
        RuntimeError, match="Linear cannot be recorded as a CUDA graph \\(cuda_graph=False does without\\)"
    ):
        gradients(*batch(5, 1))


@pytest.mark.parametrize(
    ("model", "loader", "settings", "recorded"),
    [
        (LeNet5(), True, {}, True),
        (
            LeNet5(),
            True,
            {"label_smoothing": 0.1, "max_grad_norm": 1.0, "ema_decay": 0.9, "precision": "bfloat16"},
            True,
        ),
        (LeNet5(), True, {"cuda_graph": False}, False),
        (LeNet5(), False, {}, False),
        (LeNet5(), True, {"accumulate_steps": 2}, False),
        (LeNet5(), True, {"precision": "float16"}, False),
        (LeNet5(), True, {"compile": "eager"}, False),
        (nn.Sequential(LeNet5()), True, {}, False),
        (nn.Sequential(LeNet5()), True, {"cuda_graph": True}, True),
    ],
)
def test_what_is_recorded_on_cuda(
    digits: DataSplits, model: nn.Module, loader: bool, settings: Any, recorded: bool
) -> None:
    trainer = Trainer(model, TrainerConfig(device="cpu", **settings))
    data = TensorLoader(digits.train, batch_size=32) if loader else torch.utils.data.DataLoader(digits.train)
    source = as_source(data, trainer.device)
    state = trainer._start(source, None)
    assert not isinstance(
        Loop(trainer, model, state, source, None, Interrupt(second_raises=True)).compute, RecordedGradients
    )
    trainer.device = torch.device("cuda")
    loop = Loop(trainer, model, state, source, None, Interrupt(second_raises=True))
    assert isinstance(loop.compute, RecordedGradients) is recorded


def test_what_was_recorded_is_let_go_at_the_end_of_a_training(digits: DataSplits) -> None:
    loops: list[weakref.ref[Loop]] = []

    class Look(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            loops.extend(weakref.ref(found) for found in gc.get_objects() if type(found) is Loop)

    gc.collect()
    gc.disable()
    try:
        Trainer(LeNet5(), TrainerConfig(fast_dev_run=True, device="cpu"), callbacks=[Look()]).fit(digits.train)
        assert len(loops) == 1
        assert loops[0]() is None
    finally:
        gc.enable()


def test_a_loss_of_ones_own_is_recorded_only_if_that_was_asked_for(digits: DataSplits) -> None:
    for asked, recorded in ((None, False), (True, True)):
        trainer = Trainer(LeNet5(), TrainerConfig(device="cpu", cuda_graph=asked), loss_fn=nn.MultiMarginLoss())
        source = as_source(TensorLoader(digits.train, batch_size=32), trainer.device)
        state = trainer._start(source, None)
        trainer.device = torch.device("cuda")
        loop = Loop(trainer, trainer.model, state, source, None, Interrupt(second_raises=True))
        assert isinstance(loop.compute, RecordedGradients) is recorded
