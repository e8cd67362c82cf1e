"""Figures that notebooks display, independent of pyplot."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import figure
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureManagerBase, RendererBase

from .. import notebook
from .style import fixed_style

AnyAxes: TypeAlias = Axes | Sequence[Axes]
GivenAxes = TypeVar("GivenAxes", bound=AnyAxes)


class Figure(figure.Figure):
    """A matplotlib figure that notebooks display, with and without `%matplotlib inline`.

    `savefig` writes it to a file. The figure needs neither pyplot nor a backend. For `wandb.Image` and TensorBoard's
    `add_figure`, it is an ordinary figure of matplotlib.

    Examples
    --------
    >>> figure = lenet5.plots.plot_lr_search([1e-3, 1e-2, 1e-1], [2.3, 1.1, 9.0])
    >>> figure.savefig("lr_search.svg")
    >>> import matplotlib.figure
    >>> isinstance(figure, matplotlib.figure.Figure)
    True
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; see `matplotlib.figure.Figure.draw`."""
        with fixed_style():  # ticks are made as late as this
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Render at twice the displayed size, for screens of high resolution."""
        png = to_png(self, dpi=round(2 * self.dpi))
        width, height = (int.from_bytes(png[start : start + 4], "big") // 2 for start in (16, 20))  # of its header
        return png, {"width": width, "height": height}

    def show(self, warn: bool = True) -> None:
        """Show the figure in the notebook, or else in a window of pyplot.

        Parameters
        ----------
        warn
            Whether to warn if matplotlib's backend opens no windows.
        """
        if notebook.in_notebook():
            notebook.display(self)
            return
        import matplotlib.pyplot as plt

        if self.canvas.manager is None or not plt.fignum_exists(self.canvas.manager.num):
            this: Any = lambda **_: self  # noqa: E731 (stands for a class, whose new figure gets a window)
            plt.figure(FigureClass=this)
        manager = self.canvas.manager
        if manager is not None and type(manager).show is not FigureManagerBase.show:
            plt.show()
            return
        plt.close(self)
        if warn:
            text = (
                f'matplotlib\'s backend {plt.get_backend()!r} opens no windows; save with figure.savefig("figure.png")'
            )
            warnings.warn(text, stacklevel=2)


def _restored() -> Figure:
    """Return a figure without its state, for pickle and copy."""
    return _Drawn.__new__(_Drawn)


class _Drawn(Figure):
    """The figures themselves: wandb and others know matplotlib's objects by the module of their class."""

    def __reduce__(self) -> tuple[Any, ...]:
        state: Any = self.__getstate__()
        return _restored, (), state


_Drawn.__module__, _Drawn.__name__ = "matplotlib.figure", "Figure"


def new_figure(width: float, height: float) -> Figure:
    """Create a figure, sized in inches, to a hundredth, so that it has whole pixels where it is shown."""
    figure = _Drawn(figsize=(round(width, 2), round(height, 2)), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.06, h_pad=0.06)  # inches
    return figure


def panels(
    width: float, height: float, num_panels: int = 1, ax: AnyAxes | None = None, *, stacked: bool = False
) -> tuple[Figure, list[Axes]]:
    """Create a figure, sized in inches, with panels side by side or stacked. Or return the given axes and their figure.

    Raises
    ------
    ValueError
        More axes are given than there are panels, or none.
    """
    if ax is None:
        new = new_figure(width, height)
        if stacked:  # the first is the figure, and the others explain it
            ratios = [3] + [1] * (num_panels - 1)
            return new, list(new.subplots(num_panels, 1, squeeze=False, height_ratios=ratios)[:, 0])
        return new, list(new.subplots(1, num_panels, squeeze=False)[0])
    axes = np.ravel(np.asarray(ax, object)).tolist()
    if not 1 <= len(axes) <= num_panels or not all(isinstance(item, Axes) for item in axes):
        raise ValueError(f"ax is {ax!r}; expected matplotlib Axes, {num_panels} at most")
    owner: Any = axes[0].figure  # of matplotlib's own class, and never returned to the user
    return owner, axes


def to_svg(figure: figure.Figure) -> bytes:
    """Render a figure as SVG, whose bytes depend on nothing but the figure and matplotlib."""
    svg = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "lenet5", "svg.fonttype": "path"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box takes the place of what no font has
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return svg.getvalue()


def to_png(figure: figure.Figure, *, dpi: int = 120) -> bytes:
    """Render a figure as PNG."""
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box takes the place of what no font has
        figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()
