"""The kernel of LeNet5 runs only where it computes what the layers compute, and nothing observes the layers.

Without the kernel, most of these tests hold trivially.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import LeNet5
from lenet5.models.kernels import lenet5
from lenet5.models.kernels.library import FEW
from lenet5.models.kernels.plan import Plan

RunsKernel = Callable[[nn.Module, Tensor], bool]
Change = Callable[[LeNet5], object]

IS_AVAILABLE = lenet5.library() is not None


def build(seed: int = 0, **arguments: Any) -> LeNet5:
    torch.manual_seed(seed)
    return LeNet5(**arguments)


def layer_by_layer(model: LeNet5, images: Tensor) -> Tensor:
    for layer in model.children():
        images = layer(images)
    return images


@pytest.fixture
def single_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the batch size of each call that computes all layers at once."""
    sizes: list[int] = []
    whole_network = lenet5._whole_network

    def record(images: Tensor, plan: Plan) -> Tensor:
        sizes.append(len(images))
        return whole_network(images, plan)

    monkeypatch.setattr(lenet5, "_whole_network", record)
    return sizes


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
@pytest.mark.parametrize("size", [28, 32])
def test_kernel_runs_for_the_default_network(runs_kernel: RunsKernel, grad: bool, count: int, size: int) -> None:
    with torch.set_grad_enabled(grad):
        assert runs_kernel(build(image_size=size), torch.rand(count, 1, size, size)) == IS_AVAILABLE


@pytest.mark.parametrize(
    ("grad", "count", "classes", "single"),
    [(False, FEW, 10, True), (False, FEW + 1, 128, True), (False, 100, 129, False), (True, 1, 10, False)],
)
def test_single_call_serves_batches_without_gradients(
    single_calls: list[int], grad: bool, count: int, classes: int, single: bool
) -> None:
    model, images = build(num_classes=classes), torch.rand(count, 1, 28, 28)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(model(images), layer_by_layer(model, images), rtol=1e-5, atol=1e-6)
    assert bool(single_calls) == (single and IS_AVAILABLE)


def test_subclass_that_inherits_forward_keeps_the_kernel(runs_kernel: RunsKernel) -> None:
    class Inheriting(LeNet5):
        def describe(self) -> str:
            return "a network with an additional method"

    assert runs_kernel(Inheriting(), torch.rand(2, 1, 28, 28)) == IS_AVAILABLE


def test_subclass_that_overrides_forward_has_no_kernel(runs_kernel: RunsKernel) -> None:
    class Overriding(LeNet5):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + 1

    model, images = Overriding(), torch.rand(2, 1, 28, 28)
    assert not runs_kernel(model, images)
    torch.testing.assert_close(model(images), layer_by_layer(model, images) + 1)


def _set(path: str, name: str, value: Any) -> Change:
    return lambda model: setattr(model.get_submodule(path), name, value)


def _hook(path: str, kind: str) -> Change:
    return lambda model: getattr(model.get_submodule(path), f"register_{kind}_hook")(lambda *_: None)


