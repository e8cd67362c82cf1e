"""Own images in .csv files, as on Kaggle."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import ImageDataset

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 784), np.uint8)
LABELS = [7, 0, 10, 0, 9]
HEADER = [f"pixel{number}" for number in range(784)]


def table(labels: Any = LABELS, pixels: Any = PIXELS, header: list[str] = HEADER) -> pd.DataFrame:
    frame = pd.DataFrame(np.asarray(pixels), columns=header)
    frame.insert(0, "label", labels)
    return frame


def check(dataset: ImageDataset) -> None:
    assert np.array_equal(dataset.images[:, 0].reshape(5, 784), PIXELS)
    assert dataset.images.shape == (5, 1, 28, 28)
    assert dataset.classes == ("0", "7", "9", "10")
    assert dataset.targets.tolist() == [1, 0, 3, 0, 2]
    assert dataset.transform == dataset.preprocess


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_labels_and_pixels_are_read_with_and_without_header(
    header: bool, separator: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    table().to_csv(path, index=False, header=header, sep=separator, encoding=encoding)
    check(ImageDataset.from_csv(path))


def test_compressed_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(table().to_csv(index=False).encode()))
    check(ImageDataset.from_csv(str(tmp_path / "train.csv.gz")))


@pytest.mark.parametrize("name", ["label", "Label", "class", "target"])
@pytest.mark.parametrize("position", [0, 300, 784])
def test_label_column_is_found_by_its_name(name: str, position: int, tmp_path: Path) -> None:
    frame = table().drop(columns="label")
    frame.insert(position, name, LABELS)
    frame.insert(0, "id", range(5))
    frame.to_csv(tmp_path / "train.csv")  # with pandas' own column of row numbers
    check(ImageDataset.from_csv(tmp_path / "train.csv"))


def test_header_of_numbers_is_a_header(tmp_path: Path) -> None:
    table(header=[str(number) for number in range(784)]).to_csv(tmp_path / "train.csv", index=False)
    check(ImageDataset.from_csv(tmp_path / "train.csv"))


@pytest.mark.parametrize("header", [True, False])
def test_labels_may_be_names(header: bool, tmp_path: Path) -> None:
    labels = ["b", "NA", "b", "null", "a"]
    table(labels).to_csv(tmp_path / "train.csv", index=False, header=header)
    dataset = ImageDataset.from_csv(tmp_path / "train.csv")
    assert [dataset.classes[int(target)] for target in dataset.targets] == labels


def test_labels_and_pixels_written_as_floats_are_integers(tmp_path: Path) -> None:
    table(np.array(LABELS, float), PIXELS.astype(float)).to_csv(tmp_path / "train.csv", index=False)
    check(ImageDataset.from_csv(tmp_path / "train.csv"))


def test_colours_and_other_sizes_are_resized(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (4, 9, 9, 3), np.uint8)
    frame = pd.DataFrame(colours.reshape(4, -1))
    frame["label"] = ["a", "b", "a", "b"]
    frame.to_csv(tmp_path / "hmnist.csv", index=False)
    dataset = ImageDataset.from_csv(tmp_path / "hmnist.csv", channels=3, image_size=9)
    assert np.array_equal(dataset.images, colours.transpose(0, 3, 1, 2))
    assert ImageDataset.from_csv(tmp_path / "hmnist.csv").images.shape == (4, 1, 28, 28)


@given(count=st.integers(2, 9), side=st.integers(2, 6), header=st.booleans())
def test_any_number_of_rows_and_square_of_pixels_round_trips(
    tmp_path_factory: pytest.TempPathFactory, count: int, side: int, header: bool
) -> None:
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    pixels = np.random.default_rng(count).integers(0, 256, (count, side * side))
    names = [f"{row}x{column}" for row in range(side) for column in range(side)]
    table(np.arange(count) % 2, pixels, names).to_csv(path, index=False, header=header)
    dataset = ImageDataset.from_csv(path, image_size=side)
    assert np.array_equal(dataset.images.flatten(1), pixels)
    assert dataset.targets.tolist() == [number % 2 for number in range(count)]


def test_rows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.data.tables._ROWS", 2)
    table().to_csv(tmp_path / "train.csv", index=False)
    check(ImageDataset.from_csv(tmp_path / "train.csv"))


@pytest.mark.parametrize(
    ("value", "found"), [("256", "256"), ("-1", "-1"), ("0.5", "0.5"), ("x", "x"), ("", "nan"), ("inf", "inf")]
)
@pytest.mark.parametrize("header", [True, False])
def test_value_that_is_no_pixel_is_named_with_its_row(value: str, found: str, header: bool, tmp_path: Path) -> None:
    frame = table().astype(str)
    frame.loc[3, "pixel1"] = value
    frame.to_csv(tmp_path / "train.csv", index=False, header=header)
    row = 5 if header else 4
    message = f"train.csv, row {row}: pixel 2 is {found}; expected an integer from 0 to 255"
    with pytest.raises(ValueError, match=message):
        ImageDataset.from_csv(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.csv is empty; expected a label and pixels in each row"),
        ("label,a,b,c,d\n", "train.csv is not a readable table: No columns|train.csv holds no rows"),
        ("label,a,b,c,d\n1,0,0,0,0\n1,2,3,4,5\n", "train.csv has one class, '1'; expected at least two"),
        ("label,a,b,c,d\n1,0,0,0,0\n2,0,0,0,0,0\n", "train.csv is not a readable table: .*Expected 5 fields in line 3"),
        ("label,a,b,c,d\n1,0,0,0,0\n2,0,0\n", "train.csv, row 3: pixel 3 is nan; expected an integer"),
        ("label,a,b,c,d\n1,0,0,0,0\n,0,0,0,0\n", "train.csv, row 3: the label is missing"),
        (
            "a,b,c,d,e,f,g,h,i\n0,0,0,0,0,0,0,0,0\n",
            "train.csv has 9 columns, and none for labels; expected a label and its pixels",
        ),
        ("label,a,b,c,d\n1,0,0,0,0\n2,0,0,0,0\n", "all pixels of .*2 images .* are 0; expected images that differ"),
        ("label,a,b\n0,1,1\n", r"train.csv has 3 columns; .* whose number is a square \(784 for 28x28\)"),
    ],
)
def test_damaged_table_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ImageDataset.from_csv(tmp_path / "train.csv")


def test_binary_and_truncated_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(ValueError, match="train.csv"):
        ImageDataset.from_csv(tmp_path / "train.csv")
    packed = gzip.compress(table().to_csv(index=False).encode())
    for content in (packed[: len(packed) // 2], b"no archive"):
        (tmp_path / "train.csv.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"train.csv.gz cannot be read"):
            ImageDataset.from_csv(tmp_path / "train.csv.gz")
    with pytest.raises(FileNotFoundError, match="nowhere.csv does not exist"):
        ImageDataset.from_csv(tmp_path / "nowhere.csv")
