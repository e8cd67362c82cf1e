import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from lenet5 import DataSplits, ImageDataset, Preprocess, load_data


@contextlib.contextmanager
def all_torch_warnings() -> Iterator[None]:
    """Repeat warnings that torch shows only once per process."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        yield
    finally:
        torch.set_warn_always(before)


def small_dataset() -> ImageDataset:
    images = torch.arange(24, dtype=torch.uint8).view(6, 1, 2, 2)
    return ImageDataset(images, torch.arange(6) % 3, classes=["a", "b", "c"])


@pytest.mark.parametrize(
    "targets", [[0, 1, 1], np.array([0, 1, 1], np.uint8), torch.tensor([0, 1, 1], dtype=torch.int32)]
)
def test_dataset_accepts_targets_as_list_array_or_tensor(targets: Any) -> None:
    dataset = ImageDataset(np.zeros((3, 1, 2, 2), np.uint8), targets, classes=["a", "b"])
    assert (dataset.images.dtype, dataset.targets.dtype) == (torch.uint8, torch.int64)
    assert dataset.targets.tolist() == [0, 1, 1]
    assert dataset.classes == ("a", "b")
    assert len(dataset) == 3
    assert repr(dataset) == "<ImageDataset: 3 images (1, 2, 2), 2 classes>"


def test_dataset_shares_writable_arrays_and_copies_read_only_ones() -> None:
    images, targets = np.zeros((2, 1, 2, 2), np.uint8), np.zeros(2, np.int64)
    shared = ImageDataset(images, targets, classes=["only"])
    images[0] = 7
    assert shared.images.sum() == 28
    images.setflags(write=False)
    targets.setflags(write=False)
    with all_torch_warnings():
        copied = ImageDataset(images, targets, classes=["only"])
    copied.images.zero_()
    assert images.sum() == 28


def test_getitem_returns_image_and_target() -> None:
    for index in (4, -2):
        image, target = small_dataset()[index]
        assert image.tolist() == [[[16, 17], [18, 19]]]
        assert target.item() == 1


def test_getitem_applies_the_transform() -> None:
    dataset = small_dataset()
    dataset.transform = Preprocess(image_size=2)
    assert torch.equal(dataset[4][0], dataset.transform(dataset.images)[4])


def test_transform_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="transform is 'normalize'; expected None or a callable, such as a Preprocess"):
        ImageDataset(np.zeros((1, 1, 2, 2), np.uint8), [0], classes=["a"], transform="normalize")


def test_dataset_works_with_dataloader() -> None:
    dataset = small_dataset()
    images, targets = next(iter(torch.utils.data.DataLoader(dataset, batch_size=6)))
    assert torch.equal(images, dataset.images)
    assert torch.equal(targets, dataset.targets)


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([5, 0], [5, 0]),
        (np.array([5, 0, 5]), [5, 0, 5]),
        (torch.tensor([5]), [5]),
        (slice(1, None, 2), [1, 3, 5]),
        (torch.arange(6) > 3, [4, 5]),
        (np.array([], np.int64), []),
        ([], []),
    ],
    ids=["list", "array", "tensor", "slice", "mask", "empty array", "empty list"],
)
def test_select_keeps_classes_and_transform(indices: Any, expected: list[int]) -> None:
    dataset = small_dataset()
    dataset.transform = Preprocess(image_size=2)
    selected = dataset.select(indices)
    assert selected.images[:, 0, 0, 0].tolist() == [4 * index for index in expected]
    assert selected.targets.tolist() == [index % 3 for index in expected]
    assert (selected.classes, selected.transform) == (dataset.classes, dataset.transform)


def test_plot_shows_every_class_of_images_that_are_sorted_by_class() -> None:
    images = np.arange(9, dtype=np.uint8)[:, None, None, None]
    dataset = ImageDataset(images, [0, 0, 0, 0, 0, 1, 1, 3, 3], classes=["a", "b", "none", "d"])
    for count, expected in ((2, "ab"), (4, "abda"), (99, "abdabdaaa")):
        assert "".join(axes.get_title() for axes in dataset.plot(count).axes) == expected
    shown = [float(np.asarray(axes.images[0].get_array())[0, 0]) for axes in dataset.plot(5).axes]
    assert shown == [index / 255 for index in (0, 5, 7, 1, 6)]


def test_concat_reverses_a_split() -> None:
    dataset = small_dataset()
    dataset.transform = Preprocess(image_size=2)
    first, rest = dataset.select(slice(2)), dataset.select(slice(2, None))
    whole = first.concat(rest)
    assert torch.equal(whole.images, dataset.images)
    assert torch.equal(whole.targets, dataset.targets)
    assert (whole.classes, whole.transform) == (dataset.classes, dataset.transform)


def test_concat_rejects_different_classes_or_shapes() -> None:
    dataset = small_dataset()
    with pytest.raises(ValueError, match="differ; expected the same classes and image shape"):
        dataset.concat(ImageDataset(dataset.images, dataset.targets, classes=["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match="differ; expected the same classes and image shape"):
        dataset.concat(ImageDataset(dataset.images[:, :, 1:], dataset.targets, classes=dataset.classes))


@given(images=hnp.arrays("uint8", hnp.array_shapes(min_dims=4, max_dims=4, max_side=5)))
def test_mean_and_std_match_numpy(images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    dataset = ImageDataset(images, np.zeros(len(images), np.int64), classes=["only"])
    assert dataset.mean == pytest.approx((images / 255).mean(), abs=1e-12)
    assert dataset.std == pytest.approx((images / 255).std(), abs=1e-12)


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (
            torch.zeros(2, 1, 2, 2),
            [0, 1],
            r"shape \(2, 1, 2, 2\) and dtype torch.float32; expected uint8 \(N, C, H, W\)",
        ),
        (np.zeros((2, 2, 2), np.uint8), [0, 1], r"images have shape \(2, 2, 2\) and dtype torch.uint8; expected"),
        (
            np.zeros((2, 1, 2, 2), np.uint8),
            np.zeros(2, np.float32),
            "targets have dtype torch.float32; expected integers",
        ),
        (
            np.zeros((2, 1, 2, 2), np.uint8),
            np.zeros(2, np.complex64),
            "targets have dtype torch.complex64; expected integers",
        ),
        (np.zeros((2, 1, 2, 2), np.uint8), [[0], [1]], r"targets have shape \(2, 1\); expected \(2,\)"),
        (np.zeros((2, 1, 2, 2), np.uint8), [0, 1, 1], r"targets have shape \(3,\); expected \(2,\)"),
        (np.zeros((2, 1, 2, 2), np.uint8), [0, 2], r"targets lie in \[0, 2\]; expected 0 to 1"),
        (np.zeros((2, 1, 2, 2), np.uint8), [-1, 1], r"targets lie in \[-1, 1\]; expected 0 to 1"),
    ],
    ids=["dtype", "rank", "float", "complex", "target rank", "lengths", "high", "low"],
)
def test_dataset_rejects_invalid_images_and_targets(images: Any, targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset(images, targets, classes=["a", "b"])


def test_digits_load_without_files(digits: DataSplits) -> None:
    assert [len(split) for split in digits] == [1294, 143, 360]
    for split in digits:
        assert split.images.shape[1:] == (1, 28, 28)
        assert (split.images.dtype, split.targets.dtype) == (torch.uint8, torch.int64)
        assert split.classes == tuple("0123456789")
        assert np.unique(split.targets).tolist() == list(range(10))
        assert split.images.max() == 255


def test_digits_splits_are_disjoint(digits: DataSplits) -> None:
    from sklearn.datasets import load_digits

    pixels = load_digits().data
    images = torch.cat([split.images for split in digits]).flatten(1)
    assert len(images) == len(pixels) == 1797
    assert len(np.unique(images, axis=0)) == len(np.unique(pixels, axis=0))


def test_splits_are_normalised_by_training_statistics(digits: DataSplits) -> None:
    preprocess = Preprocess(image_size=28, mean=digits.train.mean, std=digits.train.std)
    assert digits.preprocess == preprocess
    assert [split.transform for split in digits] == [preprocess] * 3
    batch = preprocess(digits.train.images)
    assert batch.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.std().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("size", [0, 1, 142, 143, 144, 5000])
def test_digits_validation_set_is_at_most_a_tenth(size: int) -> None:
    train, val, test = load_data("digits", val_size=size)
    assert len(val) == min(size, 143)
    assert len(train) + len(val) == 1437
    assert len(test) == 360


@pytest.mark.parametrize(
    ("name", "classes", "mean", "std"),
    [
        ("mnist", ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"), 0.1306, 0.308),
        (
            "fashion_mnist",
            ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            0.286,
            0.353,
        ),
    ],
)
def test_downloaded_datasets_have_expected_sizes_classes_and_statistics(
    mnist_root: Path, name: str, classes: tuple[str, ...], mean: float, std: float
) -> None:
    if not (mnist_root / "FashionMNIST" / "raw").is_dir() and name == "fashion_mnist":
        pytest.skip(f"Fashion-MNIST is not at {mnist_root}")
    splits = load_data(name, mnist_root, download=False)
    assert [len(split) for split in splits] == [55_000, 5_000, 10_000]
    for split in splits:
        assert split.images.shape[1:] == (1, 28, 28)
        assert (split.images.dtype, split.targets.dtype) == (torch.uint8, torch.int64)
        assert split.classes == classes
        assert split.transform == splits.preprocess
    assert splits.test.targets.bincount().min() >= 892
    assert splits.train.mean == pytest.approx(mean, abs=0.001)
    assert splits.train.std == pytest.approx(std, abs=0.001)


def test_load_data_rejects_unknown_name_and_lists_known_ones() -> None:
    message = "name is 'cifar10'; expected one of: digits, mnist, fashion_mnist, kmnist, emnist, qmnist"
    with pytest.raises(ValueError, match=message):
        load_data("cifar10")


def test_default_root_is_in_the_torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    expected = tmp_path / "lenet5" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    with pytest.raises(FileNotFoundError) as raised:
        load_data(download=False)
    assert str(raised.value).startswith(f"{expected} does not exist, and downloads are off")
    assert list(tmp_path.iterdir()) == []
