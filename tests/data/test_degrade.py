import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment, Compose, Degrade
from lenet5.data.degrade import _KINDS, _Draw


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=Generator().manual_seed(seed))


def bars(count: int) -> Tensor:
    """Upright bars, as near to a digit as a test of strokes needs."""
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 5:23, 12:16] = 255
    return images


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(6, 33), st.integers(6, 33)),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_images_stay_uint8_of_their_shape_and_the_given_ones_stay_as_they_are(
    shape: tuple[int, int, int, int], share: float, seed: int
) -> None:
    images = random_images(*shape, seed=seed)
    before = images.clone()
    found = Degrade(share)(images, Generator().manual_seed(seed))
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    assert torch.equal(images, before)
    assert share or torch.equal(found, images)


@pytest.mark.parametrize("kind", _KINDS)
def test_each_kind_changes_each_image_in_its_own_way_and_stays_finite(kind: object) -> None:
    x = bars(32).float() / 255
    assert callable(kind)
    found = kind(x.clone(), _Draw(x, Generator().manual_seed(1)))
    assert found.shape == x.shape
    assert found.isfinite().all()
    rounded = found.clamp(0, 1).mul(255).round().flatten(1)
    assert len(np.unique(rounded, axis=0)) >= 24
    assert (rounded != 255 * x.flatten(1)).any(1).float().mean() >= 0.6


def test_the_share_is_that_of_the_images_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.data.degrade._KINDS", [lambda x, _: 1 - x])
    images = bars(40)
    changed = (Degrade(0.3)(images, Generator().manual_seed(0)) != images).flatten(1).any(1)
    assert changed.sum() == 12


def test_the_same_seed_gives_the_same_result_and_another_gives_another() -> None:
    first, again, other = (Degrade(0.5)(bars(8), Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_strokes_become_thicker_and_thinner() -> None:
    x = bars(16).float() / 255
    thicken, thin = _KINDS[:2]
    for kind, sign in ((thicken, 1), (thin, -1)):
        change = kind(x, _Draw(x, Generator().manual_seed(0))).sum((1, 2, 3)) - x.sum((1, 2, 3))
        assert (sign * change > 0).all()


def test_composed_augmentations_come_one_after_the_other() -> None:
    images = bars(8)
    first, second = Augment(elastic=1), Degrade(0.5)
    generator = Generator().manual_seed(3)
    expected = second(first(images, generator), generator)
    assert torch.equal(Compose((first, second))(images, Generator().manual_seed(3)), expected)
    assert torch.equal(Compose(())(images), images)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        Degrade(share)


@pytest.mark.parametrize("images", [torch.rand(2, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)])
def test_what_are_no_uint8_images_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images have shape .* and dtype .*; expected \(N, C, H, W\)"):
        Degrade()(images)
