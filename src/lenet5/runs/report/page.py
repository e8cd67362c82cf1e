"""The page of a report, as HTML."""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ... import __version__, storage
from ...plots.style import default_style
from ...storage import StrPath, as_path, shown
from ..saved import SavedRun
from ..tables import as_runs
from . import several, single

REPORT_PAGE = "report.html"
_MARK = "<!-- Written by lenet5, which replaces the page if it was not edited. sha256: {} -->\n"
_LARGEST = 64 << 20


def report_html(runs: StrPath | Iterable[StrPath | SavedRun]) -> str:
    """Return the report of a run, or of several side by side, as one HTML page that needs no other file.

    The same runs give the same page, byte for byte, with the same versions of the software.

    Parameters
    ----------
    runs
        Runs, their folders, or folders that contain them; see `find_runs`.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `find_runs` and `read_run`, or there is no run.

    Examples
    --------
    >>> page = lenet5.runs.report_html("seeds")
    >>> page[:15], "2 runs on digits" in page
    ('<!DOCTYPE html>', True)
    """
    saved = as_runs(runs)
    if not saved:
        raise ValueError("there are no runs to report; expected at least one")
    with default_style():
        if len(saved) == 1:
            text = _render(single.title(saved[0]), list(single.sections(saved[0])))
        else:
            text = _render(several.title(saved), list(several.sections(saved)))
    return text + _MARK.format(_hash(text))


def write_report(runs: StrPath | Iterable[StrPath | SavedRun], file: StrPath) -> None:
    """Write the report of a run, or of several side by side, as one HTML file that needs no other.

    Parameters
    ----------
    runs
        As for `report_html`.
    file
        The file. A report that this package wrote and nobody edited is replaced; nothing else is.

    Raises
    ------
    FileExistsError
        The file exists, and is no such report.
    FileNotFoundError, ValueError
        As for `report_html`.

    Examples
    --------
    >>> lenet5.runs.write_report("seeds", "comparison.html")
    """
    path = as_path(file)
    check_replaceable(path)
    storage.write_file(path, report_html(runs).encode())


def check_replaceable(path: Path) -> None:
    """Raise FileExistsError if a file exists, unless it is a report that this package wrote and nobody edited."""
    if path.exists() and not is_report(path):
        raise FileExistsError(f"{shown(path)} exists, and is no unedited report; expected the name of a new file")


def is_report(path: Path) -> bool:
    """Return True for a file that `write_report` wrote and nobody edited."""
    try:
        page = storage.read_file(path, limit=_LARGEST).decode()
    except (OSError, ValueError):
        return False
    text = page[: page.rfind("<!--")]
    return page == text + _MARK.format(_hash(text))


def _render(title: str, sections: list[Any]) -> str:
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters["verbatim"] = lambda text: markupsafe.escape(shown(text))
    source = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(title=title, sections=sections, version=__version__) + "\n"


def _printable(value: Any) -> Any:
    """Escape characters that cannot be printed, which UTF-8 or HTML may not have; keep a number and its % together."""
    return shown(value).replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