def _replace_data(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    def apply(model: LeNet5) -> None:
        parameter = model.get_parameter(name)
        parameter.data = change(parameter.data)

    return apply


def _replace_parameter_by_tensor(model: LeNet5) -> None:
    linear = model.get_submodule("f6.linear")
    weight = model.get_parameter("f6.linear.weight").detach()
    del linear.weight
    linear.weight = weight


CONVOLUTION_CHANGES: dict[str, Change] = {
    "additional layer": lambda model: model.c3.insert(2, nn.Identity()),
    "forward hook": _hook("s2", "forward"),
    "forward pre-hook": _hook("s2", "forward_pre"),
    "backward hook": _hook("c3.conv", "full_backward"),
    "dilation": lambda model: model.c3.conv.__dict__.update(dilation=(2, 2), padding=(2, 2)),
    "padding mode": lambda model: model.c1.conv.__dict__.update(padding_mode="reflect"),
    "pooling": lambda model: model.s4.__dict__.update(kernel_size=1, stride=2),
    "memory format": _replace_data("c3.conv.weight", lambda w: w.contiguous(memory_format=torch.channels_last)),
}
HEAD_CHANGES: dict[str, Change] = {
    "layer": lambda model: setattr(model, "f6", nn.Sequential(nn.Linear(120, 84), nn.Tanh())),
    "activation": _set("c5", "activation", nn.Tanh()),
    "no bias": lambda model: setattr(model, "output", nn.Linear(84, 3, bias=False)),
    "spectral norm": lambda model: nn.utils.parametrizations.spectral_norm(model.output),
    "tensor in place of a parameter": _replace_parameter_by_tensor,
    "forward hook": _hook("f6", "forward"),
    "forward pre-hook": _hook("f6", "forward_pre"),
    "backward hook": _hook("output", "full_backward"),
    "flatten": _set("c5.flatten", "end_dim", 3),
    "memory format": _replace_data("c5.linear.weight", lambda w: w.t().contiguous().t()),
}


@pytest.mark.parametrize("change", CONVOLUTION_CHANGES.values(), ids=CONVOLUTION_CHANGES)
def test_change_of_the_convolutions_turns_the_kernel_off(change: Change) -> None:
    model, images = build().eval(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert (lenet5.logits(model, images) is not None) == IS_AVAILABLE
        change(model)
        assert lenet5.logits(model, images) is None
        torch.testing.assert_close(model(images), layer_by_layer(model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", HEAD_CHANGES.values(), ids=HEAD_CHANGES)
def test_change_of_the_head_turns_the_single_call_off(single_calls: list[int], change: Change) -> None:
    model, images = build().eval(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        model(images)
        assert single_calls == [2] * IS_AVAILABLE
        change(model)
        torch.testing.assert_close(model(images), layer_by_layer(model, images), rtol=1e-5, atol=1e-6)
        assert single_calls == [2] * IS_AVAILABLE


@pytest.mark.parametrize("grad", [False, True])
def test_forward_replaced_on_the_model_takes_effect_at_the_next_call(runs_kernel: RunsKernel, grad: bool) -> None:
    model, images = build(), torch.rand(2, 1, 28, 28)
    with torch.set_grad_enabled(grad):
        assert runs_kernel(model, images) == IS_AVAILABLE
        model.forward = lambda images: torch.zeros(len(images), 10)  # type: ignore[method-assign]
        assert not runs_kernel(model, images)
        assert not model(images).any()
        del model.forward
        assert runs_kernel(model, images) == IS_AVAILABLE


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("path", ["c1", "c1.conv", "c1.activation", "s2", "c3.conv", "s4", "c5", "f6.linear", "output"])
def test_forward_replaced_on_a_layer_takes_effect_at_the_next_call(path: str, grad: bool) -> None:
    model, images = build(), torch.rand(2, 1, 28, 28)
    with torch.set_grad_enabled(grad):
        before = model(images)
        layer = model.get_submodule(path)
        forward = layer.forward
        layer.forward = lambda x: 2 * forward(x)
        assert not torch.allclose(model(images), before)
        torch.testing.assert_close(model(images), layer_by_layer(model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.f6.double(),
        lambda model: model.f6.to("meta"),
        _replace_data("f6.linear.weight", lambda weight: weight.new_zeros(84, 119)),
    ],
    ids=["dtype", "device", "shape"],
)
def test_invalid_parameters_raise_the_error_of_torch(change: Change) -> None:
    model, images = build(), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        model(images)
        change(model)
        with pytest.raises(RuntimeError):
            model(images)


def test_new_parameter_values_take_effect_at_the_next_call() -> None:
    model, images = build(), torch.rand(2, 1, 28, 28)
    changes: list[Change] = [
        lambda model: model.get_parameter("c3.conv.weight").data.mul_(-1),
        _replace_data("c5.linear.weight", torch.neg),
        lambda model: model.load_state_dict(build(seed=1).state_dict()),
        lambda model: model.load_state_dict(build(seed=2).state_dict(), assign=True),
    ]
    with torch.no_grad():
        for change in changes:
            change(model)
            torch.testing.assert_close(model(images), layer_by_layer(model, images), rtol=1e-5, atol=1e-6)
        twin = copy.deepcopy(model)
        model.get_parameter("f6.linear.bias").add_(1)
        torch.testing.assert_close(twin(images), layer_by_layer(twin, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("path", "shape"), [("s2", (2, 6, 14, 14)), ("c5", (2, 120)), ("", (2, 10))])
def test_hook_sees_the_output(path: str, shape: tuple[int, ...]) -> None:
    model, shapes = build(), []
    model.get_submodule(path).register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    with torch.no_grad():
        model(torch.rand(2, 1, 28, 28))
    assert shapes == [shape]


@pytest.mark.parametrize("kind", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_global_module_hook_turns_the_kernel_off(runs_kernel: RunsKernel, kind: str) -> None:
    handle = getattr(nn.modules.module, f"register_module_{kind}_hook")(lambda *_: None)
    try:
        assert not runs_kernel(build(), torch.rand(2, 1, 28, 28))
    finally:
        handle.remove()


def test_flop_counter_sees_every_operator() -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build()(torch.rand(1, 1, 28, 28))
    assert counter.get_total_flops() == 2 * (28 * 28 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)


@pytest.mark.parametrize(
    "transform",
    [
        torch.fx.symbolic_trace,
        lambda model: torch.compile(model, backend="eager", fullgraph=True),
        lambda model: torch.vmap(lambda image: model(image[None])[0]),
    ],
    ids=["symbolic_trace", "compile", "vmap"],
)
def test_traced_and_transformed_small_batch_has_the_same_logits(
    transform: Callable[[nn.Module], Callable[[Tensor], Tensor]],
) -> None:
    model, images = build().eval(), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(transform(model)(images), model(images), rtol=1e-5, atol=1e-6)


def test_autocast_turns_the_kernel_off(runs_kernel: RunsKernel) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not runs_kernel(build(), torch.rand(1, 1, 28, 28))
        assert build()(torch.rand(1, 1, 28, 28)).dtype == torch.bfloat16
