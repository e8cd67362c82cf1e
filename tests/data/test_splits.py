import hashlib
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5.data import SPLIT_VERSION, DataSplits, load_data, stratified_holdout
from lenet5.data.idx import read_idx


@st.composite
def targets_and_size(draw: st.DrawFn) -> tuple[list[int], int]:
    targets = draw(st.lists(st.integers(-3, 5), min_size=1, max_size=80))
    return targets, draw(st.integers(0, len(targets) - 1))


def naive_holdout(targets: list[int], size: int) -> list[int]:
    """Apply the documented rule in exact arithmetic."""
    positions: dict[int, list[int]] = {label: [] for label in sorted(set(targets))}
    for position, label in enumerate(targets):
        positions[label].append(position)
    quotas = {label: Fraction(size * len(positions[label]), len(targets)) for label in positions}
    by_remainder = sorted(positions, key=lambda label: (quotas[label] // 1 - quotas[label], label))
    sizes = {label: int(quotas[label]) for label in positions}
    for label in by_remainder[: size - sum(sizes.values())]:
        sizes[label] += 1
    return sorted(
        positions[label][int((i + Fraction(1, 2)) * len(positions[label]) / count)]
        for label, count in sizes.items()
        for i in range(count)
    )


def sha256(indices: npt.NDArray[np.int64]) -> str:
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()


@given(case=targets_and_size())
def test_holdout_is_sorted_unique_and_stratified(case: tuple[list[int], int]) -> None:
    targets, size = case
    indices = stratified_holdout(targets, size)
    assert indices.dtype == np.int64
    assert indices.shape == (size,)
    assert (np.diff(indices) > 0).all()
    held_out = Counter(targets[index] for index in indices)
    for label, count in Counter(targets).items():
        assert abs(held_out[label] - Fraction(size * count, len(targets))) < 1


@given(case=targets_and_size())
def test_holdout_follows_the_documented_rule(case: tuple[list[int], int]) -> None:
    assert stratified_holdout(*case).tolist() == naive_holdout(*case)


@given(case=targets_and_size())
def test_holdout_is_the_same_for_lists_and_arrays(case: tuple[list[int], int]) -> None:
    targets, size = case
    expected = stratified_holdout(targets, size).tolist()
    assert stratified_holdout(np.array(targets, np.int8), size).tolist() == expected
    assert stratified_holdout(torch.tensor(targets).numpy(), size).tolist() == expected


def test_holdout_of_a_small_dataset_never_changes() -> None:
    targets = [0, 1, 0, 1, 0, 1, 0, 1, 0, 2]
    assert SPLIT_VERSION == 1
    assert stratified_holdout(targets, 5).tolist() == [0, 3, 4, 7, 8]
    assert stratified_holdout(targets, 2).tolist() == [4, 5]
    assert stratified_holdout(targets, 0).tolist() == []


@pytest.mark.parametrize(("targets", "size"), [([0, 1], 2), ([0, 1], 3), ([0, 1], -1), ([], 1)])
def test_holdout_rejects_size_out_of_range(targets: list[Any], size: int) -> None:
    message = f"cannot hold out {size} of {len(targets)} examples; expected 0 to {len(targets) - 1}"
    with pytest.raises(ValueError, match=message):
        stratified_holdout(targets, size)


def test_mnist_validation_indices_never_change(mnist_root: Path) -> None:
    targets = read_idx(mnist_root / "MNIST" / "raw" / "train-labels-idx1-ubyte").numpy()
    indices = stratified_holdout(targets, 5000)
    assert indices[:5].tolist() == [24, 44, 45, 56, 58]
    assert sha256(indices) == "bc8b6376e067b192b88bf7a6c58774702705687ae18e31b003b2786adaf68efd"
    assert np.array_equal(targets[indices], load_data("mnist", mnist_root, download=False).val.targets)


def test_digits_splits_never_change(digits: DataSplits) -> None:
    from sklearn.datasets import load_digits

    targets = load_digits().target
    test = stratified_holdout(targets, 360)
    rest = np.setdiff1d(np.arange(len(targets)), test)
    val = rest[stratified_holdout(targets[rest], 143)]
    assert sha256(test) == "0a0a6875e3660fa3c527b022240686b5356151f899a812c3f212067f72ed637e"
    assert sha256(val) == "5743392144891f0a104f05f1624eb892e4a48bfc3234fe38bf7b078fd40f8bce"
    assert np.array_equal(targets[test], digits.test.targets)
    assert np.array_equal(targets[val], digits.val.targets)
    assert np.array_equal(targets[np.setdiff1d(rest, val)], digits.train.targets)
