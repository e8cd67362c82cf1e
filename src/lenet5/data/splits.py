"""The validation split: stratified, deterministic, and versioned. And the names of splits in files of one's own."""

import re

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..arguments import as_integer

SPLIT_VERSION = 1  # increases if `stratified_holdout` ever returns different indices

_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}


def stratified_holdout(targets: npt.ArrayLike, size: int) -> npt.NDArray[np.int64]:
    """Choose a stratified subset of examples to hold out.

    A class with `n` of the `N` examples has a quota of `size * n / N`. The quotas are rounded by the largest remainder
    method; ties go to the smaller label. A class with a rounded quota of `k` contributes its examples at positions
    `floor((i + 1/2) * n / k)`, for `i = 0, ..., k - 1`, in the order of the dataset. The rule uses no random numbers,
    so it can be reproduced in any language.

    Parameters
    ----------
    targets
        (N,) class of each example.
    size
        Number of examples to hold out, from 0 to `N - 1`.

    Returns
    -------
    ndarray
        (size,) int64 indices in ascending order.

    Raises
    ------
    ValueError
        `size` is out of range.

    Examples
    --------
    >>> targets = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> lenet5.data.stratified_holdout(targets, 4)
    array([1, 3, 5, 7])
    """
    targets, number = np.asarray(targets), as_integer(size)
    if number is None:
        raise ValueError(f"size is {size!r}; expected an integer")
    size = number
    if not 0 <= size < max(len(targets), 1):
        raise ValueError(f"cannot hold out {size} of {len(targets)} examples; expected 0 to {len(targets) - 1}")
    classes, counts = np.unique(targets, return_counts=True)
    quotas, remainders = np.divmod(size * counts, len(targets))
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    held_out = np.zeros(len(targets), bool)
    for label, count, quota in zip(classes, counts, quotas, strict=True):
        positions = (2 * np.arange(quota, dtype=np.int64) + 1) * count // (2 * quota)
        held_out[np.flatnonzero(targets == label)[positions]] = True
    return np.flatnonzero(held_out)


def as_indices(indices: npt.ArrayLike | Tensor, length: int) -> Tensor:
    """Convert indices or a mask to a tensor of integers or bool."""
    if not isinstance(indices, Tensor):
        array = np.asarray(indices)
        array = np.array(array.tolist()) if array.dtype == object else array  # such as a nullable column of pandas
        indices = torch.as_tensor(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
    if not indices.numel():
        return indices.long()  # an empty list becomes a float tensor
    if indices.is_floating_point() or indices.is_complex() or indices.ndim > 1:
        raise ValueError(f"indices have dtype {indices.dtype} and {indices.ndim} dimensions; expected integers (K,)")
    if indices.dtype == torch.bool and len(indices) != length:
        raise ValueError(f"the mask has {len(indices)} entries; expected {length}")
    return indices if indices.dtype == torch.bool else indices.long().view(-1)


def words(name: str) -> list[str]:
    """Split a name such as "sign_mnist_train" or "X_test" into its words, in lower case."""
    return re.findall("[a-z]+", name.lower())


def split_in(name: str) -> str | None:
    """Return "train", "val" or "test" if a name mentions exactly one of these splits, else None."""
    mentioned = {split for split, names in _SPLITS.items() if any(word in names for word in words(name))}
    return mentioned.pop() if len(mentioned) == 1 else None


def is_split(name: str) -> bool:
    """Return True if a name is that of a split and nothing else, such as "train" or "Validation"."""
    return any(name.lower() in names for names in _SPLITS.values())
