"""Whether the text of a figure can be read: large enough, within the figure, and not on other text."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SMALLEST = 8  # points


def texts(figure: Figure) -> list[Text]:
    """Return all text that is drawn."""
    found = [*figure.texts, *(figure.legends[0].get_texts() if figure.legends else [])]
    suptitle = getattr(figure, "_suptitle", None)
    found += [suptitle] if suptitle is not None and suptitle not in found else []
    for axes in _all_axes(figure):
        found += [axes.title, *axes.texts]
        legend = axes.get_legend()
        found += legend.get_texts() if legend else []
        if axes.axison:
            found += [axes.xaxis.label, axes.yaxis.label, *_tick_labels(axes.xaxis), *_tick_labels(axes.yaxis)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _all_axes(figure: Figure) -> Iterator[Any]:
    for axes in figure.axes:
        yield axes
        yield from (child for child in axes.child_axes if child not in figure.axes)


def _tick_labels(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        if low <= tick.get_loc() <= high:
            yield from (label for label in (tick.label1, tick.label2) if label.get_visible())


def faults(figure: Figure) -> list[str]:
    """Return what cannot be read, and why."""
    canvas: Any = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        canvas.draw()
        drawn = [(text, text.get_window_extent(canvas.get_renderer())) for text in texts(figure)]
    found = [
        f"{text.get_text()!r} has {text.get_fontsize()} points"
        for text, _ in drawn
        if float(text.get_fontsize()) < SMALLEST
    ]
    frame = figure.bbox.padded(1)
    found += [f"{text.get_text()!r} is cut off" for text, box in drawn if not _within(box, frame)]
    level = [(text, box.padded(-1.5)) for text, box in drawn if text.get_rotation() % 90 == 0]
    for (one, box), (other, its) in itertools.combinations(level, 2):
        if box.x0 < its.x1 and its.x0 < box.x1 and box.y0 < its.y1 and its.y0 < box.y1:
            found.append(f"{one.get_text()!r} is on {other.get_text()!r}")
    return found


def _within(box: Bbox, frame: Bbox) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
