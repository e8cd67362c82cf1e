"""The gradients of the network of 1998 in one call of C are those of autograd."""

import math
import os
import platform
import shutil
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import SDLM, LeNet5Original, MAPLoss, MLELoss, Preprocess, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models import online
from lenet5.models.layers import PartialConv2d

needs_library = pytest.mark.skipif(online.library() is None, reason="the library is not compiled here")


def make(seed: int = 0, *, scale: float = 0.05, num_classes: int | None = None, dense: bool = False) -> LeNet5Original:
    torch.manual_seed(seed)
    prototypes = None if num_classes is None else torch.sign(torch.randn(num_classes, 84))
    model = LeNet5Original(prototypes=prototypes, init="lecun_uniform")
    if dense:
        model.c3.conv = PartialConv2d([range(6)] * 16, 5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def batch(count: int, num_classes: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 32, 32, generator=generator)
    return images, torch.randint(0, num_classes, (count,), generator=generator)


@needs_library
@settings(max_examples=40)
@given(
    count=st.integers(1, online.FEW),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.0, 0.05, 0.5]),
    num_classes=st.one_of(st.none(), st.sampled_from([1, 3, 128])),
    dense=st.booleans(),
    loss_fn=st.one_of(
        st.floats(0.1, 200).map(MAPLoss), st.just(MLELoss()), st.just(nn.CrossEntropyLoss()), st.just(MAPLoss(1e30))
    ),
)
def test_loss_and_gradients_are_those_of_autograd(
    count: int, seed: int, scale: float, num_classes: int | None, dense: bool, loss_fn: nn.Module
) -> None:
    model = make(seed, scale=scale, num_classes=num_classes, dense=dense)
    images, targets = batch(count, model.num_classes, seed)
    gradients = model.fused_gradients(loss_fn)
    assert gradients is not None
    loss = gradients(images, targets)
    found = [parameter.grad for parameter in model.parameters()]
    exact = model.double()
    expected = loss_fn(exact(images.double()), targets)
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-4)  # type: ignore[arg-type]
    wanted = torch.autograd.grad(expected, list(exact.parameters()))
    largest = max(float(one.abs().max()) for one in wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-5 * max(largest, 1))


@needs_library
@pytest.mark.parametrize("value", [0.0, 1e4, -1e4, 1e30, math.inf, math.nan])
def test_images_far_out_of_range_give_what_torch_gives(value: float) -> None:
    model = make()
    images, targets = torch.full((1, 1, 32, 32), value), torch.tensor([3])
    gradients = model.fused_gradients(MAPLoss())
    assert gradients is not None
    loss = gradients(images, targets)
    assert loss is not None
    expected = MAPLoss()(model(images), targets)
    torch.testing.assert_close(loss, expected.detach(), equal_nan=True)
    if math.isfinite(value) and abs(value) < 1e20:
        found = [parameter.grad for parameter in model.parameters()]
        for one, other in zip(found, torch.autograd.grad(expected, list(model.parameters())), strict=True):
            assert one is not None
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6 * max(abs(value), 100))


@needs_library
@pytest.mark.parametrize("change", [{"dtype": torch.float64}, {"device": "meta"}])
def test_the_defaults_of_torch_do_not_reach_it(change: dict[str, Any]) -> None:
    model, (images, targets) = make(), batch(1)
    expected = MAPLoss()(model(images), targets).detach()
    device = torch.get_default_device()
    try:
        torch.set_default_dtype(change.get("dtype", torch.float32))
        torch.set_default_device(change.get("device", device))
        gradients = model.fused_gradients(MAPLoss())
        assert gradients is not None
        found = gradients(images, targets)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(device)
    assert found is not None
    torch.testing.assert_close(found, expected)


def test_the_library_is_there_wherever_it_can_be_compiled() -> None:
    can = sys.platform == "linux" and platform.machine() == "x86_64" and (shutil.which("cc") or shutil.which("gcc"))
    if not can or os.environ.get("LENET5_FUSED") == "0":
        pytest.skip("there is no compiler, or another processor, or it is turned off")
    assert online.library() is not None


