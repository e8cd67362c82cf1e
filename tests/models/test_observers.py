"""Whatever observes how a network computes sees its layers: profilers, modes, hooks and the graph of autograd."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]
CONVOLUTIONS = {LeNet5: 2, LeNet5Original: 3, CaffeLeNet: 2}

every_network = pytest.mark.parametrize("network", NETWORKS)


def build(network: Callable[[], ImageClassifier]) -> tuple[ImageClassifier, Tensor]:
    """Build a network in evaluation mode, and two images."""
    torch.manual_seed(0)
    model = network().eval()
    return model, torch.rand(2, *model.image_shape)


class FunctionMode(TorchFunctionMode):
    """Records the functions of torch that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that are dispatched."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(operator.overloadpacket.__name__)
        return operator(*args, **(kwargs or {}))


def recording(layer: nn.Module, calls: list[nn.Module]) -> Callable[[Tensor], Tensor]:
    """Wrap the `forward` of a layer in a function that records its calls."""
    forward = layer.forward

    def replacement(inputs: Tensor) -> Tensor:
        calls.append(layer)
        result: Tensor = forward(inputs)
        return result

    return replacement


def saved_shapes(call: Callable[[Tensor], Tensor], images: Tensor) -> list[torch.Size]:
    """Return the shapes of the tensors that a call saves for its gradients."""
    shapes: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        shapes.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call(images)
    return shapes


PROFILERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "torch.profiler": lambda: profile(activities=[torch.profiler.ProfilerActivity.CPU]),
    "torch.autograd.profiler": lambda: torch.autograd.profiler.profile(use_kineto=False),
}


@every_network
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("profiler", PROFILERS.values(), ids=PROFILERS)
def test_profilers_see_every_convolution(
    network: Any, training: bool, profiler: Callable[[], AbstractContextManager[Any]]
) -> None:
    model, images = build(network)
    with torch.set_grad_enabled(training), profiler() as profiled:
        model(images)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts["aten::conv2d"] == CONVOLUTIONS[network]


def test_no_gradients_are_computed_by_a_kernel_that_a_profiler_does_not_see() -> None:
    model, loss_fn = LeNet5(), nn.CrossEntropyLoss()
    fused = model.fused_gradients(loss_fn)
    images, targets = torch.rand(2, 1, 28, 28), torch.tensor([3, 5])
    with profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        assert model.fused_gradients(loss_fn) is None
        assert fused is None or fused(images, targets) is None


@every_network
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("mode", "name"), [(FunctionMode, "conv2d"), (DispatchMode, "convolution")])
def test_modes_see_every_convolution(network: Any, training: bool, mode: Any, name: str) -> None:
    model, images = build(network)
    with torch.set_grad_enabled(training), mode() as seen:
        model(images)
    assert seen.names.count(name) == CONVOLUTIONS[network]


def test_flop_counter_sees_every_layer() -> None:
    model, images = build(LeNet5)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    assert counter.get_total_flops() == 2 * 2 * 416_520  # a multiplication and an addition, two images


@every_network
def test_forward_has_every_convolution_in_the_graph_of_autograd(network: Any) -> None:
    model, images = build(network)
    nodes, names = [model.forward(images).grad_fn], []
    while nodes:
        node = nodes.pop()
        if node is not None:
            names.append(node.name())
            nodes += [source for source, _ in node.next_functions]
    assert sum("Convolution" in name for name in names) == CONVOLUTIONS[network]


@every_network
@pytest.mark.parametrize("training", [False, True])
def test_forward_set_on_any_layer_is_called(network: Any, training: bool) -> None:
    model, images = build(network)
    for name, layer in model.named_modules():
        calls: list[nn.Module] = []
        vars(layer)["forward"] = recording(layer, calls)
        with torch.set_grad_enabled(training):
            model(images)
        assert calls == [layer], name
        del vars(layer)["forward"]


@every_network
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_hooks_of_every_layer_are_called(network: Any, training: bool, kind: str) -> None:
    model, images = build(network)
    for name, layer in model.named_modules():
        calls: list[int] = []
        handle = getattr(layer, f"register_{kind}_hook")(lambda *_, calls=calls: calls.append(1))
        with torch.set_grad_enabled(training):
            model(images)
        handle.remove()
        assert calls == [1], name


@every_network
def test_saved_tensors_hooks_see_what_each_layer_saves(network: Any) -> None:
    model, images = build(network)
    assert saved_shapes(model, images) == saved_shapes(model.forward, images)


@every_network
def test_saving_on_the_cpu_gives_the_same_gradients(network: Any) -> None:
    model, images = build(network)
    expected = torch.autograd.grad(model(images).square().sum(), [*model.parameters()])
    with torch.autograd.graph.save_on_cpu():
        logits = model(images)
    torch.testing.assert_close(torch.autograd.grad(logits.square().sum(), [*model.parameters()]), expected)


@every_network
def test_hook_of_several_gradients_receives_all(network: Any) -> None:
    model, images = build(network)
    parameters = [*model.parameters()]
    seen: list[Any] = []
    torch.autograd.graph.register_multi_grad_hook(parameters, seen.append)
    model(images).sum().backward()  # type: ignore[no-untyped-call]
    assert [gradient.shape for gradient in seen[0]] == [parameter.shape for parameter in parameters]


@every_network
@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning", "ignore:Error detected in:UserWarning")
def test_anomaly_mode_finds_the_origin_of_nan(network: Any) -> None:
    model, images = build(network)
    next(model.parameters()).data.fill_(torch.nan)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values"):
        model(images).square().sum().backward()  # type: ignore[no-untyped-call]
