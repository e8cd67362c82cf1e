"""The one style of all figures: colours, markers, lines and ticks that read in print, in grey, and by the colour-blind.

Fonts, sizes of text and backgrounds are those of the user's matplotlib.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from ..storage import shown

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The colours of Okabe and Ito, without black and yellow (Wong, "Color blindness", Nature Methods 8, 2011)."""

GREY = "0.5"
"""The colour of what is not data, such as the mark of an epoch; it reads on white and on black."""

SMALL = 8.0
"""The smallest size of text, in points."""

_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_LINE = 0.135  # inches from a line of the smallest text to the next


def series(index: int, num_points: int = 1) -> dict[str, Any]:
    """Return the properties of a line: no two of the first 84 are equal, and neighbours differ in grey too.

    Of many points, only some have a marker.
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _LINES[index // len(COLOURS) % len(_LINES)],
        "markersize": 4,
        "markevery": math.ceil(num_points / 20),
    }


def finish(axes: Axes, *, legend: bool = True, **properties: Any) -> None:
    """Set the properties of a plot, and add a grid, a legend, integer ticks for epochs and plain ones of logarithms."""
    axes.set(**properties)
    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = axes.get_xlim()
        if high - low < 1:  # a single epoch
            axes.set_xlim((low + high) / 2 - 1, (low + high) / 2 + 1)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            _label_plainly(axis)
    axes.set_axisbelow(True)
    axes.grid(visible=True, alpha=0.3)
    if legend:
        axes.legend(fontsize=SMALL)


def share_legend(figure: Any, panels: Sequence[Axes], width: float) -> None:
    """Add one legend for all panels of a figure below them, in as many columns as fit in a width in inches."""
    handles, labels = panels[0].get_legend_handles_labels()
    for axes in panels[1:]:
        new = [pair for pair in zip(*axes.get_legend_handles_labels(), strict=True) if pair[1] not in labels]
        handles, labels = handles + [handle for handle, _ in new], labels + [label for _, label in new]
    num_columns = legend_columns(labels, width)
    figure.legend(handles, labels, fontsize=SMALL, loc="outside lower center", ncols=num_columns)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Return how many labels fit side by side in a width in inches."""
    return min(max(int(width / (text_width(*labels) + 0.55)), 1), len(labels))


def _label_plainly(axis: Axis) -> None:
    """Label a logarithmic axis with numbers such as 0.01, whose exponents would be too small to read."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 1
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(LogLocator(subs=[*range(2, 10)]) if decades <= 6 else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def name_ticks(axis: Axis, names: Sequence[str], step: float, **text: Any) -> None:
    """Name the ticks of the classes, or those that have room.

    Parameters
    ----------
    axis
        The axis, with the classes at 0, 1, 2 and so on.
    names
        Name of each class.
    step
        From one class to the next, in inches.
    text
        Properties of the names.
    """
    level = isinstance(axis, XAxis) and "rotation" not in text
    every = max(1, math.ceil((text_width(*names) + 0.04 if level else _LINE) / step))
    axis.set_ticks(range(0, len(names), every), names[::every], fontsize=SMALL, **text)


def text_width(*lines: str, points: float = SMALL) -> float:
    """Return the width of the longest line of text in the user's font, in inches."""
    font = FontProperties(size=points)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        measure = text_to_path.get_text_width_height_descent
        return max(float(measure(line.replace(r"\$", "$"), font, ismath=False)[0]) for line in lines) / 72


def literal(text: object) -> str:
    """Escape the dollars of a name, which would make it a formula, and characters that no font and no SVG file has."""
    return "\n".join(shown(line) for line in str(text).split("\n")).replace("$", r"\$")


def legend_name(text: str) -> str:
    """Return a name for a legend, which leaves out those that begin with an underscore."""
    return literal(f" {text}" if text.startswith("_") else text)


def shortened(text: object, length: int) -> str:
    """Cut a long name to a number of characters, on one line."""
    name = " ".join(str(text).split())
    return name if len(name) <= length else f"{name[: length - 1]}…"


def percent(probability: float) -> str:
    """Format a probability, of which only 1 itself is 100 %."""
    return "> 99.9%" if 0.9995 <= probability < 1 else f"{probability:.1%}"
