"""Distortions of garments."""

import torch
from torch import Generator

from garments import distort_garments, erase_parts


def test_rectangles_of_half_of_the_images_are_blackened() -> None:
    white = torch.full((400, 1, 28, 28), 255, dtype=torch.uint8)
    targets = torch.zeros(400, dtype=torch.int64)
    distorted = distort_garments(white, targets, Generator().manual_seed(0))
    erased = (distorted > 0) & (erase_parts(white, targets, Generator().manual_seed(0)) == 0)
    share = erased.flatten(1).any(1).float().mean()
    assert 0.4 < share < 0.55  # a few rectangles lie outside
    inner = erased[:, :, 4:-4, 4:-4]  # what is shifted or turned is black at its sides
    rows, columns = inner.any(3).sum(2), inner.any(2).sum(2)
    assert torch.equal(inner.sum((1, 2, 3)), (rows * columns).flatten())
    assert max(int(rows.max()), int(columns.max())) == 11
