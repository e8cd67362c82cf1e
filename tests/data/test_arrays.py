"""Own images in .npz files, as Keras and MedMNIST have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet5 import ImageDataset

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
LABELS = np.array([3, 10, 3, 9, 3, 9])


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("x_train", "y_train"),
        ("X_train", "Y_train"),
        ("train_images", "train_labels"),
        ("images", "labels"),
        ("x", "y"),
        ("X", "y"),
        ("data", "target"),
        ("image", "label"),
    ],
)
def test_arrays_are_found_by_their_names(images: str, labels: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **{images: PIXELS, labels: LABELS})  # type: ignore[arg-type]  # numpy has allow_pickle among the names
    dataset = ImageDataset.from_npz(tmp_path / "data.npz")
    assert np.array_equal(dataset.images[:, 0], PIXELS)
    assert dataset.classes == ("3", "9", "10")
    assert dataset.targets.tolist() == [0, 2, 0, 1, 0, 1]
    assert dataset.transform == dataset.preprocess


@pytest.mark.parametrize("names", [("{}_images", "{}_labels"), ("x_{}", "y_{}")])
def test_split_is_chosen_by_its_name(names: tuple[str, str], tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for number, split in enumerate(("train", "val", "test")):
        arrays |= {names[0].format(split): PIXELS[number:], names[1].format(split): LABELS[number:, None]}
    np.savez_compressed(tmp_path / "data.npz", **arrays)
    for number, split in enumerate(("train", "val", "test")):
        dataset = ImageDataset.from_npz(str(tmp_path / "data.npz"), split=split)
        assert np.array_equal(dataset.images[:, 0], PIXELS[number:])


@pytest.mark.parametrize(
    "images",
    [
        PIXELS[..., None],
        PIXELS[:, None],
        PIXELS[..., None].repeat(3, 3),
        PIXELS.astype(np.int64),
        PIXELS.astype(">u2") * 257,
        PIXELS / 255,
        PIXELS[:3],
    ],
    ids=["NHWC", "NCHW", "RGB", "int64", "16 bits", "float", "three images"],
)
def test_images_of_every_layout_and_dtype_are_read(images: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=images, labels=LABELS[: len(images)])
    assert np.array_equal(ImageDataset.from_npz(tmp_path / "data.npz").images[:, 0], PIXELS[: len(images)])


@pytest.mark.parametrize("batch", [1, 1000])
def test_all_images_of_16_bits_tell_their_range(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.data.arrays._BATCH", batch)
    images = PIXELS.astype(np.uint16) * 257
    images[1] = 200  # dark, beside others that are not
    np.savez(tmp_path / "data.npz", images=images, labels=LABELS)
    assert np.array_equal(ImageDataset.from_npz(tmp_path / "data.npz").images[:, 0], np.rint(images / 257))
    np.savez(tmp_path / "data.npz", images=PIXELS.astype(np.uint16), labels=LABELS)
    with pytest.raises(ValueError, match="data.npz, images: images of 16 bits have no value above 255, which is ambig"):
        ImageDataset.from_npz(tmp_path / "data.npz")


def test_labels_may_be_names(tmp_path: Path) -> None:
    names = np.array(["b", "a", "b", "c", "b", "a"])
    for labels in (names, names.astype("S")):
        np.savez(tmp_path / "data.npz", images=PIXELS, labels=labels)
        dataset = ImageDataset.from_npz(tmp_path / "data.npz", image_size=14, channels=3)
        assert (dataset.classes, dataset.images.shape) == (("a", "b", "c"), (6, 3, 14, 14))


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_whole_numbers_are_labels_whatever_their_dtype(dtype: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=PIXELS, labels=LABELS.astype(dtype)[:, None])
    np.savez(tmp_path / "integers.npz", images=PIXELS, labels=LABELS)
    dataset, expected = (ImageDataset.from_npz(tmp_path / name) for name in ("data.npz", "integers.npz"))
    assert dataset.classes == expected.classes
    assert dataset.targets.tolist() == expected.targets.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": PIXELS},
            "data.npz holds images; expected images and labels of 'train', such as x_train and y_train",
        ),
        ({"x_test": PIXELS, "y_test": LABELS}, "holds x_test, y_test; expected images and labels of 'train'"),
        ({}, "holds nothing; expected images and labels"),
        (
            {"x": PIXELS, "images": PIXELS, "y": LABELS},
            "holds x, images, y; expected one array of images and one of la",
        ),
        ({"x": PIXELS, "y": LABELS[:5]}, r"x has shape \(6, 28, 28\) and y \(5,\); expected \(N, H, W\)"),
        ({"x": PIXELS, "y": np.eye(6, dtype=int)}, r"x has shape \(6, 28, 28\) and y \(6, 6\); expected"),
        ({"x": PIXELS, "y": LABELS / 2}, r"data.npz: y holds \d\.5; expected integers or strings"),
        ({"x": PIXELS, "y": LABELS * np.nan}, "y holds nan; expected integers or strings"),
        ({"x": PIXELS, "y": LABELS * 1e300}, r"y holds \de\+300; expected integers or strings"),
        ({"x": PIXELS, "y": LABELS * 1j}, "y has dtype complex128; expected integers or strings"),
        ({"x": PIXELS / 1, "y": LABELS}, r"data.npz, x: images lie in \[0, 255\]; expected \[0, 1\]"),
        ({"x": PIXELS, "y": LABELS * 0}, "data.npz has one class, '0'; expected at least two"),
        ({"x": PIXELS, "y": np.array([object()] * 6)}, "data.npz: y holds Python objects, which loading could execute"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_arrays_that_hold_no_dataset_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        ImageDataset.from_npz(tmp_path / "data.npz")


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=PIXELS, y=LABELS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[500] ^= 255
    for content in (b"", b"no archive", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="data.npz"):
            ImageDataset.from_npz(path)
    np.save(tmp_path / "array.npy", PIXELS)
    with pytest.raises(ValueError, match="array.npy is not a readable .npz file; expected images"):
        ImageDataset.from_npz(tmp_path / "array.npy")
    with pytest.raises(FileNotFoundError, match="nowhere.npz does not exist"):
        ImageDataset.from_npz(tmp_path / "nowhere.npz")
