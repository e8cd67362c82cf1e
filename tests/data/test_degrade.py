from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment, Compose, Degrade
from lenet5.data.degrade import _CORRUPTIONS, _BatchRng


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=Generator().manual_seed(seed))


def bars(count: int) -> Tensor:
    """Return images of a vertical bar, a stroke like that of a digit 1."""
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 5:23, 12:16] = 255
    return images


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(6, 33), st.integers(6, 33)),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_degrade_keeps_dtype_and_shape_and_does_not_modify_its_input(
    shape: tuple[int, int, int, int], fraction: float, seed: int
) -> None:
    images = random_images(*shape, seed=seed)
    before = images.clone()
    degraded = Degrade(fraction)(images, Generator().manual_seed(seed))
    assert degraded.dtype == torch.uint8
    assert degraded.shape == images.shape
    assert torch.equal(images, before)
    assert fraction or torch.equal(degraded, images)


@pytest.mark.parametrize("corrupt", _CORRUPTIONS)
def test_each_corruption_is_finite_and_varies_between_images(corrupt: Callable[[Tensor, _BatchRng], Tensor]) -> None:
    x = bars(32).float() / 255
    corrupted = corrupt(x.clone(), _BatchRng(x, Generator().manual_seed(1)))
    assert corrupted.shape == x.shape
    assert corrupted.isfinite().all()
    rounded = corrupted.clamp(0, 1).mul(255).round().flatten(1)
    assert len(np.unique(rounded, axis=0)) >= 24
    assert (rounded != 255 * x.flatten(1)).any(1).float().mean() >= 0.6


def test_fraction_is_the_fraction_of_images_for_each_corruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.data.degrade._CORRUPTIONS", [lambda x, _: 1 - x])
    images = bars(40)
    changed = (Degrade(fraction=0.3)(images, Generator().manual_seed(0)) != images).flatten(1).any(1)
    assert changed.sum() == 12


def test_result_depends_only_on_the_seed() -> None:
    first, repeated, different = (Degrade(0.5)(bars(8), Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, different)


def test_thicken_adds_ink_and_thin_removes_it() -> None:
    x = bars(16).float() / 255
    thicken, thin = _CORRUPTIONS[:2]
    for corrupt, sign in ((thicken, 1), (thin, -1)):
        change = corrupt(x, _BatchRng(x, Generator().manual_seed(0))).sum((1, 2, 3)) - x.sum((1, 2, 3))
        assert (sign * change > 0).all()


def test_compose_applies_augmentations_in_order() -> None:
    images = bars(8)
    first, second = Augment(elastic=1), Degrade(0.5)
    generator = Generator().manual_seed(3)
    expected = second(first(images, generator), generator)
    assert torch.equal(Compose((first, second))(images, Generator().manual_seed(3)), expected)
    assert torch.equal(Compose(())(images), images)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_degrade_rejects_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"fraction is {fraction}; expected a number from 0 to 1"):
        Degrade(fraction)


def test_fraction_of_numpy_is_a_number_and_a_string_is_not() -> None:
    assert repr(Degrade(np.float64(0.5))) == "Degrade(fraction=0.5)"
    with pytest.raises(ValueError, match="fraction is 0.5; expected a number from 0 to 1"):
        Degrade("0.5")  # type: ignore[arg-type]


@pytest.mark.parametrize("images", [torch.rand(2, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)])
def test_degrade_rejects_images_of_wrong_shape_or_dtype(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images have shape .* and dtype .*; expected uint8 \(N, C, H, W\)"):
        Degrade()(images)
