"""`load_data` with the path of one's own data."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from lenet5 import DataSplits, load_data
from lenet5.data import stratified_holdout


def fill(folder: Path, count: int = 20, names: str = "ab") -> Path:
    """Write a folder of images for each class."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng([count, number, ord(name)]).integers(0, 256, (12, 9), np.uint8)
            PIL.Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def write_table(path: Path, count: int = 40, *, labels: bool = True) -> Path:
    frame = pd.DataFrame(np.random.default_rng(count).integers(0, 256, (count, 64)))
    if labels:
        frame.insert(0, "label", np.arange(count) % 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def sizes(splits: DataSplits) -> list[int]:
    return [len(split) for split in splits]


def check(splits: DataSplits) -> None:
    """Check what all splits share."""
    assert {split.classes for split in splits} == {splits.train.classes}
    assert [split.transform for split in splits] == [splits.preprocess] * 3
    assert {tuple(split.images.shape[1:]) for split in splits} == {(1, 28, 28)}


def test_folder_is_split_by_the_fixed_stratified_rule(tmp_path: Path) -> None:
    splits = load_data(str(fill(tmp_path / "own", 25)))
    check(splits)
    assert sizes(splits) == [36, 4, 10]
    assert splits.test.targets.bincount().tolist() == [5, 5]
    targets = np.repeat([0, 1], 25)
    held_out = stratified_holdout(targets, 10)
    again = load_data(tmp_path / "own", val_size=0)
    assert sizes(again) == [40, 0, 10]
    assert np.array_equal(again.test.targets, targets[held_out])
    assert np.array_equal(again.test.images, splits.test.images)


def test_val_size_may_be_smaller(tmp_path: Path) -> None:
    fill(tmp_path / "own", 25)
    assert sizes(load_data(tmp_path / "own", val_size=np.int64(2))) == [38, 2, 10]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="val_size is 'two'; expected an integer"):
        load_data(tmp_path / "own", val_size="two")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid", "test")],
)
def test_folders_of_splits_are_kept(train: str, val: str, test: str, tmp_path: Path) -> None:
    for name, count in ((train, 10), (val, 3), (test, 4)):
        fill(tmp_path / "own" / name, count)
    (tmp_path / "own" / "__MACOSX").mkdir()
    splits = load_data(tmp_path / "own")
    check(splits)
    assert sizes(splits) == [20, 6, 8]


def test_missing_splits_are_held_out_of_the_training_images(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "train", 20)
    fill(tmp_path / "a" / "test", 4)
    assert sizes(load_data(tmp_path / "a")) == [36, 4, 8]
    fill(tmp_path / "b" / "train", 20)
    fill(tmp_path / "b" / "val", 4)
    assert sizes(load_data(tmp_path / "b")) == [32, 8, 8]


def test_classes_are_those_of_the_training_images(tmp_path: Path) -> None:
    fill(tmp_path / "own" / "train", 10, "abc")
    fill(tmp_path / "own" / "test", 2, "ca")
    splits = load_data(tmp_path / "own")
    check(splits)
    assert splits.test.targets.tolist() == [0, 0, 2, 2]
    fill(tmp_path / "own" / "val", 2, "ad")
    with pytest.raises(ValueError, match="val: targets hold 'd'; expected one of: a, b, c"):
        load_data(tmp_path / "own")


def test_tables_are_split(tmp_path: Path) -> None:
    splits = load_data(write_table(tmp_path / "digits.csv"))
    check(splits)
    assert sizes(splits) == [29, 3, 8]
    assert splits.train.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("names", [("mnist_train.csv", "mnist_test.csv"), ("emnist-letters-train.csv", "test.csv")])
def test_pair_of_tables_in_a_folder_is_a_training_and_a_test_set(names: tuple[str, str], tmp_path: Path) -> None:
    write_table(tmp_path / "own" / names[0], 40)
    write_table(tmp_path / "own" / names[1], 12)
    (tmp_path / "own" / "readme.txt").write_text("about", encoding="utf-8")
    splits = load_data(tmp_path / "own")
    check(splits)
    assert sizes(splits) == [36, 4, 12]


def test_single_file_in_a_folder_is_read(tmp_path: Path) -> None:
    write_table(tmp_path / "own" / "data.csv", 40)
    assert sizes(load_data(tmp_path / "own")) == [29, 3, 8]


def test_kaggle_test_set_without_labels_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "own" / "train.csv")
    write_table(tmp_path / "own" / "test.csv", labels=False)
    with pytest.raises(ValueError, match="test.csv has 64 columns, and none for labels"):
        load_data(tmp_path / "own")
    assert sizes(load_data(tmp_path / "own" / "train.csv")) == [29, 3, 8]


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_npz_files_keep_their_splits(names: tuple[str, str], tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for split, count in (("train", 30), ("test", 8), ("val", 5)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        arrays |= {names[0].format(split): pixels, names[1].format(split): np.arange(count) % 3}
    np.savez(tmp_path / "mnist.npz", **arrays)
    splits = load_data(str(tmp_path / "mnist.npz"))
    check(splits)
    assert sizes(splits) == [30, 5, 8]
    del arrays[names[0].format("val")], arrays[names[1].format("val")]
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert sizes(load_data(tmp_path / "mnist.npz")) == [27, 3, 8]


def test_names_of_datasets_come_before_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert load_data("digits").train.classes == tuple("0123456789")
    for path in ("./digits", Path("digits"), f"{tmp_path}{os.sep}digits", f".{os.sep}digits"):
        assert load_data(path).train.classes == ("a", "b")


def test_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill(tmp_path / "own")
    assert load_data("~/own").train.classes == ("a", "b")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("minst", ValueError, r"name is 'minst' \(did you mean 'mnist'\?\); expected one of: digits, mnist, "),
        ("Fashion-MNIST", ValueError, r"\(did you mean 'fashion_mnist'\?\)"),
        ("cifar10", ValueError, r"name is 'cifar10'; expected one of: .*qmnist, or the path of a folder, a .csv or a"),
        ("nowhere/data", FileNotFoundError, "data does not exist; expected a folder, a .csv or .npz file, or the name"),
        ("train.csv", FileNotFoundError, "train.csv does not exist; expected a folder, a .csv or .npz file"),
        (Path("digits"), FileNotFoundError, "digits does not exist; expected a folder"),
    ],
)
def test_unknown_name_or_missing_path_says_what_is_known(
    name: Any, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        load_data(name)


def mixed(path: Path) -> None:
    fill(path, names="ab")
    fill(path / "train", 2)


def no_training_set(path: Path) -> None:
    fill(path / "test", 2)


def several_tables(path: Path) -> None:
    write_table(path / "one.csv")
    write_table(path / "two.csv")


def empty(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("text", encoding="utf-8")


def one_image(path: Path) -> None:
    fill(path, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (mixed, "holds the folders train, which name splits, beside a, b; expected either splits or classes"),
        (no_training_set, "holds test, without training images; expected a training set"),
        (several_tables, "holds one.csv, two.csv; expected one file or folder each for train, val and test"),
        (empty, "holds no folders; expected one folder of images per class"),
        (text, "own is no data of a known form; expected a folder, or a .csv, .csv.gz or .npz file"),
        (one_image, "own has 2 training images; expected at least 3, to hold out a test and a validation set"),
    ],
)
def test_data_that_cannot_be_split_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "own")
    with pytest.raises(ValueError, match=message):
        load_data(tmp_path / "own")
