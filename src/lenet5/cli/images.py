"""The image files that the arguments of `predict` name."""

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from ..arguments import suggestion
from ..storage import as_path, is_visible, shown


def find_images(argument: str) -> list[Path]:
    """Return the image files that an argument names: a file, a folder or a pattern.

    A folder stands for the image files in it, but not for hidden ones and those in its subfolders. A pattern such as
    "*.png" is expanded here for shells that do not expand it, unless a file has that name. It names no folders. Numbers
    in names are sorted by value.

    Raises
    ------
    ValueError
        There is no such file, or no image file in the folder.
    """
    if not argument:  # which would mean the current folder
        raise ValueError("the name of an image is empty; expected a file, a folder or a pattern")
    path = as_path(argument)
    if path.is_dir():
        suffixes = _suffixes()
        return _found(
            (
                each
                for each in path.iterdir()
                if each.suffix.lower() in suffixes and is_visible(each) and each.is_file()
            ),
            f"there is no image file in the folder {shown(path)}, whose subfolders are not read; expected files such as"
            " digit.png",
        )
    if path.exists():
        return [path]
    if glob.has_magic(argument):
        matches = map(Path, glob.glob(str(path)))  # noqa: PTH207 (any root)
        return _found((match for match in matches if not match.is_dir()), f"no file matches {shown(argument)}")
    hint = suggestion(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
    raise ValueError(f"{shown(path)} does not exist{hint}")


def _found(paths: Iterable[Path], problem: str) -> list[Path]:
    found = sorted(paths, key=_by_number)
    if not found:
        raise ValueError(problem)
    return found


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts "9.png" before "10.png"."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if index % 2 else (0, part.lower()) for index, part in enumerate(parts)]


def _suffixes() -> set[str]:
    """Return the suffixes of the files that Pillow can read."""
    import PIL.Image

    return {suffix for suffix, kind in PIL.Image.registered_extensions().items() if kind in PIL.Image.OPEN}
