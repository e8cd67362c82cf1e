"""C1 to S4 in one pass gives what torch gives layer by layer."""

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import LeNet5, Trainer, TrainerConfig
from lenet5.models import fused

needs_library = pytest.mark.skipif(
    fused.library() is None, reason="the fused convolutions are not compiled, or not for this processor"
)
NAMES = ("c1.conv.weight", "c1.conv.bias", "c3.conv.weight", "c3.conv.bias")


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Turn the fused path off while the list is not empty."""
    off: list[bool] = []
    find = fused._parameters
    monkeypatch.setattr(fused, "_parameters", lambda *arguments: None if off else find(*arguments))
    return off


def make(size: int, seed: int = 0, **options: Any) -> LeNet5:
    torch.manual_seed(seed)
    return LeNet5(image_size=size, **options)


def changed(name: str, layer: nn.Module) -> LeNet5:
    model = make(28)
    model.get_submodule(name).conv = layer
    return model


def is_fused(model: LeNet5, images: Tensor) -> bool:
    names: set[str] = set()
    output = model(images)
    todo = [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None:
            names.add(type(node).__name__)
            todo += [following for following, _ in node.next_functions]
    return "_ConvolutionsBackward" in names


def by_layers(model: LeNet5, images: Tensor) -> Tensor:
    for layer in model.children():
        images = layer(images)
    return images


def results(model: nn.Module, images: Tensor, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The logits, and the gradients of a smooth function of them."""
    logits = model(images)
    return logits.detach(), list(torch.autograd.grad((logits * weights).sum(), list(model.parameters())))


@needs_library
@settings(max_examples=60)
@given(
    count=st.integers(1, 70),
    size=st.sampled_from([28, 32]),
    seed=st.integers(0, 2**20),
    threads=st.integers(1, 3),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_the_fused_pass_equals_layer_by_layer(count: int, size: int, seed: int, threads: int, scale: float) -> None:
    model = make(size, seed)
    images = scale * torch.randn(count, 1, size, size)
    parameters = [tensor for name, tensor in model.named_parameters() if name in NAMES]
    torch.set_num_threads(threads)
    found, expected = fused.convolutions(images, *parameters), fused.layer_by_layer(images, *parameters)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * scale)
    # where two values of a window are equal but for rounding, either may be taken: no gradient flows to these
    double = [tensor.double() for tensor in (images, *parameters)]
    sure = torch.ones_like(expected) * _is_sure(double[0], *double[1:])
    gradients = torch.randn_like(expected) * sure
    pairs = zip(
        torch.autograd.grad(found, parameters, gradients),
        torch.autograd.grad(fused.layer_by_layer(*double), double[1:], gradients.double()),
        strict=True,
    )
    for fast, exact in pairs:
        assert (fast - exact).abs().max() <= 1e-4 * max(float(exact.abs().max()), 1e-6)


