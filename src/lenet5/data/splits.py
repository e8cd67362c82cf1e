"""The validation split: stratified, deterministic, and versioned."""

import numpy as np
import numpy.typing as npt

SPLIT_VERSION = 1  # increases if `stratified_holdout` ever returns different indices


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
    """
    targets = np.asarray(targets)
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
