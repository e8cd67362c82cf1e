"""The one style of all figures: colours, markers and lines that read in print, in grey, and by the colour-blind."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..storage import shown

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours for all kinds of colour vision, without black and yellow (Wong, Nature Methods 8, 2011)."""

MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")

GREY = "0.5"
"""Of what is not data, such as the mark of an epoch; it reads on white and on black."""

SMALL = 8
"""The smallest size of text, in points."""


def series(index: int) -> dict[str, Any]:
    """Return the properties of a line: no two of the first 84 are equal, not even in grey."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
        "markersize": 4,
    }


def finish(axes: Axes, *, legend: bool = True, **properties: Any) -> None:
    """Set the properties of a plot, and add a grid, a legend and integer ticks for epochs."""
    axes.set(**properties)
    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(fontsize=SMALL)


def literal(text: object) -> str:
    """Escape the dollars of a name, which would make it a formula, and characters that no font and no SVG file has."""
    return "\n".join(shown(line) for line in str(text).split("\n")).replace("$", r"\$")


def shortened(text: object, length: int) -> str:
    """Cut a long name to a number of characters."""
    name = str(text)
    return name if len(name) <= length else f"{name[: length - 1]}…"


def percent(probability: float) -> str:
    """Format a probability, of which only 1 itself is 100 %."""
    return "> 99.9%" if 0.9995 <= probability < 1 else f"{probability:.1%}"
