"""Whatever replaces what a layer computes is seen at the next call: the result is that of the layers."""

import contextlib
import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lenet5 import LeNet5, LeNet5Original, MAPLoss
from lenet5.models.kernels import lenet5, original
from lenet5.models.kernels.library import FEW

Change = Callable[[LeNet5, pytest.MonkeyPatch], object]
PATHS = ["c1", "c1.conv", "c1.activation", "s2", "c3.conv", "s4", "c5.flatten", "c5", "f6.linear", "output"]


def build() -> LeNet5:
    torch.manual_seed(0)
    return LeNet5().eval()


def by_layers(model: LeNet5, images: Tensor) -> Tensor:
    """Compute the logits by `forward`, which knows nothing of kernels."""
    result: Tensor = nn.Module.__call__(model, images)
    return result


def assert_equal(result: Tensor, expected: Tensor) -> None:
    """Compare to rounding: while the head alone differs, the kernel of the convolutions may run."""
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def assert_layers_decide(model: LeNet5, images: Tensor, *, changed: bool = True) -> None:
    """Assert that calls of all kinds give the logits of the layers, which differ from those of a fresh network."""
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            expected = by_layers(model, images)
            assert_equal(model(images), expected)
            assert not changed or not torch.allclose(expected, by_layers(build(), images))


def doubled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a function as a library does; the wrapper claims to be the function."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Tensor:
        return 2 * function(*args, **kwargs)

    return wrapper


