"""CUDA graph capture, with a fake graph that computes on the CPU."""

import contextlib
import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lenet5.runtime.graphs import CapturedGradients


class FakeGraph:
    """A graph that repeats the computation that was captured, from the same tensors to the same tensors."""

    def __init__(self) -> None:
        self.compute: Callable[[], None]
        self.num_replays = 0

    def replay(self) -> None:
        self.num_replays += 1
        self.compute()


class FakeCuda:
    """A stand-in for torch.cuda that records the captured graphs."""

    CUDAGraph = FakeGraph

    def __init__(self) -> None:
        self.graphs: list[FakeGraph] = []
        self.capturing: FakeGraph | None = None

    @staticmethod
    def device(device: torch.device) -> contextlib.AbstractContextManager[None]:
        assert device.type == "cpu"
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, graph: FakeGraph) -> Iterator[None]:
        assert not gc.isenabled()  # freeing a different graph would end the capture
        self.graphs.append(graph)
        self.capturing = graph
        yield
        self.capturing = None

    def captured_gradients(self, model: nn.Module) -> CapturedGradients:
        def compute(images: Tensor, targets: Tensor) -> Tensor:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

            def run() -> list[Tensor]:
                loss = nn.functional.cross_entropy(model(images), targets)
                return [loss.detach(), *torch.autograd.grad(loss, trained)]

            results = run()
            for parameter, gradient in zip(trained, results[1:], strict=True):
                parameter.grad = gradient
            if self.capturing is not None:

                def recompute() -> None:
                    for old, new in zip(results, run(), strict=True):
                        old.copy_(new)

                self.capturing.compute = recompute
            return results[0]

        gradients = CapturedGradients(compute, model)
        gradients.refresh()
        return gradients


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr("lenet5.runtime.graphs.torch.cuda", fake)
    return fake


def make_batch(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator), torch.randint(4, (count,), generator=generator)


def assert_correct(gradients: CapturedGradients, model: nn.Linear, count: int, seed: int) -> None:
    """Assert that a call returns the loss, and sets the gradients, of a plain step."""
    images, targets = make_batch(count, seed)
    model.zero_grad()
    expected_loss = nn.functional.cross_entropy(model(images), targets)
    torch.autograd.backward(expected_loss)
    expected = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    torch.testing.assert_close(gradients(images, targets), expected_loss.detach())
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_each_shape_is_captured_at_its_second_call_and_replayed_later(cuda: FakeCuda) -> None:
    model = nn.Linear(6, 4)
    gradients = cuda.captured_gradients(model)
    for seed, count in enumerate((5, 5, 3, 5, 3, 3, 5)):
        assert_correct(gradients, model, count, seed)
        with torch.no_grad():
            model.weight.mul_(0.9)  # as an optimizer would
    assert [graph.num_replays for graph in cuda.graphs] == [3, 2]
    assert gc.isenabled()


def test_refresh_discards_captures_after_a_change_of_the_model(cuda: FakeCuda) -> None:
    model = nn.Linear(6, 4)
    gradients = cuda.captured_gradients(model)
    for change in (
        lambda: None,
        lambda: model.bias.requires_grad_(False),
        lambda: setattr(model, "weight", nn.Parameter(model.weight.detach().clone())),
        model.eval,
    ):
        change()
        num_graphs = len(cuda.graphs)
        gradients.refresh()
        for seed in range(3):
            assert_correct(gradients, model, 5, seed)
        assert len(cuda.graphs) == num_graphs + 1
        gradients.refresh()
        assert_correct(gradients, model, 5, 9)
        assert len(cuda.graphs) == num_graphs + 1


def test_failed_capture_names_the_model_and_the_setting(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def fail(_: FakeGraph) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    gradients = cuda.captured_gradients(nn.Linear(6, 4))
    monkeypatch.setattr(cuda, "graph", fail)
    gradients(*make_batch(5, 0))
    with pytest.raises(RuntimeError, match="Linear cannot be captured as a CUDA graph; set cuda_graph=False"):
        gradients(*make_batch(5, 1))
    assert gc.isenabled()