@needs_library
def test_a_batch_that_it_is_not_made_for_is_left_to_torch() -> None:
    model = make()
    gradients = model.fused_gradients(MAPLoss())
    images, targets = batch(2)
    assert gradients is not None
    others: list[tuple[Tensor, Tensor]] = [
        (images.double(), targets),
        (images.transpose(2, 3), targets),
        (images[:, :, 1:], targets),
        (images, targets[:1]),
        (images, targets.int()),
        (images.clone().requires_grad_(), targets),
        (images, torch.tensor([3, 10])),
        (images, torch.tensor([-1, 3])),
        (images[:0], targets[:0]),
        batch(online.FEW + 1),
    ]
    for one in others:
        assert gradients(*one) is None
        assert all(parameter.grad is None for parameter in model.parameters())
    assert gradients(images, targets) is not None
    assert gradients(images, targets) is None  # there are gradients already
    model.zero_grad()
    next(model.parameters()).requires_grad_(False)
    assert gradients(images, targets) is None


@needs_library
def test_a_network_or_a_loss_that_it_is_not_made_for_is_left_to_torch() -> None:
    class Other(LeNet5Original):
        pass

    relu, dropout, padded, patched = make(), make(), make(), make()
    relu.c1.activation = nn.ReLU()
    dropout.f6.append(nn.Dropout(0.5))
    padded.c5.conv = nn.Conv2d(16, 120, 5, padding=1)
    patched.f6.forward = lambda images: images  # type: ignore[method-assign]
    watched, listened, followed, frozen, half, replaced = make(), make(), make(), make(), make().bfloat16(), make()
    next(listened.parameters()).register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
    next(followed.parameters()).register_post_accumulate_grad_hook(lambda _: None)  # type: ignore[no-untyped-call]
    watched.c3.register_forward_hook(lambda *_: None)
    next(frozen.parameters()).requires_grad_(False)
    replaced.f6.linear = nn.Linear(120, 84, bias=False)
    cases: list[tuple[LeNet5Original, Any]] = [
        (watched, MAPLoss()),
        (listened, MAPLoss()),
        (followed, MAPLoss()),
        (frozen, MAPLoss()),
        (half, MAPLoss()),
        (relu, MAPLoss()),
        (dropout, MAPLoss()),
        (padded, MAPLoss()),
        (patched, MAPLoss()),
        (replaced, MAPLoss()),
        (make(num_classes=129), MAPLoss()),
        (Other(), MAPLoss()),
        (make(), nn.CrossEntropyLoss(label_smoothing=0.1)),
        (make(), nn.CrossEntropyLoss(reduction="sum")),
        (make(), nn.CrossEntropyLoss(ignore_index=3)),
        (make(), nn.functional.cross_entropy),
    ]
    assert [model.fused_gradients(loss_fn) for model, loss_fn in cases] == [None] * len(cases)
    with FlopCounterMode(display=False):
        assert make().fused_gradients(MAPLoss()) is None


@needs_library
def test_a_training_takes_the_same_path_with_and_without_it(
    digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = digits.train.select(slice(60))
    train.transform = Preprocess.of_1998()

    def trained() -> LeNet5Original:
        model = make(scale=0)
        optimizer = SDLM(model.parameters(), lr=1e-4)
        optimizer.estimate(model, MLELoss(), train.transform(train.images), train.targets)  # type: ignore[misc]
        config = TrainerConfig(max_epochs=2, batch_size=1, device="cpu")
        Trainer(model, config, loss_fn=MAPLoss(), optimizer=optimizer).fit(train)
        return model

    calls: list[int] = []
    plain = online.Gradients.__call__

    def counted(self: online.Gradients, images: Tensor, targets: Tensor) -> Tensor | None:
        calls.append(len(images))
        return plain(self, images, targets)

    monkeypatch.setattr(online.Gradients, "__call__", counted)
    fused = trained()
    assert calls == [1] * 120
    monkeypatch.setattr(online, "library", lambda: None)
    layered = trained()
    assert len(calls) == 120
    for one, other in zip(fused.parameters(), layered.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@needs_library
def test_the_targets_of_a_training_are_checked_all_the_same() -> None:
    class Wrong(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return torch.zeros(1, 32, 32), torch.tensor(10)

    trainer = Trainer(make(), TrainerConfig(max_epochs=1, batch_size=1, device="cpu"))
    with pytest.raises(ValueError, match="targets lie in .10, 10.; expected 0 to 9"):
        trainer.fit(Wrong())
