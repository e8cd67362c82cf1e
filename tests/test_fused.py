"""C1 to S4 in one pass gives what torch gives layer by layer."""

import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd import forward_ad

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
    find = fused.convolution_parameters
    monkeypatch.setattr(fused, "convolution_parameters", lambda *arguments: None if off else find(*arguments))
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
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
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
    finally:
        torch.set_num_threads(before)


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
@pytest.mark.parametrize("count", [1, fused.FEW, fused.FEW + 1])
@pytest.mark.parametrize("classes", [1, 10])
def test_few_images_are_labelled_in_one_pass_with_the_same_logits(
    count: int, classes: int, plainly: list[bool]
) -> None:
    model, images = make(28, num_classes=classes), torch.rand(count, 1, 28, 28)
    with torch.inference_mode():
        found = model(images)
        plainly.append(True)
        torch.testing.assert_close(found, model(images), rtol=1e-5, atol=1e-6)


@needs_library
def test_another_head_is_left_to_torch() -> None:
    model, images = make(28), torch.rand(1, 1, 28, 28)
    model.output = nn.Linear(84, 3, bias=False)
    with torch.no_grad():
        by_layers = model.s4(model.c3(model.s2(model.c1(images))))
        torch.testing.assert_close(model(images), model.output(model.f6(model.c5(by_layers))))


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
