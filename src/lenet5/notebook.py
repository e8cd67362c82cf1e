"""How notebooks show objects: tables as HTML, displays and progress bars."""

from __future__ import annotations

import contextlib
import functools
import html
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

_MAX_ROWS = 20
_MAX_CHARACTERS = 200  # of one cell


def in_notebook() -> bool:
    """Return True in the kernel of a notebook; False in scripts and in IPython's terminal."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_shell is not None and getattr(get_shell(), "kernel", None) is not None


def current_cell() -> int | None:
    """Return the number of the cell that runs; None outside a notebook."""
    number = getattr(sys.modules["IPython"].get_ipython(), "execution_count", None) if in_notebook() else None
    return number if isinstance(number, int) else None


class Markup(NamedTuple):
    """HTML for a notebook, and the text for frontends without HTML."""

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def display(value: object) -> Any:
    """Display a value in the notebook, and return the handle whose `update` replaces it."""
    import IPython.display

    show: Any = IPython.display.display  # which has no types
    return show(value, display_id=True)


def progress_bars() -> Any:
    """Return tqdm's class of progress bars: widgets in a notebook that has ipywidgets, text elsewhere."""
    with warnings.catch_warnings(), without_variables("TQDM_"):  # which tqdm reads when it is loaded, unchecked
        warnings.simplefilter("ignore")  # tqdm recommends ipywidgets, but tables show the progress without
        from tqdm.auto import tqdm
    return tqdm


@functools.cache
def text_bars() -> Any:
    """Return a class of tqdm's bars of text, without the thread that tqdm starts to watch slow bars."""
    progress_bars()  # loads tqdm with care
    from tqdm.std import tqdm

    return type("TextBar", (tqdm,), {"monitor_interval": 0})


@contextlib.contextmanager
def without_variables(*prefixes: str) -> Iterator[None]:
    """Hide the environment variables of libraries during a block, because a bad value would break them."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.upper().startswith(prefixes)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def table_html(caption: str, frame: pd.DataFrame) -> str:
    """Render a table as HTML, escaped, and cut to its first and last rows; the notebook's own style applies."""
    return _render(caption, frame, max_rows=_MAX_ROWS)


def fields_html(caption: str, fields: Mapping[str, object]) -> str:
    """Render names and values as HTML, escaped; values are shown as text."""
    import pandas as pd

    return _render(caption, pd.DataFrame({"": [str(value) for value in fields.values()]}, list(fields)), header=False)


def _render(caption: str, frame: pd.DataFrame, **options: Any) -> str:
    import pandas as pd

    with pd.option_context("display.max_colwidth", _MAX_CHARACTERS):
        table = frame.to_html(border=0, float_format="{:.4g}".format, **options)
    ignore = "tex2jax_ignore mathjax_ignore"  # the dollars of a class name are no formula
    return f'<div class="{ignore}"><p>{html.escape(caption)}</p>{table}</div>'
