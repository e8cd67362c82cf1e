"""Greyscale images and masks as arrays: resampling and boxes."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

Grey: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Box: TypeAlias = tuple[slice, ...]
"""Rows and columns."""

Region: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def resize(image: PIL.Image.Image, zoom: float, region: Region | None = None) -> Grey:
    """Scale a region of an image of mode "L" or "F" with antialiasing."""
    left, top, right, bottom = region or (0, 0, *image.size)
    size = max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom))
    return np.asarray(image.resize(size, PIL.Image.Resampling.BICUBIC, box=region, reducing_gap=3), np.float32)


def resize_to(grey: Grey, shape: tuple[int, ...], region: Region | None = None) -> Grey:
    """Resample a region of an array to a shape (H, W), bilinearly."""
    image, (height, width) = PIL.Image.fromarray(grey), shape
    return np.asarray(image.resize((width, height), PIL.Image.Resampling.BILINEAR, box=region))


def centre_of_mass(grey: Grey) -> list[float]:
    """Return the row and the column of the centre of mass, as scipy's `center_of_mass` does."""
    total = grey.sum()
    return [float((grey * grid.astype(float)).sum() / total) for grid in np.ogrid[: grey.shape[0], : grey.shape[1]]]


def otsu(values: Grey) -> float:
    """Compute the threshold that best separates two classes (Otsu, IEEE Trans. SMC 9(1), 1979)."""
    if np.ptp(values) < 1e-3:
        return float(values.flat[0])
    counts, edges = np.histogram(values, 128)
    sums = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    below = np.cumsum(counts)[:-1]  # never 0 and never all, since the outermost bins contain the extremes
    above = counts.sum() - below
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # bins in a gap between the classes tie: average them
    return float(edges[1:][best].mean())


def bounding_box(mask: Mask) -> Box:
    """Return the smallest box that contains a mask."""
    indices = np.argwhere(mask)
    return tuple(map(slice, indices.min(axis=0).tolist(), (indices.max(axis=0) + 1).tolist()))


def longer_side(box: Box) -> int:
    """Return the length of a box's longer side in pixels."""
    return max(int(span.stop - span.start) for span in box)
