import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment
from lenet5.data.augment import _gaussians

AMOUNTS = ("angle", "width", "height", "shear", "right", "down")  # the order in which they are drawn
NOTHING: dict[str, Any] = {"degrees": 0, "scale": 0, "shear": 0, "translate": 0}


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=Generator().manual_seed(seed))


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the draws what it is told, in [-1, 1] and 0 unless told."""

    def force_draws(**drawn: float) -> None:
        def rand(rows: int, count: int, **_: Any) -> Tensor:
            assert rows == len(AMOUNTS)
            values = torch.tensor([drawn.get(name, 0.0) for name in AMOUNTS])
            return ((values + 1) / 2)[:, None].repeat(1, count)

        monkeypatch.setattr(torch, "rand", rand)

    return force_draws


@given(shape=shapes(), seed=st.integers(0, 9), interpolation=st.sampled_from(["bilinear", "bicubic"]))
def test_zero_amounts_change_nothing(
    shape: tuple[int, ...], seed: int, interpolation: Literal["bilinear", "bicubic"]
) -> None:
    images = random_images(*shape, seed=seed)
    augment = Augment(**NOTHING, interpolation=interpolation)
    assert torch.equal(augment(images, Generator().manual_seed(seed)), images)


@given(shape=shapes(), seed=st.integers(0, 9))
def test_dtype_and_shape_stay_and_no_pixel_is_brighter_than_before(shape: tuple[int, ...], seed: int) -> None:
    images = random_images(*shape, seed=seed) // 2
    before = images.clone()
    moved = Augment(degrees=180, scale=0.5, shear=1, translate=5)(images, Generator().manual_seed(seed))
    assert moved.dtype == torch.uint8
    assert moved.shape == images.shape
    assert (moved.amax((2, 3)) <= images.amax((2, 3))).all()
    assert torch.equal(images, before)


def test_the_same_seed_gives_the_same_result_and_another_gives_another() -> None:
    images = random_images(3, 1, 28, 28)
    first, again, other = (Augment()(images, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_generator_the_global_one_draws() -> None:
    images = random_images(2, 1, 9, 9)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = Augment()(images)
        torch.manual_seed(5)
        assert torch.equal(Augment()(images), expected)
        assert not torch.equal(Augment()(images), expected)


@pytest.mark.parametrize("amount", ["degrees", "scale", "shear", "translate", "elastic"])
def test_every_amount_alone_distorts_each_image_in_its_own_way(amount: str) -> None:
    images = random_images(1, 1, 28, 28).repeat(8, 1, 1, 1)
    amounts = NOTHING | {amount: getattr(Augment(elastic=1), amount)}
    moved = Augment(**amounts)(images, Generator().manual_seed(0))
    assert len(np.unique(moved.flatten(1), axis=0)) == 8


def test_all_channels_of_an_image_are_distorted_alike() -> None:
    moved = Augment()(random_images(2, 1, 20, 20).repeat(1, 3, 1, 1), Generator().manual_seed(0))
    assert torch.equal(moved, moved[:, :1].repeat(1, 3, 1, 1))


def test_the_draws_fill_their_ranges_and_do_not_leave_them() -> None:
    images = random_images(4000, 1, 20, 10)
    matrices = Augment(**NOTHING | {"translate": 2})._matrices(images, Generator().manual_seed(0))
    shifts = matrices[:, :, 2] * torch.tensor([10, 20]) / 2
    assert shifts.abs().max() <= 2
    assert shifts.amin(0).tolist() == pytest.approx([-2, -2], abs=0.01)
    assert shifts.amax(0).tolist() == pytest.approx([2, 2], abs=0.01)
    turned = Augment(**NOTHING | {"degrees": 30})._matrices(images[:, :, :10], Generator().manual_seed(0))
    angles = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    assert (angles.min().item(), angles.max().item()) == pytest.approx((-30, 30), abs=0.1)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, 1), (-1, 1), (2, -3)])
def test_a_shift_of_whole_pixels_is_exact_and_brings_in_black(force: Any, right: int, down: int) -> None:
    images = random_images(2, 3, 12, 17)
    force(right=-right / 4, down=-down / 4)  # the map goes from places in the result to places in the image
    moved = Augment(**NOTHING | {"translate": 4})(images)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    assert torch.equal(moved, padded[:, :, 4 - down : 16 - down, 4 - right : 21 - right])


def test_half_a_pixel_is_between_two_or_under_the_cubic_of_keys(force: Any) -> None:
    images = random_images(2, 1, 3, 9)
    around = torch.nn.functional.pad(images.double(), (1, 2)).unfold(3, 4, 1)
    weights = {"bilinear": [0, 0.5, 0.5, 0], "bicubic": [-0.09375, 0.59375, 0.59375, -0.09375]}
    names: tuple[Literal["bilinear", "bicubic"], ...] = ("bilinear", "bicubic")
    for interpolation in names:
        force(right=0.5)
        found = Augment(0, 0, 0, 1, interpolation=interpolation)(images)
        expected = (around @ torch.tensor(weights[interpolation], dtype=torch.float64)).clamp(0, 255)
        assert (found.double() - expected).abs().max() <= 0.51


@pytest.mark.parametrize(("size", "quarters"), [(28, 1), (28, -1), (28, 2), (9, 1), (9, -2)])
def test_a_turn_by_quarters_is_exact(force: Any, size: int, quarters: int) -> None:
    images = random_images(2, 3, size, size)
    force(angle=quarters / 2)
    moved = Augment(**NOTHING | {"degrees": 180})(images)
    assert torch.equal(moved, torch.rot90(images, quarters, (2, 3)))


def test_a_turn_of_an_oblong_image_does_not_stretch_it(force: Any) -> None:
    images = torch.zeros(1, 1, 12, 24, dtype=torch.uint8)
    images[:, :, 4:8, 8:16] = 200
    force(angle=1)
    moved = Augment(**NOTHING | {"degrees": 90})(images)
    expected = torch.zeros_like(images)
    expected[:, :, 2:10, 10:14] = 200
    assert torch.equal(moved, expected)


@pytest.mark.parametrize(("axis", "rows", "columns"), [("width", 8, 4), ("height", 4, 8)])
def test_scale_changes_width_and_height_independently(force: Any, axis: str, rows: int, columns: int) -> None:
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 10:18, 10:18] = 200
    force(**{axis: -1})
    moved = Augment(**NOTHING | {"scale": 0.5})(images)
    expected = torch.zeros_like(images)
    expected[:, :, 14 - rows // 2 : 14 + rows // 2, 14 - columns // 2 : 14 + columns // 2] = 200
    assert torch.equal(moved, expected)


def test_shear_shifts_a_row_by_its_share_of_the_distance_from_the_centre(force: Any) -> None:
    images = random_images(1, 1, 10, 10)
    force(shear=1)
    moved = Augment(**NOTHING | {"shear": 2})(images)
    for row in range(10):
        shift = 2 * row - 9  # twice the distance of 4.5 pixels and less
        expected = [images[0, 0, row, x + shift].item() if 0 <= x + shift < 10 else 0 for x in range(10)]
        assert moved[0, 0, row].tolist() == expected


def test_scale_shear_and_turn_are_done_in_this_order_and_in_pixels() -> None:
    augment = Augment(degrees=40, scale=0.3, shear=0.5, translate=3)
    matrices = augment._matrices(random_images(5, 1, 20, 10), Generator().manual_seed(0))
    drawn = 2 * torch.rand(6, 5, generator=Generator().manual_seed(0)) - 1
    to_pixels = torch.diag(torch.tensor([5.0, 10.0]))  # half of the sides
    for found, (angle, wide, high, shear, right, down) in zip(matrices, drawn.T.tolist(), strict=True):
        cos, sin = math.cos(math.radians(40 * angle)), math.sin(math.radians(40 * angle))
        turn, sheared = torch.tensor([[cos, -sin], [sin, cos]]), torch.tensor([[1, 0.5 * shear], [0, 1]])
        scaled = torch.diag(1 / torch.tensor([1 + 0.3 * wide, 1 + 0.3 * high]))
        torch.testing.assert_close(to_pixels @ found[:, :2] @ to_pixels.inverse(), turn @ sheared @ scaled)
        torch.testing.assert_close(to_pixels @ found[:, 2], 3 * torch.tensor([right, down]))


@pytest.mark.parametrize(("height", "width", "smoothness"), [(28, 28, 4.0), (20, 11, 2.0), (9, 40, 7.0)])
def test_bending_is_a_field_of_normal_numbers_under_a_gaussian(height: int, width: int, smoothness: float) -> None:
    augment = Augment(elastic=1.5, smoothness=smoothness)
    images = torch.zeros(6000, 1, height, width, dtype=torch.uint8)
    field = augment._field(images, Generator().manual_seed(0)).movedim(1, 3)
    field *= torch.tensor([width, height]) / 2  # in pixels
    assert field.shape == (6000, height, width, 2)
    assert field.mean((0, 1, 2)).tolist() == pytest.approx([0, 0], abs=0.05)
    torch.testing.assert_close(field.std(0), torch.full((height, width, 2), 1.5), rtol=0.06, atol=0)
    assert (field[..., 0] * field[..., 1]).mean() == pytest.approx(0, abs=0.1)
    for axis, length in ((1, height), (2, width)):
        for distance in range(
            1, length - 1, 3
        ):  # white noise under a Gaussian is correlated as one of twice the variance
            products = field.narrow(axis, 0, length - distance) * field.narrow(axis, distance, length - distance)
            expected = 1.5**2 * math.exp(-(distance**2) / (4 * smoothness**2))
            assert products.mean() == pytest.approx(expected, abs=0.12)


def test_bending_moves_ink_as_far_as_the_field_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda shape, **_: torch.ones(shape))
    images = random_images(2, 1, 24, 24)
    weight = _gaussians(24, 4.0, torch.device("cpu")).sum(1)
    augment = Augment(**NOTHING | {"elastic": 3 / (weight.mean() ** 2).item()})
    moved = augment(images)  # a field of ones is nearly the same everywhere: all moves by 3 pixels, up and left
    torch.testing.assert_close(moved[:, :, :20, :20].int(), images[:, :, 3:23, 3:23].int(), rtol=0, atol=12)


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("degrees", -1.0),
        ("elastic", -1.0),
        ("degrees", float("nan")),
        ("scale", 1.0),
        ("scale", -0.1),
        ("shear", float("inf")),
        ("translate", -2.0),
    ],
)
def test_an_amount_out_of_range_is_refused(name: str, amount: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {amount}; expected a finite amount of at least 0"):
        Augment(**dict[str, Any]({name: amount}))


def test_a_flip_mirrors_left_and_right_with_its_probability() -> None:
    images = random_images(400, 1, 9, 8)
    assert torch.equal(Augment(**NOTHING | {"flip": 1})(images, Generator().manual_seed(0)), images.flip(3))
    moved = Augment(**NOTHING | {"flip": 0.25})(images, Generator().manual_seed(0))
    flipped = (moved == images.flip(3)).flatten(1).all(1)
    assert torch.equal(moved[~flipped], images[~flipped])
    assert 70 <= flipped.sum() <= 130
    with pytest.raises(ValueError, match="flip is 2; expected a probability"):
        Augment(flip=2)


def test_another_interpolation_is_refused() -> None:
    with pytest.raises(ValueError, match='interpolation is \'nearest\'; expected "bilinear" or "bicubic"'):
        Augment(interpolation="nearest")  # type: ignore[arg-type]


def test_a_field_finer_than_the_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"smoothness is 0\.5; expected at least 1 pixel"):
        Augment(smoothness=0.5)


@pytest.mark.parametrize(
    "images", [torch.rand(2, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(8, dtype=torch.uint8)]
)
def test_what_are_no_uint8_images_is_refused_with_shape_and_dtype(images: Tensor) -> None:

    with pytest.raises(ValueError, match=r"images have shape .* and dtype .*; expected \(N, C, H, W\)"):
        Augment()(images)
