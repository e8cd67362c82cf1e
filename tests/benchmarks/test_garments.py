"""Distortions of garments."""

import torch
from torch import Generator

from garments import distort_garments, erase_parts, shift_garments


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


def test_garments_are_shifted_by_up_to_a_pixel_and_half_of_them_mirrored() -> None:
    images = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 10, 4] = 200
    shifted = shift_garments(images, torch.zeros(200), Generator().manual_seed(0))[:, 0].float()
    assert (shifted.sum((1, 2)) - 200).abs().max() <= 3  # rounding
    places = torch.arange(28.0)
    row, column = ((shifted.sum(axis) @ places) / shifted.sum((1, 2)) for axis in (2, 1))
    mirrored = column > 14
    assert 0.4 < mirrored.float().mean() < 0.6
    column = torch.where(mirrored, 27 - column, column)
    assert 0.9 < (row - 10).abs().max() < 1.02
    assert 0.9 < (column - 4).abs().max() < 1.02
