"""Paths as users write them, and as messages show them."""

import os
from pathlib import Path
from typing import TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]


def as_path(path: StrPath) -> Path:
    """Return a path given by a user, with a leading `~` or `~user` expanded to the home folder.

    Raises
    ------
    ValueError
        The path starts with `~`, and there is no home folder.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path.expanduser refuses a file whose name starts with ~)
    if expanded == "~" or expanded.startswith(("~/", f"~{os.sep}")):
        raise ValueError(f"{shown(path)} starts with ~, but there is no home folder; expected a path without ~")
    return Path(expanded)


def shown(value: object) -> str:
    r"""Return the text of a path or a message, with escapes such as `\n` for all characters that cannot be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def is_visible(path: Path) -> bool:
    """Return False for hidden files, such as locks, and temporary files that a killed process left."""
    return not path.name.startswith(".")
