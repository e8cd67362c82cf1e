"""The types of the options: each checks its value, and completes it in a shell, without importing torch."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..arguments import suggestion
from ..data.catalogue import NAMES
from ..recipes.catalogue import RECIPES
from ..recipes.settings import SETTINGS, choices, parse_setting
from ..storage import as_path, shown

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only in newer versions of click

_CONFIG = "config.json"
NETWORKS = {"lenet5": "LeNet5", "lenet5_original": "LeNet5Original", "caffe_lenet": "CaffeLeNet"}
"""The classes of the networks in `lenet5`, by their names on the command line."""

_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


class Name(click.Choice[str]):
    """One of several names; a misspelt one gets a suggestion."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the sentence for an unknown name."""
        del ctx
        return f"there is no {shown(value)!r}{suggestion(value, self.choices)}; expected {_listed(self.choices)}"


class Location(_ParamType):
    """One of several names, or a path that exists.

    Parameters
    ----------
    expected
        What the path is, for the error message.
    names
        The names.
    file
        A file that marks a folder as one of the expected kind; None accepts every path.
    remote
        Whether a path "owner/name" may be a repository on the Hugging Face Hub.
    """

    name = "path"

    expected: str
    names: tuple[str, ...]
    file: str | None
    remote: bool

    def __init__(
        self, expected: str, names: Iterable[str] = (), *, file: str | None = None, remote: bool = False
    ) -> None:
        self.expected, self.names, self.file, self.remote = expected, tuple(names), file, remote

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the placeholder in the help."""
        del param, ctx
        return f"[{'|'.join((*self.names, 'PATH'))}]" if self.names else "PATH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or the path with the home folder in place of "~"."""
        text = str(value)
        if not text:
            self.fail(
                f"the path of the {self.expected} is empty; expected a path{self._names() and ' or a name'}", param, ctx
            )
        if text.lower() in self.names:
            return text.lower()
        path = as_path(text)
        if not ((path / self.file if self.file else path).exists() or (self.remote and _is_repository(text))):
            hint = suggestion(text, self.names) or suggestion(str(path), self._similar(path))
            self.fail(f"no {self.expected} at {shown(text)!r}{hint}{self._names()}", param, ctx)
        return str(path)

    def _names(self) -> str:
        return f"; expected a path, or {_listed(self.names)}" if self.names else ""

    def _similar(self, path: Path) -> list[str]:
        """Return the paths beside a missing one that would be accepted."""
        if not path.parent.is_dir():
            return []
        return [str(entry) for entry in path.parent.iterdir() if self.file is None or (entry / self.file).is_file()]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete a name; if none matches, let the shell complete a path."""
        del ctx, param
        return _completions(self.names, incomplete) or [CompletionItem(incomplete, type="file")]


class UserPath(click.Path):
    """A path; a leading "~" is expanded, which shells do not do in `--out=~/run`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value):  # which would mean the current folder
            self.fail("the path is empty; expected the name of a file or a folder", param, ctx)
        return Path(str(super().convert(str(as_path(value)), param, ctx)))


class Root(UserPath):
    """A data folder. It may be new, because downloads create it, but the folder that holds it must exist."""

    def __init__(self) -> None:
        super().__init__(file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = super().convert(value, param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"{shown(path.parent)} does not exist; expected a folder, or a new one in a folder", param, ctx)
        return path


class DeviceName(_ParamType):
    """The name of a device. Whether it is available is known only to torch."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, unless no version of torch knows it."""
        match = re.fullmatch(r"(\w+)(:\d+)?", str(value))
        kind = match[1] if match and value != f"auto{match[2]}" else ""
        # a plug-in of torch can bring a device of any name
        if not kind or (kind not in _DEVICES and not importlib.metadata.entry_points(group="torch.backends")):
            hint = "" if kind in _DEVICES else suggestion(str(value), _DEVICES)
            expected = "auto, cpu, cuda, cuda:1, mps or xpu"
            self.fail(f"device {shown(value)!r} is unknown to torch{hint}; expected {expected}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the name."""
        del ctx, param
        return _completions(_DEVICES, incomplete)


class Setting(_ParamType):
    """A setting NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Return the name and the value."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_setting(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the name, and the value if there are only a few."""
        del ctx, param
        name, equals, _ = incomplete.partition("=")
        if not equals:
            return _completions([f"{each}=" for each in SETTINGS], incomplete)
        return _completions([f"{name}={each}" for each in choices(name)] if name in SETTINGS else [], incomplete)


def new_png(file: Path, option: str) -> Path:
    """Return the name of a figure that an option would write; raise ValueError if it is taken, or no PNG file."""
    return new_file(file, option, "PNG")


def new_file(file: Path, option: str, kind: str) -> Path:
    """Return the name of a file that an option would write; raise ValueError if it is taken, or of another kind."""
    if file.exists():
        problem = "which exists"
    elif file.suffix.lower() != f".{kind.lower()}":
        problem = f"whose name does not end in .{kind.lower()}"
    elif not file.absolute().parent.is_dir():
        problem = "whose folder does not exist"
    else:
        return file
    raise ValueError(
        f"{option} would write {shown(file)}, {problem}; expected the name of a new {kind} file in a folder"
    )


def bundled_weights() -> list[str]:
    """Return the names of the bundled weights."""
    folder = importlib.resources.files("lenet5") / "weights"
    return sorted(entry.name for entry in folder.iterdir() if (entry / _CONFIG).is_file())


def _completions(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _is_repository(value: str) -> bool:
    """Return True if a value names a repository on the Hugging Face Hub, as `lenet5.load` decides."""
    return value.count("/") == 1 and not Path(value).parent.is_dir()


def _listed(names: Iterable[str]) -> str:
    return f"one of: {', '.join(names)}"


DATA = Location("data", NAMES)
WEIGHTS = Location("weights", ["default", *bundled_weights()], remote=True)
RECIPE = Name(list(RECIPES))
RUN = Location("run", file=_CONFIG)
RUNS = Location("run or folder of runs")
