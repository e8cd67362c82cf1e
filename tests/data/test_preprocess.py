import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet5 import Preprocess

Pixels = npt.NDArray[np.uint8]

PLAIN: dict[str, Any] = {"mean": 0.0, "std": 1.0}  # keeps pixels in [0, 1]


def random_pixels(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


KINDS = ["HW", "CHW", "HWC", "NHW", "NHWC", "NCHW", "PIL", "list"]
FORMS: list[Callable[[Pixels], Any]] = [np.asarray, torch.from_numpy]


@st.composite
def images_in_containers(draw: st.DrawFn) -> tuple[str, Pixels]:
    """Draw a container type and its images (N, C, H, W)."""
    kind = draw(st.sampled_from(KINDS))
    count = draw(st.sampled_from([2, 5])) if kind[0] in "Nl" else 1
    channels = 1 if kind in {"HW", "NHW", "CHW"} else draw(st.sampled_from([1, 3, 4]))
    height, width = draw(st.integers(5, 40)), draw(st.integers(5, 40))
    return kind, draw(hnp.arrays("uint8", (count, channels, height, width), fill=st.integers(0, 255)))


def contain(kind: str, pixels: npt.NDArray[Any], form: Callable[[Any], Any] = np.asarray) -> Any:
    """Convert (N, C, H, W) to a container type."""
    last = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    if kind == "PIL":
        return PIL.Image.fromarray(last[0, :, :, 0] if last.shape[3] == 1 else last[0])
    if kind == "list":
        return [form(pixels[:1]), *map(form, last[1:])]
    return form(
        {"HW": pixels[0, 0], "CHW": pixels[0], "HWC": last[0], "NHW": pixels[:, 0], "NHWC": last, "NCHW": pixels}[kind]
    )


@given(
    case=images_in_containers(), form=st.sampled_from(FORMS), size=st.integers(1, 33), channels=st.sampled_from([1, 3])
)
def test_one_image_gives_chw_and_a_batch_gives_nchw_for_tensors_and_arrays(
    case: tuple[str, Pixels], form: Callable[[Any], Any], size: int, channels: int
) -> None:
    kind, pixels = case
    preprocess = Preprocess(image_size=size, channels=channels)
    result = preprocess(contain(kind, pixels, form))
    assert result.dtype == torch.float32
    expected = preprocess(torch.from_numpy(pixels))
    assert expected.shape == (len(pixels), channels, size, size)
    assert torch.equal(result, expected if kind[0] in "Nl" else expected[0])


@given(case=images_in_containers(), dtype=st.sampled_from(["float32", "float64"]), size=st.integers(1, 33))
def test_uint8_and_unit_interval_inputs_agree(case: tuple[str, Pixels], dtype: str, size: int) -> None:
    kind, pixels = case
    kind = "HWC" if kind == "PIL" else kind
    preprocess = Preprocess(image_size=size, **PLAIN)
    difference = preprocess(contain(kind, pixels.astype(dtype) / np.array(255, dtype))) - preprocess(
        contain(kind, pixels)
    )
    assert difference.abs().max() <= 0.501 / 255  # uint8 images are rounded when they are resized


@given(pixels=hnp.arrays("uint8", (2, 1, 28, 28)), mean=st.floats(0, 1, width=32), std=st.floats(0.0625, 1, width=32))
def test_images_of_output_size_are_only_normalised(pixels: Pixels, mean: float, std: float) -> None:
    expected = torch.from_numpy((pixels / 255 - mean) / std).float()
    batch = Preprocess(mean=mean, std=std)(torch.from_numpy(pixels))
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(Preprocess(mean=mean, std=std).normalize(torch.from_numpy(pixels)), batch)


def test_defaults_are_the_statistics_of_mnist() -> None:
    assert Preprocess() == Preprocess(image_size=28, channels=1, mean=0.1307, std=0.3081)
    black, white = Preprocess()(np.array([[0, 255]], np.uint8).repeat(28, 0).repeat(14, 1))[0, 0, [0, 27]].tolist()
    assert (black, white) == pytest.approx((-0.1307 / 0.3081, 0.8693 / 0.3081), abs=1e-6)


@given(pixels=hnp.arrays("uint8", st.tuples(st.just(9), st.just(9), st.just(3))))
def test_greyscale_conversion_matches_pil(pixels: Pixels) -> None:
    grey = Preprocess(image_size=9, **PLAIN)(pixels)[0].numpy() * 255
    expected = np.asarray(PIL.Image.fromarray(pixels).convert("L"), np.float32)
    assert np.abs(grey - expected).max() <= 1


def test_greyscale_is_repeated_in_three_channels() -> None:
    image = Preprocess(channels=3, **PLAIN)(random_pixels(28, 28))
    assert torch.equal(image, image[:1].expand(3, 28, 28))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_8_bit_pil_mode_is_converted_as_in_pil(mode: str) -> None:
    image = PIL.Image.fromarray(random_pixels(9, 9, 3)).convert("RGBA" if mode == "PA" else "RGB").convert(mode)
    batch = Preprocess(image_size=9, **PLAIN)(image)
    assert batch.shape == (1, 9, 9)
    expected = np.asarray(image.convert("RGB").convert("L"), np.float32)
    assert np.abs(batch[0].numpy() * 255 - expected).max() <= 1


def test_transparent_pixels_are_composited_on_black() -> None:
    clear, half, opaque = 0, 51, 255
    pixels = np.full((5, 5, 4), 200, np.uint8)
    pixels[2, 1:4, 3] = clear, half, opaque
    palette = PIL.Image.new("P", (3, 3), 1)
    palette.putpalette([0, 0, 0, 200, 200, 200, 200, 200, 200])
    palette.putpixel((1, 1), 2)
    palette.info["transparency"] = 1
    for image in (pixels, PIL.Image.fromarray(pixels), PIL.Image.fromarray(pixels).convert("LA")):
        row = Preprocess(image_size=5, **PLAIN)(image)[0, 2, 1:4] * 255
        assert row.tolist() == pytest.approx([0, 40, 200], abs=1)
    assert (Preprocess(image_size=3, **PLAIN)(palette)[0] * 255).round().tolist() == [[0, 0, 0], [0, 200, 0], [0, 0, 0]]


@pytest.mark.parametrize(("height", "width"), [(4, 8), (8, 4), (7, 8), (8, 5), (1, 8)])
def test_non_square_image_is_centred_on_black(height: int, width: int) -> None:
    batch = Preprocess(image_size=8, **PLAIN)(np.full((height, width), 255, np.uint8))
    expected = torch.zeros(8, 8)
    top, left = (8 - height) // 2, (8 - width) // 2
    expected[top : top + height, left : left + width] = 1
    assert torch.equal(batch[0], expected)


def test_resizing_matches_antialiased_bilinear_in_pil() -> None:
    blocks = random_pixels(7, 7)
    reduced = Preprocess(image_size=7, **PLAIN)(blocks.repeat(4, 0).repeat(4, 1)) * 255
    expected = PIL.Image.fromarray(blocks.repeat(4, 0).repeat(4, 1)).resize((7, 7), PIL.Image.Resampling.BILINEAR)
    assert np.abs(reduced[0].numpy() - np.asarray(expected, np.float32)).max() < 1.5
    enlarged = Preprocess(image_size=28, **PLAIN)(blocks) * 255
    expected = PIL.Image.fromarray(blocks).resize((28, 28), PIL.Image.Resampling.BILINEAR)
    assert np.abs(enlarged[0].numpy() - np.asarray(expected, np.float32)).max() < 1.5


def test_sequence_of_mixed_sizes_and_types_becomes_one_batch() -> None:
    pixels = [random_pixels(28, 28), random_pixels(5, 60), random_pixels(30, 30, 3), random_pixels(2, 10, 10)]
    mixed: Any = [pixels[0], PIL.Image.fromarray(pixels[1]), torch.from_numpy(pixels[2]), (pixels[3],)]
    batch = Preprocess()(mixed)
    assert torch.equal(batch, torch.cat([Preprocess()([image]) for image in pixels]))
    assert len(batch) == 5


@pytest.mark.parametrize(
    "pixels", [random_pixels(2, 1, 28, 28), random_pixels(2, 1, 28, 28) / 255, random_pixels(9, 9)]
)
def test_input_is_not_modified(pixels: npt.NDArray[Any]) -> None:
    before = pixels.copy()
    for given_in in (pixels, torch.from_numpy(pixels)):
        Preprocess()(given_in).zero_()
        assert np.array_equal(pixels, before)


def test_normalize_accepts_any_shape_and_does_not_modify_its_input() -> None:
    pixels = torch.tensor([0.0, 127.5, 255.0])
    normalised = Preprocess(mean=0.5, std=0.25).normalize(pixels)
    torch.testing.assert_close(normalised, torch.tensor([-2.0, 0.0, 2.0]))
    assert pixels.tolist() == [0, 127.5, 255]


@pytest.mark.parametrize("kind", ["PIL", "array"])
def test_read_only_memory_gives_no_warning(kind: str) -> None:
    pixels = random_pixels(28, 28)
    pixels.setflags(write=False)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # otherwise only the first warning of a process is shown
    try:
        batch = Preprocess()(PIL.Image.fromarray(pixels) if kind == "PIL" else pixels)
    finally:
        torch.set_warn_always(always)
    assert torch.equal(batch, Preprocess()(pixels.copy()))


def test_result_is_on_the_device_of_the_images() -> None:
    assert Preprocess()(torch.zeros(2, 1, 28, 28, dtype=torch.uint8, device="meta")).device.type == "meta"


@pytest.mark.parametrize(("values", "count"), [([np.nan], 1), ([np.nan, np.inf, -np.inf], 3)])
def test_non_finite_values_are_rejected_with_their_count(values: list[float], count: int) -> None:
    images = np.zeros((2, 1, 28, 28))
    images[1, 0, 3, : len(values)] = values
    with pytest.raises(ValueError, match=f"images hold {count} values that are NaN or infinite; expected finite"):
        Preprocess()(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros(28, np.uint8), r"images have shape \(28,\); expected 2 to 4 dimensions, none of them empty"),
        (np.zeros((1, 1, 1, 28, 28), np.uint8), r"shape \(1, 1, 1, 28, 28\); expected 2 to 4 dimensions"),
        (np.zeros((0, 1, 28, 28), np.uint8), r"shape \(0, 1, 28, 28\); .* none of them empty"),
        (np.zeros((28, 0, 3), np.uint8), r"shape \(28, 0, 3\); .* none of them empty"),
        (np.zeros((0, 28), np.uint8), r"shape \(0, 28\); .* none of them empty"),
        (np.zeros((0, 0), np.uint8), r"shape \(0, 0\); .* none of them empty"),
        (torch.zeros(2, 2, 28, 28), r"images have shape \(2, 2, 28, 28\); expected 1, 3 or 4 channels"),
        (np.zeros((5, 28, 28, 2), np.uint8), r"images have shape \(5, 28, 28, 2\); expected 1, 3 or 4 channels"),
        (np.zeros((28, 28), np.complex64), "images have dtype complex64; expected uint8"),
        (torch.zeros(28, 28, dtype=torch.complex64), "images have dtype torch.complex64; expected uint8"),
        (np.full((28, 28), "0"), "images have dtype <U1; expected uint8"),
        (np.full((28, 28), 1.5), r"images lie in \[1.5, 1.5\]; expected \[0, 1\], not normalised \(or pass uint8\)"),
        (torch.tensor([[-0.5, 1]]), r"images lie in \[-0.5, 1\]; expected \[0, 1\], not normalised"),
        ([], "no images were given; expected at least one"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_preprocess_rejects_wrong_shapes_dtypes_and_values(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess()(images)


@pytest.mark.parametrize(
    ("images", "name"),
    [(None, "NoneType"), (7, "int"), ([[0, 1], [1, 0]], "int"), ({"image": 1}, "dict"), ("digit.png", "str")],
)
def test_preprocess_rejects_wrong_types(images: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"images are {name}; expected a PIL image, an array or a tensor"):
        Preprocess()(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected an integer of at least 1"),
        ({"channels": 2}, "channels is 2; expected 1 or 3"),
        ({"mean": -0.1}, r"mean is -0.1 and std is 0.3081; expected them in \[0, 1\], and std above 0"),
        ({"mean": float("nan")}, "mean is nan and std is 0.3081; expected"),
        ({"mean": [0.5, 0.5]}, r"mean is \[0.5, 0.5\] and .* or one per channel \(here 1\)"),
        ({"mean": [0.5, 0.5, float("nan")], "channels": 3}, r"one per channel \(here 3\)"),
        ({"std": [0.5, 0.5, 0], "channels": 3}, r"one per channel \(here 3\)"),
        ({"mean": ["0"]}, "expected them in"),
        ({"std": 0.0}, "mean is 0.1307 and std is 0.0; expected"),
        ({"std": 78.6}, "mean is 0.1307 and std is 78.6; expected"),
    ],
)
def test_preprocess_rejects_parameters_out_of_range(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess(**parameters)


def test_padding_is_added_unless_the_image_has_the_output_size() -> None:
    preprocess = Preprocess(image_size=12, padding=2, mean=0.0, std=1.0)
    resized, unchanged = (torch.full((1, 1, side, side), 255, dtype=torch.uint8) for side in (16, 12))
    torch.testing.assert_close(preprocess(resized), torch.nn.functional.pad(torch.ones(1, 1, 8, 8), (2, 2, 2, 2)))
    torch.testing.assert_close(preprocess(unchanged), torch.ones(1, 1, 12, 12))


@pytest.mark.parametrize("padding", [-1, 14])
def test_preprocess_rejects_padding_without_room_for_the_image(padding: int) -> None:
    with pytest.raises(
        ValueError, match=f"padding is {padding}; expected an integer of at least 0, and less than half of 28"
    ):
        Preprocess(padding=padding)


@pytest.mark.parametrize(
    ("name", "value"), [("image_size", 28.5), ("image_size", "28"), ("padding", 0.5), ("mean", "0")]
)
def test_preprocess_rejects_parameters_that_are_no_numbers(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}|{name} is '{value}'"):
        Preprocess(**{name: value})  # type: ignore[arg-type]


def test_numbers_of_any_type_become_numbers_that_json_can_hold() -> None:
    fields: dict[str, Any] = {"image_size": np.int64(32), "channels": torch.tensor(1), "padding": pd.Series([2])[0]}
    fields |= {"mean": np.float32(0.5), "std": np.float64(0.25)}
    preprocess = Preprocess(**fields)
    assert preprocess == Preprocess(image_size=32, channels=1, padding=2, mean=0.5, std=0.25)
    assert Preprocess(**json.loads(json.dumps(dataclasses.asdict(preprocess)))) == preprocess


@given(size=st.integers(1, 40), channels=st.sampled_from([1, 3]), padding=st.integers(0, 2))
def test_preprocessing_what_resize_returned_only_normalises_it(size: int, channels: int, padding: int) -> None:
    preprocess = Preprocess(image_size=size + 4, channels=channels, padding=padding)
    image = PIL.Image.fromarray(random_pixels(23, 37, 3))
    resized = preprocess.resize(image)
    assert (resized.dtype, resized.shape) == (torch.uint8, (channels, size + 4, size + 4))
    assert torch.equal(preprocess(resized[None])[0], preprocess(image))
