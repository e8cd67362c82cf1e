"""Figures and images as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib.axes import Axes

from ...plots.display import Figure, new_figure, to_svg
from .blocks import Digit, Gallery, Picture, Pictures

_PIXELS = 96  # CSS pixels per inch
_SMALLEST = 84  # side of a small image in pixels, at which its own pixels are visible


def picture(figure: Figure, alt: str, caption: str) -> Picture:
    """Return a figure as SVG."""
    width, height = (round(_PIXELS * float(inches)) for inches in figure.get_size_inches())
    return Picture(_uri("image/svg+xml", to_svg(figure)), width, height, alt, caption)


def panels(plot: Callable[[list[Axes]], object], descriptions: Sequence[tuple[str, str]]) -> Pictures:
    """Return the panels of a plot as figures of their own, which a narrow page puts below one another.

    Parameters
    ----------
    plot
        Plots on a list of axes.
    descriptions
        Alternative text and caption of each.
    """
    figures = [new_figure(4.5, 3.3) for _ in descriptions]
    plot([figure.subplots() for figure in figures])
    return Pictures([picture(figure, *texts) for figure, texts in zip(figures, descriptions, strict=True)])


def gallery(caption: str, images: npt.NDArray[np.uint8], captions: Sequence[Sequence[str]]) -> Gallery:
    """Return images (N, C, H, W) on a grid. Images of three channels are colour; of others, the first is shown."""
    digits = [
        Digit(_uri("image/png", _png(image)), f"{lines[-1]}: {', '.join(lines[:-1])}", lines)
        for image, lines in zip(images, captions, strict=True)
    ]
    return Gallery(caption, digits)


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0) if len(image) == 3 else image[0])
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "png", optimize=True)
    return file.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
