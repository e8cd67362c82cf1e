"""The kernel of LeNet5Original: its loss and gradients equal those of autograd, and it runs only where it may."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import SDLM, LeNet5Original, MAPLoss, MLELoss, Preprocess, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models.kernels import original
from lenet5.models.original.layers import PartialConv2d

pytestmark = pytest.mark.skipif(original.library() is None, reason="the kernel is not built")  # see test_library.py


def build(seed: int = 0, *, scale: float = 0.05, num_classes: int | None = None, dense: bool = False) -> LeNet5Original:
    """Build a network with noise of standard deviation `scale` added to its weights."""
    torch.manual_seed(seed)
    prototypes = None if num_classes is None else torch.sign(torch.randn(num_classes, 84))
    model = LeNet5Original(prototypes=prototypes, init="lecun_uniform")
    if dense:
        model.c3.conv = PartialConv2d([range(6)] * 16, 5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def random_batch(count: int, num_classes: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 32, 32, generator=generator)
    return images, torch.randint(0, num_classes, (count,), generator=generator)


def gradients_of(model: nn.Module) -> list[Tensor]:
    """Return the gradients of all parameters, which must be set."""
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None for gradient in gradients)
    return [gradient for gradient in gradients if gradient is not None]


@settings(max_examples=40)
@given(
    count=st.integers(1, 80),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.0, 0.05, 0.5]),
    num_classes=st.one_of(st.none(), st.sampled_from([1, 3, 128])),
    dense=st.booleans(),
    loss_fn=st.one_of(
        st.floats(0.1, 200).map(MAPLoss), st.just(MLELoss()), st.just(nn.CrossEntropyLoss()), st.just(MAPLoss(1e30))
    ),
)
def test_loss_and_gradients_equal_those_of_autograd(
    count: int, seed: int, scale: float, num_classes: int | None, dense: bool, loss_fn: nn.Module
) -> None:
    model = build(seed, scale=scale, num_classes=num_classes, dense=dense)
    images, targets = random_batch(count, model.num_classes, seed)
    kernel = model.fused_gradients(loss_fn)
    assert kernel is not None
    loss = kernel(images, targets)
    assert loss is not None
    gradients = gradients_of(model)
    exact = model.double()
    exact_loss = loss_fn(exact(images.double()), targets)
    assert float(loss) == pytest.approx(float(exact_loss.detach()), rel=1e-5, abs=1e-4)
    expected_gradients = torch.autograd.grad(exact_loss, list(exact.parameters()))
    largest = max(float(gradient.abs().max()) for gradient in expected_gradients)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=1e-5 * max(largest, 1))


@pytest.mark.parametrize("value", [0.0, 1e4, -1e4, 1e30, math.inf, math.nan])
def test_extreme_pixels_give_the_loss_and_gradients_of_torch(value: float) -> None:
    model = build()
    images, targets = torch.full((1, 1, 32, 32), value), torch.tensor([3])
    kernel = model.fused_gradients(MAPLoss())
    assert kernel is not None
    loss = kernel(images, targets)
    assert loss is not None
    expected_loss = MAPLoss()(model(images), targets)
    torch.testing.assert_close(loss, expected_loss.detach(), equal_nan=True)
    if math.isfinite(value) and abs(value) < 1e20:
        expected_gradients = torch.autograd.grad(expected_loss, list(model.parameters()))
        for gradient, expected in zip(gradients_of(model), expected_gradients, strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6 * max(abs(value), 100))


@pytest.mark.parametrize(
    "defaults", [{"dtype": torch.float64}, {"device": "meta"}], ids=lambda defaults: next(iter(defaults))
)
def test_default_dtype_and_device_have_no_effect(defaults: dict[str, Any]) -> None:
    model, (images, targets) = build(), random_batch(1)
    expected = MAPLoss()(model(images), targets).detach()
    device = torch.get_default_device()
    try:
        torch.set_default_dtype(defaults.get("dtype", torch.float32))
        torch.set_default_device(defaults.get("device", device))
        kernel = model.fused_gradients(MAPLoss())
        assert kernel is not None
        loss = kernel(images, targets)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(device)
    assert loss is not None
    torch.testing.assert_close(loss, expected)


def test_unsupported_batch_changes_nothing() -> None:
    model = build()
    kernel = model.fused_gradients(MAPLoss())
    images, targets = random_batch(2)
    assert kernel is not None
    unsupported: list[tuple[Tensor, Tensor]] = [
        (images.double(), targets),
        (images.transpose(2, 3), targets),
        (images[:, :, 1:], targets),
        (images, targets[:1]),
        (images, targets.int()),
        (images.clone().requires_grad_(), targets),
        (images, torch.tensor([3, 10])),
        (images, torch.tensor([-1, 3])),
        (images[:0], targets[:0]),
    ]
    for batch in unsupported:
        assert kernel(*batch) is None
        assert all(parameter.grad is None for parameter in model.parameters())


def test_kernel_requires_unset_gradients_and_trainable_parameters() -> None:
    model = build()
    kernel = model.fused_gradients(MAPLoss())
    images, targets = random_batch(2)
    assert kernel is not None
    assert kernel(images, targets) is not None
    assert kernel(images, targets) is None  # the gradients are set already
    model.zero_grad()
    assert kernel(images, targets) is not None
    model.zero_grad()
    next(model.parameters()).requires_grad_(False)
    assert kernel(images, targets) is None


Change = Callable[[LeNet5Original], object]


def _hook(register: str) -> Change:
    """Return a change that adds a hook to the first parameter."""
    return lambda model: getattr(next(model.parameters()), register)(lambda _: None)


CHANGES: dict[str, Change] = {
    "forward hook": lambda model: model.c3.register_forward_hook(lambda *_: None),
    "hook on a parameter": _hook("register_hook"),
    "hook after accumulation": _hook("register_post_accumulate_grad_hook"),
    "frozen parameter": lambda model: next(model.parameters()).requires_grad_(False),
    "bfloat16": lambda model: model.bfloat16(),
    "activation": lambda model: setattr(model.c1, "activation", nn.ReLU()),
    "additional layer": lambda model: model.f6.append(nn.Dropout(0.5)),
    "padding": lambda model: setattr(model.c5, "conv", nn.Conv2d(16, 120, 5, padding=1)),
    "no bias": lambda model: setattr(model.f6, "linear", nn.Linear(120, 84, bias=False)),
    "forward replaced on the model": lambda model: setattr(model, "forward", lambda images: images),
    "forward replaced on a layer": lambda model: setattr(model.f6, "forward", lambda images: images),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_kernel_does_not_apply_to_a_changed_network(change: Change) -> None:
    model = build()
    assert model.fused_gradients(MAPLoss()) is not None
    change(model)
    assert model.fused_gradients(MAPLoss()) is None


def test_kernel_supports_at_most_128_classes() -> None:
    assert build(num_classes=128).fused_gradients(MAPLoss()) is not None
    assert build(num_classes=129).fused_gradients(MAPLoss()) is None


@pytest.mark.parametrize(
    "loss_fn",
    [
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.CrossEntropyLoss(ignore_index=3),
        nn.CrossEntropyLoss(weight=torch.ones(10)),
        nn.functional.cross_entropy,
        type("Doubled", (MAPLoss,), {"forward": lambda self, *batch: 2 * MAPLoss.forward(self, *batch)})(),
    ],
)
def test_kernel_does_not_apply_to_other_losses(loss_fn: Any) -> None:
    assert build().fused_gradients(loss_fn) is None


def test_kernel_does_not_apply_to_a_loss_with_hooks() -> None:
    loss_fn = MAPLoss()
    loss_fn.register_forward_hook(lambda *_: None)
    assert build().fused_gradients(loss_fn) is None


def test_kernel_does_not_apply_while_operators_are_recorded() -> None:
    with FlopCounterMode(display=False):
        assert build().fused_gradients(MAPLoss()) is None


def test_subclass_keeps_the_kernel_only_if_it_inherits_forward() -> None:
    class InheritingOriginal(LeNet5Original):
        pass

    class OverridingOriginal(LeNet5Original):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * super().forward(images)

    assert InheritingOriginal().fused_gradients(MAPLoss()) is not None
    assert OverridingOriginal().fused_gradients(MAPLoss()) is None


def test_training_takes_the_same_path_with_and_without_the_kernel(
    digits: DataSplits, monkeypatch: pytest.MonkeyPatch, remove_kernels: Callable[[], None]
) -> None:
    train, preprocess = digits.train.select(slice(60)), Preprocess.original()
    train.transform = preprocess
    counts: list[int] = []
    call = original.OriginalGradients.__call__

    def record(self: original.OriginalGradients, images: Tensor, targets: Tensor) -> Tensor | None:
        counts.append(len(images))
        return call(self, images, targets)

    monkeypatch.setattr(original.OriginalGradients, "__call__", record)

    def fit() -> LeNet5Original:
        model = build(scale=0)
        optimizer = SDLM(model.parameters(), lr=1e-4)
        optimizer.estimate(model, MLELoss(), preprocess(train.images), train.targets)
        config = TrainerConfig(max_epochs=2, batch_size=1, device="cpu")
        Trainer(model, config, loss_fn=MAPLoss(), optimizer=optimizer).fit(train)
        return model

    with_kernel = fit()
    assert counts == [1] * 120
    remove_kernels()
    without_kernel = fit()
    assert len(counts) == 120
    for parameter, expected in zip(with_kernel.parameters(), without_kernel.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-4)


def test_trainer_rejects_targets_out_of_range_with_the_kernel() -> None:
    class WrongTargets(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return torch.zeros(1, 32, 32), torch.tensor(10)

    trainer = Trainer(build(), TrainerConfig(max_epochs=1, batch_size=1, device="cpu"))
    with pytest.raises(ValueError, match="targets lie in .10, 10.; expected 0 to 9"):
        trainer.fit(WrongTargets())
