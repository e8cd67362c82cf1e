"""matplotlib, independent of the settings and environment variables of a user where those would break a run."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

_VARIABLES = ("MPLBACKEND", "MATPLOTLIBRC")


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
    """Draw and save figures in matplotlib's default style, whatever a matplotlibrc sets, such as LaTeX for all text."""
    import matplotlib as mpl

    with mpl.rc_context({name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}):
        yield
