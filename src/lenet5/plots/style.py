"""matplotlib, independent of the settings and environment variables of a user where those would break a figure."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

_VARIABLES = ("MPLBACKEND", "MATPLOTLIBRC")
_FIXED: dict[str, Any] = {
    "text.usetex": False,  # the names of classes, files and runs are no LaTeX
    "text.parse_math": True,  # without which escaped dollars would have a backslash
    "axes.grid": False,  # which would cover images; plots of lines add theirs
    "image.origin": "upper",
    "figure.constrained_layout.use": False,  # figures choose their layout
    "figure.autolayout": False,
}
_FURTHER_FONTS = (  # of the systems, for the alphabets that matplotlib's own font lacks
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Hiragino Sans", "Hiragino Sans GB", "Yu Gothic"),
    *("PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Apple SD Gothic Neo", "WenQuanYi Zen Hei", "IPAexGothic"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Tamil", "Noto Sans Bengali", "Nirmala UI", "Leelawadee UI"),
)

P = ParamSpec("P")
R = TypeVar("R")


def import_matplotlib() -> None:
    """Import matplotlib, which refuses to be imported if its environment variables are invalid here.

    Notebooks set MPLBACKEND to a backend of their own, and commands that they start inherit it, in an environment that
    may not have it. Figures need no backend. The variables are hidden only for a second attempt.
    """
    try:
        importlib.import_module("matplotlib")
    except (ValueError, ImportError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # the parts that were imported before the error do not fit a second attempt
        hidden = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        try:
            importlib.import_module("matplotlib")
        finally:
            os.environ.update(hidden)


@contextlib.contextmanager
def default_style() -> Iterator[None]:
    """Draw and save figures in matplotlib's default style, whatever a matplotlibrc sets: for files of a command."""
    import matplotlib as mpl

    with mpl.rc_context({name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}):
        yield


@contextlib.contextmanager
def fixed_style() -> Iterator[None]:
    """Draw in the style of the user, except for the settings that would make a figure wrong, or fail."""
    import matplotlib as mpl

    settings: Any = {**_FIXED, "font.family": [*mpl.rcParams["font.family"], *_installed_fonts()]}
    with mpl.rc_context(settings):
        yield


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the fixed style."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> R:
        with fixed_style():
            return function(*args, **kwargs)

    return draw


@functools.cache
def _installed_fonts() -> tuple[str, ...]:
    """Return the further fonts that this system has."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FURTHER_FONTS if name in installed)