@pytest.fixture(params=[1, FEW + 1])
def images(request: pytest.FixtureRequest) -> Tensor:
    return torch.rand(request.param, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model(images: Tensor) -> LeNet5:
    """Return a network whose kernels have run."""
    model = build()
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            model(images)
            assert (lenet5.logits(model, images) is None) == (lenet5.library() is None)
    return model


@pytest.mark.parametrize("path", PATHS)
def test_forward_replaced_on_a_layer_as_accelerate_does(model: LeNet5, images: Tensor, path: str) -> None:
    layer: Any = model.get_submodule(path)
    layer._old_forward = layer.forward
    layer.forward = doubled(layer._old_forward)
    assert_layers_decide(model, images)
    layer.forward = layer._old_forward
    del layer._old_forward
    assert_layers_decide(model, images, changed=False)


@pytest.mark.parametrize("method", ["_call_impl", "_compiled_call_impl", "_conv_forward"])
@pytest.mark.parametrize("path", ["c1.conv", "c3.conv"])
def test_method_replaced_on_a_layer(model: LeNet5, images: Tensor, path: str, method: str) -> None:
    layer: Any = model.get_submodule(path)
    setattr(layer, method, doubled(getattr(layer, method) or layer._call_impl))
    assert_layers_decide(model, images)


CLASS_METHODS = [
    (nn.Linear, "forward"),
    (nn.Conv2d, "forward"),
    (nn.Conv2d, "_conv_forward"),
    (nn.ReLU, "forward"),
    (nn.MaxPool2d, "forward"),
    (nn.Flatten, "forward"),
    (nn.Sequential, "forward"),
    (nn.Module, "_call_impl"),
]


@pytest.mark.parametrize(("layer", "method"), CLASS_METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_method_replaced_on_a_class(
    model: LeNet5, images: Tensor, monkeypatch: pytest.MonkeyPatch, layer: type[nn.Module], method: str
) -> None:
    expected = model(images).detach()
    monkeypatch.setattr(layer, method, doubled(getattr(layer, method)))
    result = model(images).detach()
    assert_equal(result, by_layers(model, images))
    assert not torch.allclose(result, expected)
    monkeypatch.undo()
    torch.testing.assert_close(model(images).detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["__call__", "_call_impl"])
@pytest.mark.parametrize("layer", [nn.Linear, nn.ReLU, nn.Conv2d])
def test_inherited_method_overridden_on_a_class(
    model: LeNet5, images: Tensor, monkeypatch: pytest.MonkeyPatch, layer: type[nn.Module], method: str
) -> None:
    expected = model(images).detach()
    monkeypatch.setattr(layer, method, doubled(getattr(layer, method)), raising=False)
    result = model(images).detach()
    assert_equal(result, by_layers(model, images))
    assert not torch.allclose(result, expected)


@pytest.mark.parametrize("name", ["linear", "relu", "conv2d", "max_pool2d"])
def test_function_replaced_in_torch_nn_functional(
    model: LeNet5, images: Tensor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected = model(images).detach()
    monkeypatch.setattr(nn.functional, name, doubled(getattr(nn.functional, name)))
    result = model(images).detach()
    assert_equal(result, by_layers(model, images))
    assert not torch.allclose(result, expected)


def test_function_replaced_in_torch(model: LeNet5, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "relu", doubled(torch.relu))
    with torch.no_grad():
        assert_equal(model(images), by_layers(model, images))


def test_plan_does_not_keep_a_model_alive() -> None:
    models = [build() for _ in range(3)]
    for model in models:
        with torch.no_grad():
            model(torch.rand(1, 1, 28, 28))
    models[1].compile(backend="eager")
    vars(models[2])["_old_forward"] = models[2].forward
    references = [weakref.ref(model) for model in models]
    del models, model
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def halve(model: LeNet5, path: str) -> None:
    nn.utils.parametrize.register_parametrization(model.get_submodule(path), "weight", Halved())


class DoubledReLU(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return 2 * super().forward(input)


MODULE_CHANGES: dict[str, Callable[[LeNet5], object]] = {
    "parametrization": lambda model: halve(model, "c3.conv"),
    "parametrization of the head": lambda model: halve(model, "f6.linear"),
    "spectral norm": lambda model: parametrizations.spectral_norm(model.output),
    "pruning": lambda model: prune.l1_unstructured(model.c3.conv, "weight", amount=0.5),  # type: ignore[no-untyped-call]
    "class of a layer": lambda model: setattr(model.c1.activation, "__class__", DoubledReLU),
    "subclass": lambda model: setattr(model.c1, "activation", DoubledReLU()),
    "order of a Sequential": lambda model: model.c1._modules.update(conv=model.c1._modules.pop("conv")),
    "stride": lambda model: setattr(model.s2, "stride", 1),
}


@pytest.mark.parametrize("change", MODULE_CHANGES.values(), ids=MODULE_CHANGES)
def test_module_that_computes_something_else(model: LeNet5, images: Tensor, change: Callable[[LeNet5], object]) -> None:
    change(model)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            try:
                expected = by_layers(model, images)
            except RuntimeError as error:
                with pytest.raises(RuntimeError, match=str(error)[:20]):
                    model(images)
            else:
                assert_equal(model(images), expected)


def test_call_impl_of_a_subclass(images: Tensor) -> None:
    class Shifted(LeNet5):
        def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
            return super()._call_impl(*args, **kwargs) + 1  # type: ignore[no-untyped-call]

    model = Shifted().eval()
    with torch.no_grad():
        assert_equal(model(images), model.forward(images) + 1)


def test_attribute_of_a_subclass_that_hides_a_layer(images: Tensor) -> None:
    class Hiding(LeNet5):
        output = property(lambda _: lambda x: torch.zeros(len(x), 10))

    model = Hiding().eval()
    with torch.no_grad():
        assert not model(images).any()


class Doubling(TorchFunctionMode):
    """Doubles every ReLU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return 2 * result if func is torch.relu or func is nn.functional.relu else result


class Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("grad", [False, True])
def test_function_mode_acts_on_the_layers(model: LeNet5, images: Tensor, grad: bool) -> None:
    with torch.set_grad_enabled(grad):
        plain = model(images)
        with Doubling():
            result, expected = model(images), by_layers(model, images)
        assert_equal(result, expected)
        assert not torch.allclose(result, plain)


def test_dispatch_mode_sees_every_operator(model: LeNet5, images: Tensor) -> None:
    with torch.no_grad(), Recording() as mode:
        model(images)
    assert sum("convolution" in name or "conv2d" in name for name in mode.operators) == 2


def test_device_as_a_context_keeps_the_kernel(model: LeNet5, images: Tensor) -> None:
    with torch.no_grad(), torch.device("cpu"):
        assert (lenet5.logits(model, images) is None) == (lenet5.library() is None)


@contextlib.contextmanager
def patched(target: object, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(target, nn.Module):
            patch.setitem(vars(target), name, value)
        else:
            patch.setattr(target, name, value)
        yield


ORIGINAL_PATCHES: dict[str, Callable[[LeNet5Original, MAPLoss], Any]] = {
    "tanh": lambda *_: patched(torch, "tanh", torch.sin),
    "amplitude": lambda *_: patched(type(LeNet5Original().c1.activation), "amplitude", 2.0),
    "average pooling": lambda *_: patched(nn.functional, "avg_pool2d", doubled(nn.functional.avg_pool2d)),
    "layer": lambda model, _: patched(model.c3, "forward", doubled(model.c3.forward)),
    "loss": lambda _, loss_fn: patched(loss_fn, "forward", doubled(loss_fn.forward)),
    "loss function": lambda *_: patched(nn.functional, "cross_entropy", doubled(nn.functional.cross_entropy)),
    "function mode": lambda *_: Doubling(),
    "dispatch mode": lambda *_: Recording(),
    "saved tensors": lambda *_: torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t),
}


@pytest.mark.parametrize("patch", ORIGINAL_PATCHES.values(), ids=ORIGINAL_PATCHES)
def test_kernel_of_the_original_network_sees_a_change_during_a_run(
    patch: Callable[[LeNet5Original, MAPLoss], Any], request: pytest.FixtureRequest
) -> None:
    if original.library() is None:
        pytest.skip("the kernel is not built")
    if "saved" in request.node.name and not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"):
        pytest.skip("this version of torch does not tell whether hooks are active")
    model, loss_fn = LeNet5Original(), MAPLoss()
    batch = torch.rand(2, 1, 32, 32), torch.tensor([1, 2])
    kernel = model.fused_gradients(loss_fn)
    assert kernel is not None
    with patch(model, loss_fn):
        assert kernel(*batch) is None
    assert kernel(*batch) is not None
