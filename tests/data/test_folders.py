"""Own images in a folder with one folder per class."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import lenet5
from lenet5 import ImageDataset, Preprocess
from lenet5.photo import open_image


def save(path: Path, seed: int = 0, size: tuple[int, int] = (28, 28), mode: str = "L") -> Path:
    """Write an image of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_folders_are_classes_and_files_keep_their_natural_order(tmp_path: Path) -> None:
    for name in ("10", "9", "class b"):
        for number in (10, 9, 1):
            save(tmp_path / name / f"{number}.png", number)
    dataset = ImageDataset.from_folder(tmp_path)
    assert dataset.classes == ("9", "10", "class b")
    assert dataset.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    order = [np.asarray(PIL.Image.open(tmp_path / "9" / f"{number}.png")) for number in (1, 9, 10)]
    assert np.array_equal(dataset.images[:3, 0], order)
    assert dataset.transform == dataset.preprocess == Preprocess(mean=dataset.mean, std=dataset.std)


@pytest.mark.parametrize(("channels", "image_size"), [(1, 28), (3, 40)])
def test_every_image_is_read_as_preprocess_reads_it(channels: int, image_size: int, tmp_path: Path) -> None:
    files = [
        save(tmp_path / "a" / "grey.png"),
        save(tmp_path / "a" / "photo.JPG", size=(90, 61), mode="RGB"),
        save(tmp_path / "a" / "palette.gif", size=(20, 33), mode="P"),
        save(tmp_path / "b" / "clear.png", size=(5, 50), mode="RGBA"),
        save(tmp_path / "b" / "deep" / "print.tiff", size=(64, 64), mode="CMYK"),
        save(tmp_path / "b" / "deep" / "scan.bmp", size=(300, 200), mode="1"),
    ]
    dataset = ImageDataset.from_folder(tmp_path, channels=channels, image_size=image_size)
    assert dataset.images.shape == (6, channels, image_size, image_size)
    expected = dict(zip([file.name for file in files], files, strict=True))
    order = ["grey.png", "palette.gif", "photo.JPG", "clear.png", "print.tiff", "scan.bmp"]
    for name, (image, target) in zip(order, (dataset[index] for index in range(6)), strict=True):
        assert torch.equal(image, dataset.transform(open_image(expected[name])))
        assert dataset.classes[int(target)] == expected[name].relative_to(tmp_path).parts[0]


def test_images_are_turned_upright(tmp_path: Path) -> None:
    image = PIL.Image.open(save(tmp_path / "a" / "upright.png"))
    save(tmp_path / "b" / "other.png", 1)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "a" / "turned.png", exif=exif)
    images = ImageDataset.from_folder(tmp_path).images
    assert torch.equal(images[0], images[1])


def test_what_is_no_image_is_ignored(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "0.png")
        for other in ("Thumbs.db", ".DS_Store", "notes.txt", "labels.csv", ".hidden.png"):
            (tmp_path / name / other).write_text("no image", encoding="utf-8")
        save(tmp_path / name / ".cache" / "0.png")
        (tmp_path / name / "folder.png").mkdir()
    save(tmp_path / ".git" / "0.png")
    save(tmp_path / "__MACOSX" / "0.png")
    save(tmp_path / "overview.png")
    dataset = ImageDataset.from_folder(tmp_path)
    assert (len(dataset), dataset.classes) == (2, ("a", "b"))


def test_link_back_to_its_own_folder_is_not_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "0.png")
    try:
        (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let the user make links")
    assert len(ImageDataset.from_folder(tmp_path)) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipes_are_not_opened(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "0.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert len(ImageDataset.from_folder(tmp_path)) == 2


def test_test_set_has_the_classes_and_the_transform_of_the_training_set(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("test", "cb")):
        for name in names:
            save(tmp_path / split / name / "0.png", ord(name))
    train = ImageDataset.from_folder(tmp_path / "train")
    test = ImageDataset.from_folder(str(tmp_path / "test"), classes=train.classes, transform=train.transform)
    assert (test.targets.tolist(), test.classes, test.transform) == ([1, 2], train.classes, train.transform)
    with pytest.raises(ValueError, match=f"{tmp_path / 'train'}: targets hold 'a', 'b'; expected one of: c, d"):
        ImageDataset.from_folder(tmp_path / "train", classes=["c", "d"])


def test_fit_takes_the_dataset_as_it_is(tmp_path: Path) -> None:
    for name in "abc":
        for number in range(4):
            save(tmp_path / name / f"{number}.png", number, (20, 30))
    dataset = ImageDataset.from_folder(tmp_path)
    trainer = lenet5.Trainer(lenet5.LeNet5(3), lenet5.TrainerConfig(max_epochs=1, batch_size=4, device="cpu"))
    trainer.fit(dataset)
    assert trainer.evaluate(dataset).classes == ("a", "b", "c")


def empty(path: Path) -> None:
    path.mkdir()


def one_class(path: Path) -> None:
    save(path / "a" / "0.png")


def class_without_images(path: Path) -> None:
    save(path / "a" / "0.png")
    (path / "b").mkdir()


def loose_images(path: Path) -> None:
    save(path / "0.png")


def splits(path: Path) -> None:
    save(path / "train" / "a" / "0.png")
    save(path / "test" / "a" / "0.png")


def damaged(path: Path) -> None:
    save(path / "b" / "0.png")
    file = save(path / "a" / "0.png")
    file.write_bytes(file.read_bytes()[:200])


def no_image(path: Path) -> None:
    save(path / "b" / "0.png")
    save(path / "a" / "0.png").write_text("text", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "holds no folders; expected one folder of images per class"),
        (loose_images, "holds no folders; expected one folder of images per class"),
        (one_class, "has one class, 'a'; expected at least two"),
        (class_without_images, "b holds no images; expected files such as .png or .jpg"),
        (splits, r"holds the splits test, train; expected one folder per class: pass .*test, or the whole"),
        (damaged, r"a.0.png cannot be read: "),
        (no_image, r"a.0.png is not a readable image; expected PNG, JPEG"),
    ],
)
def test_folder_that_cannot_be_read_is_named(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "data")
    with pytest.raises(ValueError, match=message) as raised:
        ImageDataset.from_folder(tmp_path / "data")
    assert str(tmp_path / "data") in str(raised.value)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; expected a folder with one folder of images"):
        ImageDataset.from_folder(tmp_path / "nowhere")


def test_progress_is_shown_only_in_a_terminal(tmp_path: Path, capsys: Any) -> None:
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "0.png")
    ImageDataset.from_folder(tmp_path)
    assert capsys.readouterr() == ("", "")
