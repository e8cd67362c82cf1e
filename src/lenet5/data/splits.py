"""The validation split: stratified, without chance, and the same for ever."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SPLIT_VERSION = 1  # goes up if `stratified_holdout` ever returns other indices


def stratified_holdout(targets: npt.ArrayLike, size: int) -> npt.NDArray[np.int64]:
    """Choose the examples to hold out: from each class its share, evenly spaced in the order of the file.

    A class with `n` of the `N` examples gives `size * n / N` of them, rounded so that they sum to `size` (largest
    remainder, the smaller class first among equals): those at positions `floor((i + 1/2) * n / k)` among its examples,
    for `i` from 0 to `k - 1`. No random numbers are used, so any language can choose the same ones.

    Parameters
    ----------
    targets
        (N,): the class of each example.
    size
        How many examples to hold out, from 0 to N - 1.

    Returns
    -------
    ndarray
        (size,) int64: their indices, ascending.

    Raises
    ------
    ValueError
        `size` is out of its range.
    """
    targets = np.asarray(targets)
    if not 0 <= size < max(len(targets), 1):
        raise ValueError(f"{size} of {len(targets)} examples cannot be held out; expected 0 to {len(targets) - 1}")
    classes, counts = np.unique(targets, return_counts=True)
    shares, remainders = np.divmod(size * counts, len(targets))
    shares[np.argsort(-remainders, kind="stable")[: size - shares.sum()]] += 1
    held_out = [
        np.flatnonzero(targets == label)[(2 * np.arange(share) + 1) * count // (2 * share)]
        for label, count, share in zip(classes, counts, shares, strict=True)
        if share
    ]
    return np.sort(np.concatenate([np.empty(0, np.int64), *held_out]))
