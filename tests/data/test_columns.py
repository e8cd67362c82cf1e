"""Labels and pixels are found in tables of every layout, or the table is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lenet5 import ImageDataset

LABELS = np.arange(40) % 3
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 16), np.uint8)
NAMES = [f"pixel{number}" for number in range(16)]


def write(path: Path, columns: list[Any], names: list[str] | None, **options: Any) -> Path:
    frame = pd.DataFrame(np.column_stack(columns), columns=names)
    frame.to_csv(path, **{"index": False, **options})
    return path


def check(path: Path) -> None:
    dataset = ImageDataset.from_csv(path, image_size=4)
    assert np.array_equal(dataset.images.flatten(1), PIXELS)
    assert (dataset.targets.tolist(), dataset.classes) == (LABELS.tolist(), ("0", "1", "2"))


@pytest.mark.parametrize("name", ["label", "labels", "y", "Y", "target", "targets", "Class", "digit", "species"])
@pytest.mark.parametrize("pixels", [NAMES, [str(number) for number in range(16)]], ids=["names", "numbers"])
@pytest.mark.parametrize("index", [False, True])
def test_label_is_found_by_its_name_first_and_last(name: str, pixels: list[str], index: bool, tmp_path: Path) -> None:
    check(write(tmp_path / "first.csv", [LABELS, PIXELS], [name, *pixels], index=index))
    check(write(tmp_path / "last.csv", [PIXELS, LABELS], [*pixels, name], index=index))


@pytest.mark.parametrize("index", [False, True])
def test_default_header_of_pandas_is_no_image(index: bool, tmp_path: Path) -> None:
    check(write(tmp_path / "train.csv", [LABELS, PIXELS], None, index=index))
    names = [str(number) for number in range(1, 18)]
    check(write(tmp_path / "from_one.csv", [LABELS, PIXELS], names, index=index))


def test_names_at_the_end_are_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame(PIXELS)
    frame["name"] = [f"c{label}" for label in LABELS]
    frame.to_csv(tmp_path / "train.csv", index=False, header=False)
    dataset = ImageDataset.from_csv(tmp_path / "train.csv", image_size=4)
    assert (dataset.targets.tolist(), dataset.classes) == (LABELS.tolist(), ("c0", "c1", "c2"))


def test_class_may_have_the_name_of_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame(PIXELS // 128)
    frame.insert(0, "name", np.array(["y", "z", "x"])[LABELS])
    frame.to_csv(tmp_path / "train.csv", index=False, header=False)
    assert len(ImageDataset.from_csv(tmp_path / "train.csv", image_size=4)) == 40


def test_pixels_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(16)
    check(write(tmp_path / "train.csv", [LABELS, PIXELS[:, order]], ["label", *np.array(NAMES)[order]]))
    names = [f"{row}x{column}" for row in range(4) for column in range(4)]
    check(write(tmp_path / "sorted.csv", [LABELS, PIXELS], ["label", *names]))
    path = write(tmp_path / "other.csv", [LABELS, PIXELS[:, order]], ["label", *np.array(names)[order]])
    with pytest.raises(ValueError, match=r"other.csv has pixels in the order .* expected them row by row"):
        ImageDataset.from_csv(path)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("first", [PIXELS, PIXELS // 128, PIXELS * 0], ids=["pixels", "two values", "black"])
def test_labels_at_the_end_without_a_name_are_refused(header: bool, first: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [first, LABELS], None, header=header)
    with pytest.raises(ValueError, match=r"the first column looks like pixels, and the last like labels \(0 to 2\)"):
        ImageDataset.from_csv(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["label", "class", *NAMES[1:]], "train.csv has several columns of labels; expected .* in one column named"),
        (["kind", "colour", *NAMES[1:]], "has 17 columns, and none for labels; .* named label, labels, y, .* or digit"),
        ([f"pixel{number}" for number in range(17)], "has 17 columns, and none for labels"),
    ],
)
def test_header_without_one_column_of_labels_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset.from_csv(write(tmp_path / "train.csv", [LABELS, PIXELS], names))


@pytest.mark.parametrize("header", ["", ",".join(["label", *NAMES])])
def test_table_of_savetxt_has_integers_as_classes(header: str, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "train.csv", np.column_stack([LABELS, PIXELS]), delimiter=",", header=header)
    check(tmp_path / "train.csv")


@pytest.mark.parametrize("names", [["1e3", "2e1", "a"], ["1_0", "1_1", "1_2"], ["007", "008", "009"]])
def test_names_that_look_like_numbers_stay(names: list[str], tmp_path: Path) -> None:
    frame = pd.DataFrame(PIXELS)
    frame.insert(0, "label", np.array(names)[LABELS])
    frame.to_csv(tmp_path / "train.csv", index=False)
    assert set(ImageDataset.from_csv(tmp_path / "train.csv").classes) == set(names)
