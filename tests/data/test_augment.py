import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment
from lenet5.data.augment import _gaussian_weights

PARAMETERS = ("angle", "scale_x", "scale_y", "shear", "shift_x", "shift_y")  # in the order of the random draws
IDENTITY: dict[str, Any] = {"degrees": 0, "scale": 0, "shear": 0, "translate": 0}


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=Generator().manual_seed(seed))


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the random parameters to values in [-1, 1], 0 by default."""

    def force_parameters(**parameters: float) -> None:
        def rand(num_parameters: int, num_images: int, **_: Any) -> Tensor:
            assert num_parameters == len(PARAMETERS)
            values = torch.tensor([parameters.get(name, 0.0) for name in PARAMETERS])
            return ((values + 1) / 2)[:, None].repeat(1, num_images)

        monkeypatch.setattr(torch, "rand", rand)

    return force_parameters


@given(shape=shapes(), seed=st.integers(0, 9), interpolation=st.sampled_from(["bilinear", "bicubic"]))
def test_zero_parameters_are_the_identity(
    shape: tuple[int, ...], seed: int, interpolation: Literal["bilinear", "bicubic"]
) -> None:
    images = random_images(*shape, seed=seed)
    augment = Augment(**IDENTITY, interpolation=interpolation)
    assert torch.equal(augment(images, Generator().manual_seed(seed)), images)


@given(shape=shapes(), seed=st.integers(0, 9))
def test_augment_keeps_dtype_and_shape_and_does_not_exceed_the_maximum(shape: tuple[int, ...], seed: int) -> None:
    images = random_images(*shape, seed=seed) // 2
    before = images.clone()
    distorted = Augment(degrees=180, scale=0.5, shear=1, translate=5)(images, Generator().manual_seed(seed))
    assert distorted.dtype == torch.uint8
    assert distorted.shape == images.shape
    assert (distorted.amax((2, 3)) <= images.amax((2, 3))).all()
    assert torch.equal(images, before)


def test_result_depends_only_on_the_seed() -> None:
    images = random_images(3, 1, 28, 28)
    first, repeated, different = (Augment()(images, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, different)


def test_default_generator_is_the_global_one() -> None:
    images = random_images(2, 1, 9, 9)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = Augment()(images)
        torch.manual_seed(5)
        assert torch.equal(Augment()(images), expected)
        assert not torch.equal(Augment()(images), expected)


@pytest.mark.parametrize("name", ["degrees", "scale", "shear", "translate", "elastic"])
def test_each_parameter_distorts_images_independently(name: str) -> None:
    images = random_images(1, 1, 28, 28).repeat(8, 1, 1, 1)
    parameters = IDENTITY | {name: getattr(Augment(elastic=1), name)}
    distorted = Augment(**parameters)(images, Generator().manual_seed(0))
    assert len(np.unique(distorted.flatten(1), axis=0)) == 8


def test_channels_share_one_distortion() -> None:
    distorted = Augment()(random_images(2, 1, 20, 20).repeat(1, 3, 1, 1), Generator().manual_seed(0))
    assert torch.equal(distorted, distorted[:, :1].repeat(1, 3, 1, 1))


def test_random_parameters_fill_their_ranges() -> None:
    images = random_images(4000, 1, 20, 10)
    matrices = Augment(**IDENTITY | {"translate": 2})._affine_matrices(images, Generator().manual_seed(0))
    shifts = matrices[:, :, 2] * torch.tensor([10, 20]) / 2
    assert shifts.abs().max() <= 2
    assert shifts.amin(0).tolist() == pytest.approx([-2, -2], abs=0.01)
    assert shifts.amax(0).tolist() == pytest.approx([2, 2], abs=0.01)
    rotations = Augment(**IDENTITY | {"degrees": 30})._affine_matrices(images[:, :, :10], Generator().manual_seed(0))
    angles = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0]).rad2deg()
    assert (angles.min().item(), angles.max().item()) == pytest.approx((-30, 30), abs=0.1)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, 1), (-1, 1), (2, -3)])
def test_shift_by_whole_pixels_is_exact_and_pads_with_black(force: Any, right: int, down: int) -> None:
    images = random_images(2, 3, 12, 17)
    force(shift_x=-right / 4, shift_y=-down / 4)  # the map goes from output to source coordinates
    distorted = Augment(**IDENTITY | {"translate": 4})(images)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    assert torch.equal(distorted, padded[:, :, 4 - down : 16 - down, 4 - right : 21 - right])


def test_shift_by_half_a_pixel_follows_the_interpolation_kernel(force: Any) -> None:
    images = random_images(2, 1, 3, 9)
    neighbours = torch.nn.functional.pad(images.double(), (1, 2)).unfold(3, 4, 1)
    weights = {"bilinear": [0, 0.5, 0.5, 0], "bicubic": [-0.09375, 0.59375, 0.59375, -0.09375]}
    names: tuple[Literal["bilinear", "bicubic"], ...] = ("bilinear", "bicubic")
    for interpolation in names:
        force(shift_x=0.5)
        shifted = Augment(0, 0, 0, 1, interpolation=interpolation)(images)
        expected = (neighbours @ torch.tensor(weights[interpolation], dtype=torch.float64)).clamp(0, 255)
        assert (shifted.double() - expected).abs().max() <= 0.51


@pytest.mark.parametrize(("size", "quarters"), [(28, 1), (28, -1), (28, 2), (9, 1), (9, -2)])
def test_rotation_by_quarter_turns_is_exact(force: Any, size: int, quarters: int) -> None:
    images = random_images(2, 3, size, size)
    force(angle=quarters / 2)
    distorted = Augment(**IDENTITY | {"degrees": 180})(images)
    assert torch.equal(distorted, torch.rot90(images, quarters, (2, 3)))


def test_rotation_keeps_proportions_in_non_square_images(force: Any) -> None:
    images = torch.zeros(1, 1, 12, 24, dtype=torch.uint8)
    images[:, :, 4:8, 8:16] = 200
    force(angle=1)
    distorted = Augment(**IDENTITY | {"degrees": 90})(images)
    expected = torch.zeros_like(images)
    expected[:, :, 2:10, 10:14] = 200
    assert torch.equal(distorted, expected)


@pytest.mark.parametrize(("axis", "rows", "columns"), [("scale_x", 8, 4), ("scale_y", 4, 8)])
def test_width_and_height_scale_independently(force: Any, axis: str, rows: int, columns: int) -> None:
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 10:18, 10:18] = 200
    force(**{axis: -1})
    distorted = Augment(**IDENTITY | {"scale": 0.5})(images)
    expected = torch.zeros_like(images)
    expected[:, :, 14 - rows // 2 : 14 + rows // 2, 14 - columns // 2 : 14 + columns // 2] = 200
    assert torch.equal(distorted, expected)


def test_shear_shifts_rows_in_proportion_to_their_distance_from_the_centre(force: Any) -> None:
    images = random_images(1, 1, 10, 10)
    force(shear=1)
    distorted = Augment(**IDENTITY | {"shear": 2})(images)
    for row in range(10):
        shift = 2 * row - 9  # twice the distance from the centre at 4.5
        expected = [images[0, 0, row, x + shift].item() if 0 <= x + shift < 10 else 0 for x in range(10)]
        assert distorted[0, 0, row].tolist() == expected


def test_affine_map_scales_then_shears_then_rotates_in_pixel_units() -> None:
    augment = Augment(degrees=40, scale=0.3, shear=0.5, translate=3)
    matrices = augment._affine_matrices(random_images(5, 1, 20, 10), Generator().manual_seed(0))
    parameters = 2 * torch.rand(6, 5, generator=Generator().manual_seed(0)) - 1
    to_pixels = torch.diag(torch.tensor([5.0, 10.0]))  # half the width and height
    for matrix, (angle, scale_x, scale_y, shear, *shifts) in zip(matrices, parameters.T.tolist(), strict=True):
        cos, sin = math.cos(math.radians(40 * angle)), math.sin(math.radians(40 * angle))
        rotation, sheared = torch.tensor([[cos, -sin], [sin, cos]]), torch.tensor([[1, 0.5 * shear], [0, 1]])
        scaled = torch.diag(1 / torch.tensor([1 + 0.3 * scale_x, 1 + 0.3 * scale_y]))
        torch.testing.assert_close(to_pixels @ matrix[:, :2] @ to_pixels.inverse(), rotation @ sheared @ scaled)
        torch.testing.assert_close(to_pixels @ matrix[:, 2], 3 * torch.tensor(shifts))


@pytest.mark.parametrize(("height", "width", "smoothness"), [(28, 28, 4.0), (20, 11, 2.0), (9, 40, 7.0)])
def test_displacements_are_normal_noise_smoothed_by_a_gaussian(height: int, width: int, smoothness: float) -> None:
    augment = Augment(elastic=1.5, smoothness=smoothness)
    images = torch.zeros(6000, 1, height, width, dtype=torch.uint8)
    field = augment._displacements(images, Generator().manual_seed(0)).movedim(1, 3)
    field *= torch.tensor([width, height]) / 2  # in pixels
    assert field.shape == (6000, height, width, 2)
    assert field.mean((0, 1, 2)).tolist() == pytest.approx([0, 0], abs=0.05)
    torch.testing.assert_close(field.std(0), torch.full((height, width, 2), 1.5), rtol=0.06, atol=0)
    assert (field[..., 0] * field[..., 1]).mean() == pytest.approx(0, abs=0.1)
    for axis, length in ((1, height), (2, width)):
        for distance in range(1, length - 1, 3):
            products = field.narrow(axis, 0, length - distance) * field.narrow(axis, distance, length - distance)
            # the autocorrelation of smoothed white noise is a Gaussian of twice the variance
            expected = 1.5**2 * math.exp(-(distance**2) / (4 * smoothness**2))
            assert products.mean() == pytest.approx(expected, abs=0.12)


def test_elastic_distortion_shifts_pixels_by_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda shape, **_: torch.ones(shape))
    images = random_images(2, 1, 24, 24)
    weight = _gaussian_weights(24, 4.0, torch.device("cpu")).sum(1)
    augment = Augment(**IDENTITY | {"elastic": 3 / (weight.mean() ** 2).item()})
    distorted = augment(images)  # constant noise gives a nearly constant field: a shift by 3 pixels up and left
    torch.testing.assert_close(distorted[:, :, :20, :20].int(), images[:, :, 3:23, 3:23].int(), rtol=0, atol=12)


@pytest.mark.parametrize(
    ("name", "value"),
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
def test_augment_rejects_parameter_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a finite number of at least 0"):
        Augment(**dict[str, Any]({name: value}))


def test_flip_mirrors_horizontally_with_the_given_probability() -> None:
    images = random_images(400, 1, 9, 8)
    assert torch.equal(Augment(**IDENTITY | {"flip": 1})(images, Generator().manual_seed(0)), images.flip(3))
    distorted = Augment(**IDENTITY | {"flip": 0.25})(images, Generator().manual_seed(0))
    flipped = (distorted == images.flip(3)).flatten(1).all(1)
    assert torch.equal(distorted[~flipped], images[~flipped])
    assert 70 <= flipped.sum() <= 130
    with pytest.raises(ValueError, match="flip is 2; expected a probability"):
        Augment(flip=2)


def test_numbers_of_numpy_are_numbers_and_strings_are_not() -> None:
    numbers: dict[str, Any] = {"degrees": np.float32(5), "translate": np.int64(1)}
    assert repr(Augment(**numbers)) == repr(Augment(degrees=5.0, translate=1))
    with pytest.raises(ValueError, match="degrees is 10; expected a finite number"):
        Augment(degrees="10")  # type: ignore[arg-type]


def test_augment_rejects_unknown_interpolation() -> None:
    with pytest.raises(ValueError, match='interpolation is \'nearest\'; expected "bilinear" or "bicubic"'):
        Augment(interpolation="nearest")  # type: ignore[arg-type]


def test_augment_rejects_smoothness_below_one_pixel() -> None:
    with pytest.raises(ValueError, match=r"smoothness is 0\.5; expected at least 1 pixel"):
        Augment(smoothness=0.5)


@pytest.mark.parametrize(
    "images", [torch.rand(2, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(8, dtype=torch.uint8)]
)
def test_augment_rejects_images_of_wrong_shape_or_dtype(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images have shape .* and dtype .*; expected uint8 \(N, C, H, W\)"):
        Augment()(images)
