"""The kernel of LeNet5Original for batches: the logits of the layers, for any number of threads."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from lenet5 import LeNet5Original, MAPLoss
from lenet5.models.kernels import original
from lenet5.models.original.layers import PartialConv2d

pytestmark = pytest.mark.skipif(original.library() is None, reason="the kernel is not built")  # see test_library.py


def build(seed: int = 0, *, num_classes: int | None = None, dense: bool = False) -> LeNet5Original:
    torch.manual_seed(seed)
    prototypes = None if num_classes is None else torch.sign(torch.randn(num_classes, 84))
    model = LeNet5Original(prototypes=prototypes)
    if dense:
        model.c3.conv = PartialConv2d([range(6)] * 16, 5)
    return model


def random_batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 32, 32, generator=generator), torch.randint(0, 10, (count,), generator=generator)


@settings(max_examples=40)
@given(
    count=st.integers(1, 80),
    seed=st.integers(0, 2**20),
    num_classes=st.one_of(st.none(), st.sampled_from([1, 3, 128])),
    dense=st.booleans(),
    transposed=st.booleans(),
)
def test_logits_equal_those_of_the_layers(
    count: int, seed: int, num_classes: int | None, dense: bool, transposed: bool
) -> None:
    model, (images, _) = build(seed, num_classes=num_classes, dense=dense), random_batch(count, seed)
    images = images.mT if transposed else images
    with torch.inference_mode():
        logits = original.logits(model, images)
        assert logits is not None
        torch.testing.assert_close(model(images), logits, rtol=0, atol=0)
        torch.testing.assert_close(logits, model.forward(images), rtol=1e-5, atol=1e-4)


def test_frozen_network_has_a_kernel_for_its_logits() -> None:
    model, (images, _) = build().requires_grad_(False), random_batch(3)
    with torch.no_grad():
        assert original.logits(model, images) is not None
    assert original.logits(model, images) is None


@given(count=st.integers(1, 100), threads=st.integers(2, 5))
def test_results_are_identical_for_any_number_of_threads(count: int, threads: int) -> None:
    model, (images, targets) = build(), random_batch(count)
    before, results = torch.get_num_threads(), []
    for number in (1, threads):
        torch.set_num_threads(number)
        kernel = model.fused_gradients(MAPLoss())
        assert kernel is not None
        loss = kernel(images, targets)
        assert loss is not None
        with torch.no_grad():
            results.append([loss, *(p.grad for p in model.parameters()), model(images)])
        model.zero_grad()
    torch.set_num_threads(before)
    assert all(torch.equal(one, many) for one, many in zip(*results, strict=True))
