"""Labels as the ecosystem has them, and class names of any type."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import ImageDataset
from lenet5.data.targets import encode_targets, natural_order

IMAGES = np.zeros((4, 1, 2, 2), np.uint8)
NAMES = ["cat", "ant", "cat", "bee"]
read_only = np.array([2, 0, 2, 1])
read_only.setflags(write=False)


@pytest.mark.parametrize(
    "targets",
    [
        np.array([2, 0, 2, 1], ">i4"),
        np.array([2, 0, 2, 1], ">u2"),
        np.array([2, 0, 2, 1], np.uint64),
        np.array([1, 2, 0, 2])[::-1],
        np.array([2, 0, 2, 1], object),
        read_only,
        (2, 0, 2, 1),
        [np.int64(2), 0, np.uint8(2), 1],
        torch.tensor([2, 0, 2, 1], dtype=torch.int16),
        pd.Series([2, 0, 2, 1], index=[9, 4, 4, 1]),
        pd.Series([2, 0, 2, 1], dtype="Int64"),
        pd.Series([2, 0, 2, 1]).to_frame("label")["label"],
        NAMES,
        tuple(NAMES),
        np.array(NAMES),
        np.array(NAMES, object),
        np.array([name.encode() for name in NAMES]),
        pd.Series(NAMES, index=[3, 3, 0, 7]),
        pd.Series(NAMES, dtype="string"),
        pd.Series(NAMES, dtype="category"),
        pd.Categorical(NAMES),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
@pytest.mark.parametrize("classes", [["ant", "bee", "cat"], None])
def test_targets_of_every_kind_become_indices(targets: Any, classes: list[str] | None) -> None:
    dataset = ImageDataset(IMAGES, targets, classes=classes)
    assert dataset.targets.tolist() == [2, 0, 2, 1]
    assert dataset.targets.dtype == torch.int64
    assert dataset.classes in {("ant", "bee", "cat"), ("0", "1", "2")}


def test_categories_keep_their_order_and_the_unused_ones() -> None:
    column = pd.Series(pd.Categorical(NAMES, categories=["cat", "bee", "ant", "dog"]))
    targets, classes = encode_targets(column, None)
    assert (targets.tolist(), classes) == ([0, 2, 0, 1], ("cat", "bee", "ant", "dog"))
    targets, classes = encode_targets(pd.Series([7, 3, 7], dtype="category"), range(10))
    assert (targets.tolist(), classes[7]) == ([7, 3, 7], "7")


@pytest.mark.parametrize("classes", [range(3), np.arange(3), [0, 1, 2], torch.arange(3).tolist(), "012"])
def test_class_names_become_strings(classes: Any) -> None:
    assert ImageDataset(IMAGES, [2, 0, 2, 1], classes=classes).classes == ("0", "1", "2")
    assert ImageDataset(IMAGES, ["2", "0", "2", "1"], classes=classes).targets.tolist() == [2, 0, 2, 1]


def test_booleans_are_two_classes() -> None:
    dataset = ImageDataset(IMAGES, np.array([True, False, True, True]), classes=["no", "yes"])
    assert dataset.targets.tolist() == [1, 0, 1, 1]


@given(st.lists(st.text(max_size=4), unique=True))
def test_natural_order_has_the_same_names_whatever_their_order(names: list[str]) -> None:
    ordered = natural_order(names)
    assert sorted(ordered) == sorted(names)
    assert natural_order(reversed(names)) == ordered


@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["", "class ", "c"]))
def test_natural_order_counts(numbers: list[int], prefix: str) -> None:
    assert natural_order(f"{prefix}{number}" for number in numbers) == tuple(
        f"{prefix}{number}" for number in sorted(numbers)
    )


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["ant", "dog", "bee", "cow"], "targets hold 'cow', 'dog'; expected one of: ant, bee, cat"),
        (["ant", None, "bee", "cat"], "targets hold None, of dtype object; expected integers, or names as strings"),
        (pd.Series(["ant", None, "bee", "cat"], dtype="category"), "targets hold nan, of dtype object; expected"),
        ([1.0, 0.0, 2.0, 1.0], "targets have dtype torch.float64; expected integers, the indices of classes"),
        (pd.Series([1, None, 2, 0]), "targets have dtype torch.float64; expected integers"),
        (np.array([0, 1, 2, 3]), r"targets lie in \[0, 3\]; expected 0 to 2"),
        ([NAMES], r"targets have shape \(1, 4\); expected \(4,\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_targets_that_name_no_class_are_refused(targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset(IMAGES, targets, classes=["ant", "bee", "cat"])


@pytest.mark.parametrize("classes", [{"cat": 1, "ant": 0}, {0: "cat", 1: "ant"}, {"cat", "ant"}, frozenset("ab")])
def test_classes_without_an_order_are_refused(classes: Any) -> None:
    with pytest.raises(ValueError, match="classes are of type .*; expected a list of names, in order of the targets"):
        ImageDataset(IMAGES, [0, 1, 0, 1], classes=classes)


def test_classes_of_a_tensor_are_numbers_and_differ() -> None:
    assert ImageDataset(IMAGES, [0, 1, 0, 1], classes=torch.tensor([5, 10])).classes == ("5", "10")
    with pytest.raises(ValueError, match="classes hold 'a' more than once; expected different names"):
        ImageDataset(IMAGES, [0, 1, 0, 1], classes=["a", "a"])


def test_names_need_different_classes() -> None:
    with pytest.raises(ValueError, match="classes hold 'a' more than once; expected different names"):
        ImageDataset(IMAGES, ["a", "b", "a", "a"], classes=["a", "b", "a"])


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((4, 1, 2, 2), 7, np.int64),
        np.full((4, 1, 2, 2), 7, ">i2"),
        np.full((4, 1, 2, 2), 7 * 257, ">u2"),
        np.full((4, 2, 2, 1), 7, np.uint8).transpose(0, 3, 1, 2)[::-1],
        torch.full((4, 1, 2, 2), 7, dtype=torch.int32),
        [[[[7, 7], [7, 7]]]] * 4,
    ],
    ids=["int64", "big-endian", "16-bit", "negative strides", "tensor", "list"],
)
def test_integer_images_become_uint8(pixels: Any) -> None:
    dataset = ImageDataset(pixels, [0, 1, 0, 1], classes=None)
    assert dataset.images.dtype == torch.uint8
    assert dataset.images.unique().tolist() == [7]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((4, 28, 28), np.uint8),
            r"expected uint8 \(N, C, H, W\); images\[:, None\] adds the axis of the chan",
        ),
        (pd.DataFrame(np.zeros((4, 784), int)), r"shape \(4, 784\) .*; images.reshape\(N, C, H, W\) restores the axes"),
        ([["a"]], "images have dtype <U1; expected uint8"),
        (np.zeros((4, 28, 28, 3), np.uint8), r"with the channels last; expected .*images.transpose\(0, 3, 1, 2\)"),
        (np.zeros((4, 1, 28, 28), np.int64) + 256, r"images lie in \[256, 256\]; expected integers from 0 to 255"),
        (np.zeros((4, 1, 28, 28)), r"torch.float64; expected uint8 \(N, C, H, W\); a TensorDataset can hold"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_images_of_the_wrong_form_are_refused_with_advice(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset(images, [0, 1, 0, 1], classes=None)


@pytest.mark.parametrize(
    "indices",
    [
        np.array([False, True, False, True]),
        np.array([3, 1])[::-1],
        np.array([1, 3], ">u2"),
        pd.Series([False, True, False, True], index=[7, 7, 1, 0]),
        pd.Series([False, True, False, True], dtype="boolean"),
        pd.Index([1, 3]),
        range(1, 4, 2),
        [np.int64(1), 3],
        np.array([1, 3], np.uint64),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_select_takes_masks_and_indices_of_numpy_and_pandas(indices: Any) -> None:
    dataset = ImageDataset(IMAGES, [0, 1, 2, 3], classes=None)
    assert dataset.select(indices).targets.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([True, False], "the mask has 2 entries; expected 4"),
        ([0.5, 1.0], "indices have dtype torch.float64 and 1 dimensions; expected integers"),
        ([[0, 1]], "indices have dtype torch.int64 and 2 dimensions; expected integers"),
    ],
)
def test_select_refuses_what_is_neither_indices_nor_a_mask(indices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset(IMAGES, [0, 1, 2, 3], classes=None).select(indices)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["a", 1, "a"], "hold names and numbers"),
        (np.ma.masked_array([0, 1, 0], [False, True, False]), "hold 1 masked values"),
        (np.array([0, 1, np.nan]), "have dtype torch.float64; expected integers"),
        ((number for number in (0, 1, 0)), "are of type generator; expected a list"),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"targets {message}"):
        encode_targets(targets, None)


@pytest.mark.parametrize(("classes", "message"), [(10, "classes is 10; expected a list"), ([], "classes are empty")])
def test_classes_that_are_no_names_are_refused(classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_targets([0, 1], classes)


def test_bytes_are_names_and_unsigned_tensors_are_indices() -> None:
    assert encode_targets([0, 1], [b"a", b"b"])[1] == ("a", "b")
    assert encode_targets(torch.tensor([0, 1], dtype=torch.uint16), None)[0].tolist() == [0, 1]