def _is_sure(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Where, in each image, no window that matters is nearly a tie, in S2 or in S4, nor a value nearly zero."""

    def clear(maps: Tensor) -> Tensor:
        windows = nn.functional.unfold(maps.flatten(0, 1)[:, None], 2, stride=2).view(*maps.shape[:2], 4, -1)
        first, second = windows.topk(2, dim=2).values.unbind(2)
        margin = 1e-5 * maps.abs().amax()
        return (first < -margin) | ((first > margin) & (first - second > margin))

    with torch.no_grad():
        c1 = nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32))
        s2 = nn.functional.max_pool2d(c1.relu(), 2)
        c3 = nn.functional.conv2d(s2, w3, b3)
        good = clear(c1).flatten(1).all(1)
        return good.view(-1, 1, 1, 1) & clear(c3).view(len(images), 16, 5, 5)


@needs_library
@pytest.mark.parametrize("size", [28, 32])
def test_the_network_uses_it_and_gives_the_same_logits_and_gradients(size: int, plainly: list[bool]) -> None:
    model, images = make(size), torch.rand(50, 1, size, size)
    weights = torch.randn(50, 10)
    assert is_fused(model, images)
    logits, gradients = results(model, images, weights)
    plainly.append(True)
    assert not is_fused(model, images)
    expected, expected_gradients = results(model, images, weights)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@needs_library
def test_it_trains_as_torch_does(digits: Any, plainly: list[bool]) -> None:
    def train() -> float:
        trainer = Trainer(make(28), TrainerConfig(max_epochs=8, batch_size=32, device="cpu"))
        trainer.fit(digits.train, digits.val)
        return trainer.evaluate(digits.test).accuracy

    fast = train()
    plainly.append(True)
    assert fast == pytest.approx(train(), abs=0.02)


@needs_library
@pytest.mark.parametrize("frozen", [[], ["c1.conv.bias", "c3.conv.bias"]])
def test_the_gradient_of_the_gradient_is_torchs(frozen: list[str], plainly: list[bool]) -> None:
    def penalty() -> Tensor:
        model, images = make(28), torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        for name in frozen:
            model.get_parameter(name).requires_grad_(False)
        first, *_, second = (dict(model.named_parameters())[name] for name in NAMES[::2])
        (gradient,) = torch.autograd.grad(model(images).square().sum(), [first], create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [second])[0]

    found = penalty()
    plainly.append(True)
    torch.testing.assert_close(found, penalty(), rtol=1e-4, atol=1e-4)


@needs_library
@settings(max_examples=60)
@given(
    count=st.integers(1, fused.FEW),
    size=st.sampled_from([28, 32]),
    classes=st.integers(1, 20),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    transposed=st.booleans(),
)
def test_few_images_are_labelled_in_one_call_with_the_same_logits(
    count: int, size: int, classes: int, seed: int, scale: float, transposed: bool
) -> None:
    model, images = make(size, seed, num_classes=classes), scale * torch.randn(count, 1, size, size)
    images = images.mT if transposed else images
    with torch.inference_mode():
        found = fused.logits(model, images)
        assert found is not None
        torch.testing.assert_close(found, by_layers(model, images), rtol=1e-5, atol=1e-5 * max(scale, 1))


@needs_library
def test_more_images_or_a_gradient_take_the_other_way() -> None:
    model, images = make(28), torch.rand(fused.FEW + 1, 1, 28, 28)
    assert fused.logits(model, images[:1]) is None
    with torch.no_grad():
        assert fused.logits(model, images) is None
        torch.testing.assert_close(model(images), by_layers(model, images), rtol=1e-5, atol=1e-6)


def _set(path: str, name: str, value: Any) -> Callable[[LeNet5], object]:
    return lambda model: setattr(model.get_submodule(path), name, value)


def _hook(path: str, kind: str) -> Callable[[LeNet5], object]:
    return lambda model: getattr(model.get_submodule(path), f"register_{kind}_hook")(lambda *_: None)


def _reshape(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[LeNet5], object]:
    def apply(model: LeNet5) -> None:
        parameter = model.get_parameter(name)
        parameter.data = change(parameter.data)

    return apply


def _no_parameter(model: LeNet5) -> None:
    linear = model.get_submodule("f6.linear")
    weight = model.get_parameter("f6.linear.weight").detach()
    del linear.weight
    linear.weight = weight


CHANGES: dict[str, Callable[[LeNet5], object]] = {
    "layer": lambda model: setattr(model, "f6", nn.Sequential(nn.Linear(120, 84), nn.Tanh())),
    "part": _set("c5", "activation", nn.Tanh()),
    "more layers": lambda model: model.c3.append(nn.Identity()),
    "no bias": lambda model: setattr(model, "output", nn.Linear(84, 3, bias=False)),
    "spectral norm": lambda model: nn.utils.parametrizations.spectral_norm(model.output),
    "no parameter": _no_parameter,
    **{f"{kind} hook on {path}": _hook(path, kind) for kind in ("forward", "forward_pre") for path in ("s2", "f6")},
    "backward hook": _hook("output", "full_backward"),
    "dilation": lambda model: model.c3.conv.__dict__.update(dilation=(2, 2), padding=(2, 2)),
    "padding": lambda model: model.c1.conv.__dict__.update(padding_mode="reflect"),
    "pooling": lambda model: model.s4.__dict__.update(kernel_size=1, stride=2),
    "flatten": _set("c5.flatten", "end_dim", 3),
    "layout of C3": _reshape("c3.conv.weight", lambda tensor: tensor.contiguous(memory_format=torch.channels_last)),
    "layout of C5": _reshape("c5.linear.weight", lambda tensor: tensor.t().contiguous().t()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_network_is_noticed_at_the_next_call(change: Callable[[LeNet5], object]) -> None:
    model, images = make(28).eval(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert (fused.logits(model, images) is None) == (fused.library() is None)
        change(model)
        assert fused.logits(model, images) is None
        torch.testing.assert_close(model(images), by_layers(model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.f6.double(),
        lambda model: model.f6.to("meta"),
        _reshape("f6.linear.weight", lambda tensor: tensor.new_zeros(84, 119)),
    ],
)
def test_parameters_that_c_cannot_read_are_noticed_at_the_next_call(change: Callable[[LeNet5], object]) -> None:
    model, images = make(28), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        model(images)
        change(model)
        with pytest.raises(RuntimeError):  # torch's own
            model(images)


def test_new_values_are_used_at_the_next_call() -> None:
    model, images = make(28), torch.rand(2, 1, 28, 28)
    other = make(28, seed=1)
    with torch.no_grad():
        for change in (
            lambda: model.get_parameter("c3.conv.weight").data.mul_(-1),
            lambda: _reshape("c5.linear.weight", torch.neg)(model),
            lambda: model.load_state_dict(other.state_dict()),
            lambda: model.load_state_dict(make(28, seed=2).state_dict(), assign=True),
        ):
            change()
            torch.testing.assert_close(model(images), by_layers(model, images), rtol=1e-5, atol=1e-6)
        twin = copy.deepcopy(model)
        model.get_parameter("f6.linear.bias").add_(1)
        torch.testing.assert_close(twin(images), by_layers(twin, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 20])
def test_the_defaults_for_new_tensors_do_not_matter(count: int) -> None:
    model, images = make(28), torch.rand(count, 1, 28, 28)
    with torch.no_grad():
        expected = by_layers(model, images)
        try:
            torch.set_default_dtype(torch.float64)
            with torch.device("meta"):
                found = model(images)
        finally:
            torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_who_looks_at_each_operation_sees_it() -> None:
    model, images = make(28).eval(), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        expected = model(images)
        with FlopCounterMode(display=False) as counter:
            model(images)
        assert counter.get_total_flops() == 2 * (28 * 28 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)
        traces: list[Callable[[Tensor], Tensor]] = [
            torch.fx.symbolic_trace(model),
            torch.compile(model, backend="eager", fullgraph=True),
            torch.vmap(lambda image: model(image[None])[0]),
        ]
        for trace in traces:
            torch.testing.assert_close(trace(images), expected, rtol=1e-5, atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(images).dtype == torch.bfloat16
        handle = nn.modules.module.register_module_forward_pre_hook(lambda *_: None)
        assert fused.logits(model, images) is None
        handle.remove()
        bad = [images[0], images[:, :, 1:], images[:0], images.double(), images.to("meta"), torch.rand(1, 3, 28, 28)]
        assert not any(fused.logits(model, image) is not None for image in bad)


@needs_library
def test_a_nan_stays_a_nan() -> None:
    model, images = make(28), torch.zeros(3, 1, 28, 28)
    images[1, 0, 14, 14] = torch.nan
    with torch.inference_mode():
        assert model(images).isnan().all(1).tolist() == [False, True, False]


def test_it_is_left_aside_where_somebody_looks_into_the_layers_or_it_does_not_fit() -> None:
    images = torch.rand(2, 1, 28, 28)
    cases: list[tuple[LeNet5, Tensor]] = [
        (make(28, activation=nn.Tanh), images),
        (make(28, pooling="avg"), images),
        (make(28, in_channels=3), torch.rand(2, 3, 28, 28)),
        (make(40), torch.rand(2, 1, 40, 40)),
        (make(28).double(), images.double()),
        (make(28), images.clone().requires_grad_()),
        (changed("c1", nn.Conv2d(1, 6, 5, padding=2, bias=False)), images),
        (changed("c1", nn.Conv2d(1, 6, 5, padding=2, padding_mode="circular")), images),
        (changed("c1", nn.Conv2d(1, 6, 3, padding=1)), images),
        (make(28), images.as_subclass(type("Labelled", (Tensor,), {}))),
    ]
    watched = make(28)
    seen: list[tuple[int, ...]] = []
    watched.s2.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape)))
    cases.append((watched, images))
    for model, batch in cases:
        assert not is_fused(model, batch)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert not is_fused(make(28), images)
    handle.remove()
    assert seen == [(2, 6, 14, 14)]
    assert make(28)(torch.rand(0, 1, 28, 28)).shape == (0, 10)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch.export still uses what torch deprecates
def test_function_transforms_traces_and_half_precision_work() -> None:
    model, images = make(28).eval(), torch.rand(3, 1, 28, 28)
    expected = model(images)
    mapped = torch.vmap(lambda image: model(image[None])[0])(images)
    torch.testing.assert_close(mapped, expected, rtol=1e-4, atol=1e-5)
    parameters = dict(model.named_parameters())
    jacobian = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (images,)).sum())(parameters)
    torch.testing.assert_close(jacobian["output.bias"], torch.full((10,), 3.0), rtol=1e-5, atol=1e-5)
    exported = torch.export.export(model, (images,))
    torch.testing.assert_close(exported.module()(images), expected, rtol=1e-4, atol=1e-5)
    with forward_ad.dual_level():
        bias = forward_ad.make_dual(model.output.bias, torch.ones(10))  # type: ignore[no-untyped-call]
        output = torch.func.functional_call(model, {"output.bias": bias}, (images,))
        tangent = forward_ad.unpack_dual(output).tangent  # type: ignore[no-untyped-call]
    torch.testing.assert_close(tangent, torch.ones(3, 10))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(images).dtype == torch.bfloat16


def test_it_can_be_turned_off() -> None:
    program = "from lenet5.models import fused; print(fused.library())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"LENET5_FUSED": "0"}, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_without_the_library_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_LIBRARY", fused._LIBRARY.with_name("nothing.so"))
    fused.library.cache_clear()
    try:
        assert fused.library() is None
        assert not is_fused(make(28), torch.rand(2, 1, 28, 28))
    finally:
        fused.library.cache_clear()
