"""Every public name has an example, which runs, and an entry in the reference."""

import ast
import doctest
import importlib
import inspect
import re
import shutil
import socketserver
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import matplotlib.figure
import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch
from click.testing import CliRunner

import lenet5
from lenet5.cli import main

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
ENTRY = re.compile(r"^\.\. (?:autoclass|autofunction|py:data):: lenet5\.([\w.]+)", re.MULTILINE)
LISTED = re.compile(r"^   lenet5\.([\w.]+)$", re.MULTILINE)
ROOMS = {name: room for name in dir(lenet5) if isinstance(room := getattr(lenet5, name), ModuleType)}
GLOBALS = {"lenet5": lenet5, "np": np, "torch": torch}  # as docs/reference/index.md says


def public_names() -> dict[str, Any]:
    """Return all public objects by their shortest name: those of the face, then those of the rooms that it names."""
    face = {name: getattr(lenet5, name) for name in dir(lenet5) if name not in ROOMS}
    rooms = {f"{room}.{name}": getattr(module, name) for room, module in ROOMS.items() for name in exports(module)}
    known = {id(value) for value in face.values()}
    return face | {name: value for name, value in rooms.items() if id(value) not in known}


def exports(room: ModuleType) -> list[str]:
    """Return the names that the stub of a room exports, or its module if it is not lazy."""
    file = Path(str(room.__file__))
    stub = file.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else file).read_text(encoding="utf-8"))
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = [str(alias.asname) for node in nodes for alias in node.names if alias.asname]
    return [name for name in names if not isinstance(getattr(room, name), ModuleType)]


def has_docstring(value: object) -> bool:
    """Return True for classes and functions; constants and aliases of types have no docstring of their own."""
    return inspect.isclass(value) or inspect.isfunction(value)


NAMES = public_names()
DOCUMENTED = {name: value for name, value in NAMES.items() if has_docstring(value)}


OVERRIDDEN = (
    lenet5.Callback,
    torch.nn.Module,
    torch.optim.Optimizer,
    matplotlib.figure.Figure,
    socketserver.BaseServer,
)
NOT_CALLED = {  # by users, but by this package
    *("adapt", "arguments", "from_arguments", "fused_gradients", "cuda_graph_safe", "reset_parameters", "step_sizes"),
    *("batches", "order", "evaluation_range", "state_dict", "load_state_dict", "without_border", "scale_and_offset"),
    *("read", "begin", "add_step", "check_weights", "end_epoch", "finish", "parts", "activation", "rounded"),
    *("push_to_hub", "to", "verify"),  # which need a network, or a GPU, or are torchvision's
}


def places(value: Any) -> list[Any]:
    """Return a public object and the bases of its class that are not public, whose methods are its own to a user."""
    bases = value.__mro__[1:] if inspect.isclass(value) else []
    hidden = [base for base in bases if base.__module__.startswith("lenet5.") and base not in DOCUMENTED.values()]
    return [value, *hidden]


def examples() -> list[doctest.DocTest]:
    """Return the examples in the docstrings of public names and of their methods."""
    finder = doctest.DocTestFinder()
    found = [
        finder.find(place, f"lenet5.{name}", importlib.import_module(place.__module__), GLOBALS)
        for name, value in DOCUMENTED.items()
        for place in places(value)
    ]
    return [test for tests in found for test in tests if test.examples]


CODE = "".join(example.source for test in examples() for example in test.examples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of docs/reference/index.md, in which the examples run."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("pencil.jpg", "shadow.jpg", "postcode.jpg"):
        shutil.copy(next((ROOT / "docs").rglob(name)), folder)
    for number in range(8):
        circle = number % 2 == 0
        image = PIL.Image.new("L", (40, 40))
        draw = PIL.ImageDraw.Draw(image)
        (draw.ellipse if circle else draw.rectangle)((4 + number, 4, 30, 34 - number), outline=255, width=3)
        path = folder / "shapes" / ("circle" if circle else "square") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    train = ["train", "--epochs", "1", "--seeds", "2", "--device", "cpu", "--out", str(folder / "seeds")]
    assert CliRunner().invoke(main, train).exit_code == 0
    return folder


@pytest.fixture
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.usefixtures("_in_folder")
@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example_shows_what_it_computes(example: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (vars(DOCUMENTED[name]).get("__doc__") or DOCUMENTED[name].__doc__ or "")


@pytest.mark.parametrize("name", [name for name, value in DOCUMENTED.items() if inspect.isclass(value)])
def test_method_that_users_call_is_in_an_example(name: str) -> None:
    value = DOCUMENTED[name]
    hooks = {member for base in OVERRIDDEN if issubclass(value, base) for member in dir(base)}
    methods = {
        member
        for place in places(value)
        for member, attribute in vars(place).items()
        if isinstance(attribute, FunctionType | classmethod) and not member.startswith("_")
    }
    assert sorted(member for member in methods - hooks - NOT_CALLED if f".{member}(" not in CODE) == []


def test_reference_has_one_entry_for_each_public_name_and_no_other() -> None:
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")]
    assert sorted(name for page in pages for name in ENTRY.findall(page)) == sorted(NAMES)


def test_first_page_of_the_reference_lists_all_classes_and_functions() -> None:
    page = (REFERENCE / "index.md").read_text(encoding="utf-8")
    assert sorted(LISTED.findall(page)) == sorted(DOCUMENTED)


def test_reference_has_the_help_of_each_command() -> None:
    page = (REFERENCE / "command_line.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## lenet5 (\w+)\n\n```\{command-help\} (\w+)\n```$", page, re.MULTILINE)
    assert sorted(headings) == [(name, name) for name in sorted(main.commands)]
